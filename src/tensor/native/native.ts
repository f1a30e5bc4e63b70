import { availableParallelism } from "node:os"
import type { Backend } from "../backend.ts"
import { makeBackend } from "../compiled/backend.ts"
import { type Block, type Machine, partsOf } from "../compiled/machine.ts"
import { build, NoNative } from "./build.ts"

const alignment = 64
/** Blocks of this size and more are whole pages of the system (16 KiB at most). */
const largeBytes = 2 ** 21
const pageBytes = 2 ** 14

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
    allocate: library.func("double keel_allocate(double bytes)"),
    free: library.func("void keel_free(double pointer, double bytes)"),
    write: library.func("void keel_write(double to, const void *from, double bytes)"),
    read: library.func("void keel_read(void *to, double from, double bytes)")
  }
  const numbersOf = (kind: "kernel" | "value") =>
    new Map(signatures.filter((f) => f.kind === kind).map(({ name }, number) => [name, number]))
  const kernels = numbersOf("kernel")
  const values = numbersOf("value")
  const pool: number = c.open(threads)
  if (pool === 0) throw new NoNative(`the system refuses ${threads} threads`)

  const blocks = new Set<Block>()
  const allocate = (requested: number): Block => {
    const unit = requested < largeBytes ? alignment : pageBytes
    const bytes = Math.max(alignment, Math.ceil(requested / unit) * unit)
    const pointer: number = c.allocate(bytes)
    if (pointer === 0) {
      throw new Error(`native: the system has no ${bytes} bytes more; choose a smaller micro-batch, or recompute: true`)
    }
    const block = { pointer, bytes }
    blocks.add(block)
    return block
  }
  const free = (block: Block): void => {
    if (!blocks.delete(block)) throw new Error("native: freed twice")
    c.free(block.pointer, block.bytes)
  }

  let scratch: Block = { pointer: 0, bytes: 0 }
  let stride = 0
  const passed = new Float64Array(maxArguments)
  const pass = (args: ReadonlyArray<number>): Float64Array => {
    for (let i = 0; i < args.length; i++) passed[i] = args[i]!
    return passed
  }
  const ask = (name: string, ...args: ReadonlyArray<number>): number => c.ask(values.get(name)!, pass(args))

  return {
    name: "native",
    addressable: Infinity,
    bf16: ask("multiplies_pairs") === 1,
    allocate,
    free,
    write: (pointer, data) => {
      const floats = data instanceof Float32Array ? data : Float32Array.from(data)
      c.write(pointer, floats, 4 * floats.length)
    },
    writeInts: (pointer, data) => c.write(pointer, data, 4 * data.length),
    read: (pointer, length) => {
      const copy = new Float32Array(length)
      c.read(copy, pointer, 4 * length)
      return copy
    },
    readDoubles: (pointer, length) => {
      const copy = new Float64Array(length)
      c.read(copy, pointer, 8 * length)
      return copy
    },
    reserve: (floats) => {
      const bytes = Math.ceil(floats / 16) * 64
      if (bytes <= stride) return
      if (scratch.bytes > 0) free(scratch)
      scratch = allocate(bytes * threads)
      stride = bytes
      c.scratch(pool, scratch.pointer, stride)
    },
    ask,
    run: (kernel, work, args) => c.run(pool, kernels.get(kernel)!, partsOf(work, threads), pass(args)),
    stop: () => {
      c.close(pool)
      for (const block of blocks) c.free(block.pointer, block.bytes)
      blocks.clear()
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
