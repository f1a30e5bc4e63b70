import { extname } from "node:path"
import { Worker } from "node:worker_threads"
import { type Machine, maxParts, partsOf } from "../compiled/machine.ts"
import { control, controlBytes, controlViews, finish, instantiate, left, spins, take } from "./control.ts"
import type { WorkerStart } from "./control.ts"
import { linearMemory } from "./linearMemory.ts"

const stackBytes = 65536
const initialPages = 256
const maxPages = 65536

const startWorker = (workerData: WorkerStart): Promise<Worker> =>
  new Promise((resolve, reject) => {
    const worker = new Worker(new URL(`./worker${extname(import.meta.url)}`, import.meta.url), {
      workerData,
      execArgv: []
    })
    worker.once("error", reject)
    worker.once("message", () => {
      // From now on the worker does not keep the process alive.
      worker.unref()
      resolve(worker)
    })
  })

/** The kernels, `threads` - 1 workers that wait for them, and the memory all of them share. */
export const startThreads = async (module: WebAssembly.Module, threads: number): Promise<Machine> => {
  const memory = new WebAssembly.Memory({ initial: initialPages, maximum: maxPages, shared: true })
  const exports = instantiate(module, memory)
  const heap = linearMemory(memory, Math.ceil(Number(exports.__heap_base.value) / 64) * 64)
  const names = WebAssembly.Module.exports(module).filter(({ kind }) => kind === "function").map(({ name }) => name)
  const ids = new Map(names.map((name, id) => [name, id]))
  const kernels = names.map((name) => exports[name]!)

  const { pointer: controlPointer } = heap.allocate(controlBytes)
  const { values, words } = controlViews(memory, controlPointer)
  words.fill(0)

  const workers = await Promise.all(Array.from({ length: threads - 1 }, (_, i) => {
    const stackTop = heap.allocate(stackBytes).pointer + stackBytes
    return startWorker({ module, memory, names, controlPointer, stackTop, thread: i + 1 })
  }))

  let scratch = heap.allocate(0)
  let scratchStride = 0
  /** Makes room for `floats` floats of scratch for each thread. */
  const reserve = (floats: number): void => {
    const bytes = Math.ceil(floats / 16) * 64
    if (bytes <= scratchStride) return
    heap.free(scratch)
    scratch = heap.allocate(bytes * threads)
    scratchStride = bytes
  }

  /** Job number in the place it has in a ticket. */
  let job = 0

  const join = (): void => {
    for (let spun = 0;; spun++) {
      const pending = Atomics.load(words, control.pending)
      if (pending === 0) break
      if (spun > spins) Atomics.wait(words, control.pending, pending)
    }
    if (words[control.failed] !== 0) throw new Error("wasm: a kernel trapped in a worker thread")
  }

  /** Runs a kernel of about `work` floating-point operations on as many threads as it is worth. */
  const run = (name: string, work: number, args: ReadonlyArray<number>): void => {
    const id = ids.get(name)!
    const kernel = kernels[id]!
    const parts = partsOf(work, threads)
    if (parts === 1) {
      kernel(0, 1, scratch.pointer, ...args)
      return
    }
    for (let i = 0; i < args.length; i++) values[i] = args[i]!
    words[control.kernel] = id
    words[control.parts] = parts
    words[control.arguments] = args.length
    words[control.scratch] = scratch.pointer
    words[control.scratchStride] = scratchStride
    job = (job + maxParts + 1) | 0
    Atomics.store(words, control.pending, parts)
    Atomics.store(words, control.ticket, job + parts)
    if (Atomics.load(words, control.asleep) > 0) Atomics.notify(words, control.ticket)
    for (let ticket = job + parts; left(ticket) > 0; ticket = Atomics.load(words, control.ticket)) {
      if (!take(words, ticket)) continue
      try {
        kernel(left(ticket) - 1, parts, scratch.pointer, ...args)
      } finally {
        finish(words)
      }
    }
    join()
  }

  const stop = (): void => {
    Atomics.store(words, control.stop, 1)
    Atomics.store(words, control.ticket, job + 1)
    Atomics.notify(words, control.ticket)
    for (const worker of workers) void worker.terminate()
  }

  return {
    name: "wasm",
    addressable: maxPages * 65536,
    bf16: false,
    allocate: heap.allocate,
    free: heap.free,
    write: (pointer, data) => heap.floats().set(data, pointer / 4),
    writeInts: (pointer, data) => heap.ints().set(data, pointer / 4),
    read: (pointer, length) => Float32Array.from(heap.floats().subarray(pointer / 4, pointer / 4 + length)),
    readDoubles: (pointer, length) => Float64Array.from(heap.doubles().subarray(pointer / 8, pointer / 8 + length)),
    reserve,
    ask: (name, ...args) => exports[name]!(...args)!,
    run,
    stop
  }
}
