import { closeSync, openSync } from "node:fs"
import { createRequire } from "node:module"

/**
 * Runs `work` and hides the output of native code on standard error meanwhile: TensorFlow greets with two lines of its own that no
 * setting of it turns off. Errors are thrown, not written.
 */
export const hushed = <A>(work: () => A): A => {
  let libc
  try {
    libc = createRequire(import.meta.url)("koffi").load(null)
  } catch {
    return work()
  }
  const [dup, dup2, close] = [libc.func("int dup(int)"), libc.func("int dup2(int, int)"), libc.func("int close(int)")]
  const [before, nowhere] = [dup(2), openSync("/dev/null", "w")]
  dup2(nowhere, 2)
  try {
    return work()
  } finally {
    dup2(before, 2)
    close(before)
    closeSync(nowhere)
  }
}
