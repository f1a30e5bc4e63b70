/**
 * libtorch through its stable C ABI (`torch/csrc/stable/c/shim.h` and `torch/csrc/inductor/aoti_torch/c/shim.h` of PyTorch 2.10 and
 * later), without Python and without a compiler. A tensor is a number: the address of a handle, which its receiver deletes.
 *
 * A call writes its arguments into a preallocated stack with a known address, and reads its results from there: some 20 ns for
 * crossing into C, 0.4 µs for a whole product of 4 × 4 where there is a C function for it, 1 µs through the dispatcher.
 */
import { join } from "node:path"
import { libraryName, NoTorch } from "./locate.ts"

/** Address of a tensor handle. */
export type Handle = number

/** The oldest version whose dispatcher can be called, and the version whose operators ours agree with. */
const oldest = { major: 2, minor: 10 }

/** An error that libtorch reports. */
export class TorchFailed extends Error {
  readonly _tag = "TorchFailed"
  readonly operator: string
  constructor(operator: string, message: string) {
    super(message)
    this.operator = operator
  }
}

/** Booleans and dtypes are ints. */
type Kind = "tensor" | "tensors" | "int" | "ints" | "real"
type Parameter = Kind | `${Kind}?`
type Schema<S extends string> = S extends Parameter ? S
  : S extends `${infer First extends Parameter} ${infer Rest}` ? `${First} ${Schema<Rest>}`
  : never

/** An operator of ATen: name and overload as C strings, and its parameters in the order of its schema. */
export interface Operator {
  readonly label: string
  readonly name: Buffer
  readonly overload: Buffer
  readonly parameters: ReadonlyArray<{ readonly kind: Kind; readonly optional: boolean }>
}

/** `label` is `namespace::name` or `namespace::name.overload`; a parameter with `?` may be null. */
export const operator = <S extends string>(label: string, schema: Schema<S>): Operator => {
  const [name, overload = ""] = label.split(".")
  const parameters = schema.split(" ").map((parameter) => ({
    kind: parameter.replace("?", "") as Kind,
    optional: parameter.endsWith("?")
  }))
  return { label, name: Buffer.from(`${name}\0`), overload: Buffer.from(`${overload}\0`), parameters }
}

/** Typed arrays that libtorch may read or write in place. */
export type HostData = Float32Array | Float64Array | BigInt64Array

/** Strides of a tensor without gaps. */
export const contiguous = (sizes: ReadonlyArray<number>): ReadonlyArray<number> => {
  const strides = new Array<number>(sizes.length)
  let step = 1
  for (let i = sizes.length - 1; i >= 0; i--) {
    strides[i] = step
    step *= sizes[i]!
  }
  return strides
}

/** Words of 8 bytes: the stack, one for results of other calls, sizes and strides of a view. */
const mostDimensions = 6
const spare = 40
const sizesAt = spare + 1
const stridesAt = sizesAt + mostDimensions

/**
 * Blocks of freed memory stay with the process: libtorch allocates its results anew each time, and pages fresh from the system cost
 * more than filling them. Only glibc has this; elsewhere it has no effect.
 */
const keepFreedMemory = (
  load: (path: string) => { readonly func: (of: string) => (...args: ReadonlyArray<number>) => number }
) => {
  if (process.platform !== "linux") return
  try {
    const mallopt = load("libc.so.6").func("int mallopt(int parameter, int value)")
    const [trimThreshold, topPad, mmapThreshold] = [-1, -2, -3]
    mallopt(mmapThreshold, 2 ** 25)
    mallopt(trimThreshold, 2 ** 30)
    mallopt(topPad, 2 ** 26)
  } catch {
    // Another C library: slower by the pages.
  }
}

export const openAbi = async (folder: string, threads: number | undefined) => {
  const { default: koffi } = await import("koffi").catch((cause: unknown) => {
    throw new NoTorch("the package koffi is missing or has no binary for this system", { cause })
  })
  // Read by OpenMP when it is loaded.
  if (threads !== undefined) process.env["OMP_NUM_THREADS"] = String(threads)
  const open = (stem: string) => koffi.load(join(folder, libraryName(stem)), { global: true, lazy: true } as never)
  let library: ReturnType<typeof koffi.load>
  try {
    for (const stem of ["torch_global_deps", "c10"]) open(stem)
    library = open("torch_cpu")
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new NoTorch(`libtorch in ${folder} does not load: ${why}`, { cause })
  }
  let cudaProblem: string | null = `libtorch in ${folder} is built without CUDA`
  try {
    open("c10_cuda")
    library = open("torch_cuda")
    cudaProblem = null
  } catch (cause) {
    if (!/No such file|cannot open shared object file.*(torch_cuda|c10_cuda)/u.test(String(cause))) {
      cudaProblem = String(cause)
    }
  }
  const find = (of: string) => {
    try {
      return library.func(of)
    } catch {
      return null
    }
  }
  const need = (of: string) => {
    const found = find(of)
    if (found !== null) return found
    const name = /(\w+)\(/u.exec(of)?.[1]
    throw new NoTorch(
      `libtorch in ${folder} is older than ${oldest.major}.${oldest.minor} (it has no ${name}): pip install --upgrade torch`
    )
  }
  keepFreedMemory((path) => koffi.load(path) as never)

  const pointer = "uint64_t"
  const c = {
    call: need(`int torch_call_dispatcher(void* name, void* overload, ${pointer} stack, uint64_t version)`),
    abiVersion: need("uint64_t aoti_torch_abi_version()"),
    share: need(`int aoti_torch_new_tensor_handle(${pointer} of, ${pointer} into)`),
    drop: need(`int aoti_torch_delete_tensor_object(${pointer} of)`),
    newList: need(`int torch_new_list_reserve_size(size_t size, ${pointer} into)`),
    push: need(`int torch_list_push_back(${pointer} list, uint64_t element)`),
    newOptional: find(`int torch_new_stable_ivalue(${pointer} into)`),
    what: find("const char* torch_exception_get_what_without_backtrace()"),
    empty: need(
      `int aoti_torch_empty_strided(int64_t dimensions, ${pointer} sizes, ${pointer} strides, int dtype, int type, int index, ${pointer} into)`
    ),
    view: need(
      `int aoti_torch__reinterpret_tensor(${pointer} of, int64_t dimensions, ${pointer} sizes, ${pointer} strides, int64_t offset, ${pointer} into)`
    ),
    fromHost: need(
      `int aoti_torch_create_tensor_from_blob(void* data, int64_t dimensions, ${pointer} sizes, ${pointer} strides, int64_t offset, int dtype, int type, int index, ${pointer} into)`
    ),
    copy: need(`int aoti_torch_copy_(${pointer} to, ${pointer} from, int nonBlocking)`),
    zero: need(`int aoti_torch_zero_(${pointer} of)`),
    scalar: need(`int aoti_torch_scalar_to_tensor_float64(double value, ${pointer} into)`),
    move: need(`${pointer} memmove(${pointer} to, ${pointer} from, size_t bytes)`),
    allocate: need(`${pointer} malloc(size_t bytes)`),
    gradients: need("void aoti_torch_grad_mode_set_enabled(bool enabled)"),
    setThreads: find("void omp_set_num_threads(int threads)")
  }
  const found = BigInt(c.abiVersion() as number | bigint)
  const has = { major: Number(found >> 56n), minor: Number(found >> 48n & 255n) }
  if (has.major * 1000 + has.minor < oldest.major * 1000 + oldest.minor) {
    throw new NoTorch(
      `libtorch in ${folder} is ${has.major}.${has.minor}: 2.10 or newer is needed; pip install --upgrade torch`
    )
  }
  const meaning = BigInt(oldest.major) << 56n | BigInt(oldest.minor) << 48n
  if (threads !== undefined) c.setThreads?.(threads)
  c.gradients(false)

  const memory = new ArrayBuffer(8 * (stridesAt + mostDimensions))
  const words = new Uint32Array(memory)
  const reals = new Float64Array(memory)
  const base = Number(library.func(`${pointer} memmove(void* to, void* from, size_t bytes)`)(words, words, 0))

  const addressOf = (place: number): number => base + 8 * place
  const at = (place: number): number => words[2 * place]! + words[2 * place + 1]! * 2 ** 32
  const put = (place: number, value: number): void => {
    words[2 * place] = value % 2 ** 32
    words[2 * place + 1] = Math.floor(value / 2 ** 32)
  }
  const check = (code: number, label: string): void => {
    if (code === 0) return
    throw new TorchFailed(label, c.what === null ? "libtorch refused it and printed why" : String(c.what()))
  }
  const push = {
    tensor: (to: number, of: Handle): void => void c.share(of, addressOf(to)),
    int: (to: number, value: number): void => {
      // Two's complement; negative ones are small.
      words[2 * to] = value
      words[2 * to + 1] = value < 0 ? -1 : Math.floor(value / 2 ** 32)
    },
    real: (to: number, value: number): void => {
      reals[to] = value
    },
    ints: (to: number, values: ReadonlyArray<number>): void => {
      c.newList(values.length, addressOf(spare))
      const list = at(spare)
      for (const value of values) c.push(list, value < 0 ? BigInt.asUintN(64, BigInt(value)) : value)
      put(to, list)
    },
    tensors: (to: number, values: ReadonlyArray<Handle>): void => {
      c.newList(values.length, addressOf(spare))
      const list = at(spare)
      for (const value of values) {
        c.share(value, addressOf(spare))
        c.push(list, at(spare))
      }
      put(to, list)
    }
  } satisfies Record<Kind, unknown>
  /** Replaces an argument by the address of a copy of it, which the dispatcher frees. */
  const optional = (place: number): void => {
    if (c.newOptional === null) put(spare, Number(c.allocate(8)))
    else check(c.newOptional(addressOf(spare)) as number, "optional argument")
    c.move(at(spare), addressOf(place), 8)
    put(place, at(spare))
  }
  /** Calls an operator; its first result, which the caller drops as all the others (`places.at`). */
  const dispatch = (
    { label, name, overload, parameters }: Operator,
    ...values: ReadonlyArray<number | ReadonlyArray<number> | null>
  ): Handle => {
    for (let i = 0; i < values.length; i++) {
      const parameter = parameters[i]!
      if (values[i] === null) {
        put(i, 0)
        continue
      }
      push[parameter.kind](i, values[i] as never)
      if (parameter.optional) optional(i)
    }
    check(c.call(name, overload, base, meaning) as number, label)
    return at(0)
  }
  const place = (sizes: ReadonlyArray<number>, strides: ReadonlyArray<number>): void => {
    for (let i = 0; i < sizes.length; i++) {
      put(sizesAt + i, sizes[i]!)
      put(stridesAt + i, strides[i]!)
    }
  }
  const [shape, steps, into] = [addressOf(sizesAt), addressOf(stridesAt), addressOf(spare)]
  const dtype = (name: string): number => need(`int aoti_torch_dtype_${name}()`)() as number
  const dtypes = { f32: dtype("float32"), f64: dtype("float64"), bf16: dtype("bfloat16"), i64: dtype("int64") }
  const dtypeOf = (data: HostData): number =>
    data instanceof Float32Array ? dtypes.f32 : data instanceof Float64Array ? dtypes.f64 : dtypes.i64
  const deviceType = (name: "cpu" | "cuda") => need(`int aoti_torch_device_type_${name}()`)() as number
  const cpu = deviceType("cpu")
  return {
    version: has,
    cuda: cudaProblem,
    dispatch,
    check,
    need,
    find,
    /** Places of the stack by their address, for C functions with several arguments and results. */
    addressOf,
    places: {
      at,
      handle: put,
      real: (place: number, value: number): void => {
        reals[place] = value
      }
    },
    /** The place where C functions put a result, and the result. */
    into,
    got: (): Handle => at(spare),
    share: (of: Handle): Handle => {
      check(c.share(of, into) as number, "share")
      return at(spare)
    },
    dtypes,
    dtypeOf,
    deviceType,
    drop: (of: Handle): void => void c.drop(of),
    copy: (to: Handle, from: Handle, wait: boolean): void => check(c.copy(to, from, wait ? 0 : 1) as number, "copy_"),
    zero: (of: Handle): void => check(c.zero(of) as number, "zero_"),
    empty: (
      sizes: ReadonlyArray<number>,
      strides: ReadonlyArray<number>,
      dtype: number,
      type: number,
      index: number
    ) => {
      place(sizes, strides)
      check(c.empty(sizes.length, shape, steps, dtype, type, index, into) as number, "empty")
      return at(spare)
    },
    view: (of: Handle, sizes: ReadonlyArray<number>, strides: ReadonlyArray<number>, offset: number): Handle => {
      place(sizes, strides)
      check(c.view(of, sizes.length, shape, steps, offset, into) as number, "view")
      return at(spare)
    },
    /** A tensor of the host's own memory, which must outlive it. */
    onHost: (data: HostData, sizes: ReadonlyArray<number>): Handle => {
      place(sizes, contiguous(sizes))
      check(c.fromHost(data, sizes.length, shape, steps, 0, dtypeOf(data), cpu, 0, into) as number, "from_blob")
      return at(spare)
    },
    scalar: (value: number): Handle => {
      check(c.scalar(value, into) as number, "scalar")
      return at(spare)
    }
  }
}

export type Abi = Awaited<ReturnType<typeof openAbi>>
