import { availableParallelism } from "node:os"
import type { Backend } from "../backend.ts"
import { makeBackend } from "../compiled/backend.ts"
import { makeHeap } from "../compiled/heap.ts"
import { type Block, type Machine, NoRoom, partsOf } from "../compiled/machine.ts"
import { build, NoNative } from "./build.ts"

/** The large pages of the system, and how many are asked for at once. */
const pageBytes = 2 ** 21
const growthPages = 16

/** Numbers that pool.c copies out of `arguments`, whatever a kernel takes. */
const maxArguments = 24

const start = async (threads: number): Promise<Machine> => {
  const { path, signatures } = await build()
  const { default: koffi } = await import("koffi").catch((cause: unknown) => {
    throw new NoNative("the package koffi is missing or has no binary for this system", { cause })
  })
  const library = koffi.load(path)
  const c = {
    open: library.func("double keel_open(int threads)"),
    close: library.func("void keel_close(double pool)"),
    scratch: library.func("void keel_scratch(double pool, double scratch, double stride)"),
    run: library.func("void keel_run(double pool, int kernel, int parts, const double *arguments)"),
    ask: library.func("double keel_ask(int value, const double *arguments)"),
    map: library.func("double keel_map(double bytes)"),
    unmap: library.func("void keel_unmap(double pointer, double bytes)"),
    release: library.func("void keel_release(double pointer, double bytes)"),
    write: library.func("void keel_write(double to, const void *from, double bytes)"),
    read: library.func("void keel_read(void *to, double from, double bytes)")
  }
  const numbersOf = (kind: "kernel" | "value") =>
    new Map(signatures.filter((f) => f.kind === kind).map(({ name }, number) => [name, number]))
  const kernels = numbersOf("kernel")
  const values = numbersOf("value")
  const pool: number = c.open(threads)
  if (pool === 0) throw new NoNative(`the system refuses ${threads} threads`)

  const regions: Array<Block> = []
  const heap = makeHeap((requested) => {
    const bytes = pageBytes * Math.max(growthPages, Math.ceil(requested / pageBytes))
    const pointer: number = c.map(bytes)
    if (pointer === 0) {
      throw new NoRoom(
        `native: the system has no ${requested} bytes more. Take recompute: true or smaller batches; the last checkpoint is kept.`
      )
    }
    const region = { pointer, bytes }
    regions.push(region)
    return region
  })
  const free = (block: Block): void => {
    if (block.bytes >= 2 * pageBytes) c.release(block.pointer, block.bytes)
    heap.free(block)
  }

  let scratch: Block = { pointer: 0, bytes: 0 }
  let stride = 0
  const passed = new Float64Array(maxArguments)
  const pass = (args: ReadonlyArray<number>): Float64Array => {
    for (let i = 0; i < args.length; i++) passed[i] = args[i]!
    return passed
  }
  const copied = <A extends Float32Array | Float64Array>(to: A, pointer: number): A => {
    c.read(to, pointer, to.byteLength)
    return to
  }
  const ask = (name: string, ...args: ReadonlyArray<number>): number => c.ask(values.get(name)!, pass(args))

  return {
    name: "native",
    addressable: Infinity,
    bf16: ask("multiplies_pairs") === 1,
    allocate: heap.allocate,
    free,
    write: (pointer, data) => {
      const floats = data instanceof Float32Array ? data : Float32Array.from(data)
      c.write(pointer, floats, 4 * floats.length)
    },
    writeInts: (pointer, data) => c.write(pointer, data, 4 * data.length),
    read: (pointer, length) => copied(new Float32Array(length), pointer),
    readDoubles: (pointer, length) => copied(new Float64Array(length), pointer),
    reserve: (floats) => {
      const bytes = Math.ceil(floats / 16) * 64
      if (bytes <= stride) return
      if (scratch.bytes > 0) free(scratch)
      scratch = heap.allocate(bytes * threads)
      stride = bytes
      c.scratch(pool, scratch.pointer, stride)
    },
    ask,
    run: (kernel, work, args) => c.run(pool, kernels.get(kernel)!, partsOf(work, threads), pass(args)),
    stop: () => {
      c.close(pool)
      for (const { bytes, pointer } of regions) c.unmap(pointer, bytes)
    }
  }
}

/**
 * The CPU backend for this very processor: the C kernels (`../kernels`) compiled by the system's compiler (AVX-512, AVX2 or
 * NEON) on first use, with a pool of `threads` threads (the cores of the machine unless given). Results do not depend on the
 * number of threads. Throws `NoNative` where there is no compiler.
 */
export const native = async (options?: { readonly threads?: number }): Promise<Backend> => {
  const threads = options?.threads ?? availableParallelism()
  if (!Number.isInteger(threads) || threads < 1) throw new Error(`native: ${threads} threads`)
  return makeBackend(await start(threads))
}
