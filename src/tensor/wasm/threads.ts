import { Worker } from "node:worker_threads"
import { control, controlBytes, instantiate, maxArguments, spins } from "./control.ts"
import type { WorkerStart } from "./control.ts"
import { makeHeap } from "./heap.ts"

const stackBytes = 65536
const initialPages = 256
const maxPages = 65536

/** Below so many floating-point operations a kernel runs on the main thread alone: a hand-off would cost more than it saves. */
const handOffWork = 200_000

const startWorker = (workerData: WorkerStart): Promise<Worker> =>
  new Promise((resolve, reject) => {
    const worker = new Worker(new URL("./worker.ts", import.meta.url), { workerData, execArgv: [] })
    worker.once("error", reject)
    worker.once("message", () => {
      // From now on the worker does not keep the process alive.
      worker.unref()
      resolve(worker)
    })
  })

/** The kernels, `threads` - 1 workers that wait for them, and the memory all of them share. */
export const startThreads = async (module: WebAssembly.Module, threads: number) => {
  const memory = new WebAssembly.Memory({ initial: initialPages, maximum: maxPages, shared: true })
  const exports = instantiate(module, memory)
  const heap = makeHeap(memory, Number(exports.__heap_base.value))
  const names = WebAssembly.Module.exports(module).filter(({ kind }) => kind === "function").map(({ name }) => name)
  const ids = new Map(names.map((name, id) => [name, id]))
  const kernels = names.map((name) => exports[name]!)

  const { pointer: controlPointer } = heap.allocate(controlBytes)
  const words = new Int32Array(memory.buffer, controlPointer, control.words)
  const values = new Float64Array(memory.buffer, controlPointer + 4 * control.words, maxArguments)
  words.fill(0)

  const workers = await Promise.all(Array.from({ length: threads - 1 }, (_, i) => {
    const stackTop = heap.allocate(stackBytes).pointer + stackBytes
    return startWorker({ module, memory, names, controlPointer, stackTop, thread: i + 1, threads })
  }))

  let scratch = heap.allocate(0)
  let scratchStride = 0
  /** Makes room for `floats` floats of scratch for each thread. */
  const reserve = (floats: number): void => {
    const bytes = Math.ceil(floats / 16) * 64
    if (bytes <= scratchStride) return
    heap.free(scratch.pointer, scratch.bytes)
    scratch = heap.allocate(bytes * threads)
    scratchStride = bytes
  }

  let epoch = 0
  const join = (): void => {
    for (let spun = 0;; spun++) {
      const left = Atomics.load(words, control.pending)
      if (left === 0) break
      if (spun > spins) Atomics.wait(words, control.pending, left)
    }
    if (words[control.failed] !== 0) throw new Error("wasm: a kernel trapped in a worker thread")
  }

  /** Runs a kernel of about `work` floating-point operations on as many threads as it is worth. */
  const run = (name: string, work: number, args: ReadonlyArray<number>): void => {
    const id = ids.get(name)!
    if (workers.length === 0 || work < handOffWork) {
      kernels[id]!(0, 1, scratch.pointer, ...args)
      return
    }
    for (let i = 0; i < args.length; i++) values[i] = args[i]!
    words[control.kernel] = id
    words[control.arguments] = args.length
    words[control.scratch] = scratch.pointer
    words[control.scratchStride] = scratchStride
    Atomics.store(words, control.pending, workers.length)
    Atomics.store(words, control.epoch, epoch = (epoch + 1) | 0)
    if (Atomics.load(words, control.asleep) > 0) Atomics.notify(words, control.epoch)
    try {
      kernels[id]!(0, threads, scratch.pointer, ...args)
    } finally {
      join()
    }
  }

  const stop = (): void => {
    Atomics.store(words, control.stop, 1)
    Atomics.add(words, control.epoch, 1)
    Atomics.notify(words, control.epoch)
    for (const worker of workers) void worker.terminate()
  }

  return { heap, reserve, run, stop, floatsOf: (name: string, ...args: ReadonlyArray<number>) => exports[name]!(...args)! }
}

/** What `startThreads` starts. */
export type Threads = Awaited<ReturnType<typeof startThreads>>
