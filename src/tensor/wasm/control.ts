/** Words of the control block through which the main thread hands kernels to the workers. */
export const control = {
  /** Counts the hand-offs; workers wait for it to change. */
  epoch: 0,
  /** Workers that have not finished the kernel. */
  pending: 1,
  kernel: 2,
  arguments: 3,
  /** Address of thread 0's scratch, and bytes from one thread's to the next. */
  scratch: 4,
  scratchStride: 5,
  /** Workers asleep in `Atomics.wait`. */
  asleep: 6,
  /** 1 when a kernel trapped in a worker. */
  failed: 7,
  stop: 8,
  words: 16
} as const

/** Bytes of the control block: the words, then the arguments as doubles. */
export const maxArguments = 24
export const controlBytes = 4 * control.words + 8 * maxArguments

/** Looks at a word this often, some tens of microseconds, before going to sleep. */
export const spins = 10000

/** What a worker is started with. */
export interface WorkerStart {
  readonly module: WebAssembly.Module
  readonly memory: WebAssembly.Memory
  readonly names: ReadonlyArray<string>
  readonly controlPointer: number
  readonly stackTop: number
  readonly thread: number
  readonly threads: number
}

export type Kernel = (...args: ReadonlyArray<number>) => number | undefined

/** An instance of the kernels with its stack below `stackTop` (the module's own where it is undefined). */
export const instantiate = (module: WebAssembly.Module, memory: WebAssembly.Memory, stackTop?: number) => {
  const { exports } = new WebAssembly.Instance(module, { env: { memory } })
  if (stackTop !== undefined) (exports["__stack_pointer"] as WebAssembly.Global).value = stackTop
  return exports as Record<string, Kernel> & Record<"__heap_base", WebAssembly.Global>
}
