import { maxParts } from "../compiled/machine.ts"

/**
 * Words of the control block through which the main thread shares out a kernel. A kernel is cut into parts; whoever is free
 * takes the next one, so that the main thread never waits for a worker that the machine has not woken up yet.
 */
export const control = {
  /** The job, in the upper 24 bits, and the number of its free parts, in the lower 8. */
  ticket: 0,
  /** Parts not finished. */
  pending: 1,
  kernel: 2,
  parts: 3,
  arguments: 4,
  /** Address of thread 0's scratch, and bytes from one thread's to the next. */
  scratch: 5,
  scratchStride: 6,
  /** Workers asleep in `Atomics.wait`. */
  asleep: 7,
  /** 1 when a kernel trapped in a worker. */
  failed: 8,
  stop: 9,
  words: 16
} as const

/** Bytes of the control block: the words, then the arguments as doubles. */
export const maxArguments = 24
export const controlBytes = 4 * control.words + 8 * maxArguments

/** Looks at a word this often, some tens of microseconds, before going to sleep. */
export const spins = 10000

/** The data that a worker starts with. */
export interface WorkerStart {
  readonly module: WebAssembly.Module
  readonly memory: WebAssembly.Memory
  readonly names: ReadonlyArray<string>
  readonly controlPointer: number
  readonly stackTop: number
  readonly thread: number
}

export type Kernel = (...args: ReadonlyArray<number>) => number | undefined

/** An instance of the kernels with its stack below `stackTop` (the module's own where it is undefined). */
export const instantiate = (module: WebAssembly.Module, memory: WebAssembly.Memory, stackTop?: number) => {
  const { exports } = new WebAssembly.Instance(module, { env: { memory } })
  if (stackTop !== undefined) (exports["__stack_pointer"] as WebAssembly.Global).value = stackTop
  return exports as Record<string, Kernel> & Record<"__heap_base", WebAssembly.Global>
}

/** A thread's view of the control block. */
export const controlViews = (memory: WebAssembly.Memory, pointer: number) => ({
  words: new Int32Array(memory.buffer, pointer, control.words),
  values: new Float64Array(memory.buffer, pointer + 4 * control.words, maxArguments)
})

/** Takes the last part of the job of `ticket` that is left; false when another thread took it first or it is an old job. */
export const take = (words: Int32Array, ticket: number): boolean =>
  Atomics.compareExchange(words, control.ticket, ticket, ticket - 1) === ticket

/** Free parts of the job. */
export const left = (ticket: number): number => ticket & maxParts

/** Tells the main thread that a part is finished. */
export const finish = (words: Int32Array): void => {
  if (Atomics.sub(words, control.pending, 1) === 1) Atomics.notify(words, control.pending)
}
