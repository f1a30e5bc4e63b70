/** Bytes lent out of a machine's memory, on a 64-byte boundary; `bytes` is their real size. */
export interface Block {
  readonly pointer: number
  readonly bytes: number
}

/**
 * The machine that runs the C kernels of `../kernels`: memory with addresses, and threads. WebAssembly and the system's own instructions
 * are the two there are; everything above (`backend.ts`) is the same for both.
 */
export interface Machine {
  /** `wasm`, `native`. */
  readonly name: string
  /** Most bytes it can address. */
  readonly addressable: number
  /** Whether products of factors rounded to bfloat16 are there. */
  readonly bf16: boolean

  readonly allocate: (bytes: number) => Block
  readonly free: (block: Block) => void
  /** Writes numbers as float32. */
  readonly write: (pointer: number, data: Float32Array | Float64Array) => void
  readonly writeInts: (pointer: number, data: Int32Array) => void
  readonly read: (pointer: number, length: number) => Float32Array
  readonly readDoubles: (pointer: number, length: number) => Float64Array

  /** Makes room for `floats` floats of scratch for each thread. */
  readonly reserve: (floats: number) => void
  /** The result of a `SCRATCH` or `VALUE` function of the kernels. */
  readonly ask: (name: string, ...args: ReadonlyArray<number>) => number
  /** Runs a kernel of about `work` floating-point operations on as many threads as it is worth. */
  readonly run: (kernel: string, work: number, args: ReadonlyArray<number>) => void
  readonly stop: () => void
}

/** The requested bytes when memory ran out. */
export interface Shortage {
  /** The kernel that asked. */
  readonly phase: string
  readonly needed: number
  /** The bytes that were left. */
  readonly available: number
}

/** A machine has no room for the request. Stops the process: the checkpoint before it stays. */
export class NoRoom extends Error {
  readonly _tag = "NoRoom"
  readonly shortage: Shortage | undefined
  constructor(message: string, options: ErrorOptions & { readonly shortage?: Shortage } = {}) {
    super(message, options)
    this.shortage = options.shortage
  }
}

/** Below this number of floating-point operations a kernel runs on one thread: a hand-off would cost more than it saves. */
const handOffWork = 200_000

/** From so many on, a kernel is cut into more parts than there are threads, so that none waits long for the slowest. */
const finePartsWork = 40_000_000
const finePartsPerThread = 4

/** A kernel is cut into at most so many parts. */
export const maxParts = 255

/** Parts into which a kernel of about `work` floating-point operations is cut for `threads` threads. */
export const partsOf = (work: number, threads: number): number =>
  threads === 1 || work < handOffWork
    ? 1
    : Math.min(maxParts, work < finePartsWork ? threads : finePartsPerThread * threads)
