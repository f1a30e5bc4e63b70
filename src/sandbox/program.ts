/** A program to be run in a sandbox, and its limits. */
export interface Limits {
  /** Of a processor, for each process. */
  readonly seconds: number
  /** Of the clock. */
  readonly wall: number
  /** MiB for each process. */
  readonly memory: number
  /** Processes and threads at a time. */
  readonly processes: number
  /** Bytes that are read of what it prints. */
  readonly output: number
}

export interface Sandboxed {
  /** An absolute path and arguments. */
  readonly command: readonly [string, ...ReadonlyArray<string>]
  /** Folders and files outside `/usr` that it may read: those of the interpreter. */
  readonly reads?: ReadonlyArray<string>
  readonly env?: Readonly<Record<string, string>>
  /** Files that are there when it starts, read-only, by their absolute paths in the sandbox. */
  readonly files?: ReadonlyArray<{ readonly name: string; readonly text: string }>
  /** All of its input, also as `/dev/stdin`. */
  readonly input?: string
  readonly limits: Limits
}
