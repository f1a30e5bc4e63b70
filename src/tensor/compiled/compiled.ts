import type { Tensor } from "../backend.ts"
import type { Machine } from "./machine.ts"
import type { Memory } from "./memory.ts"

/** Rough floating-point operations for each element of a kernel that moves, adds or passes it through an exponential. */
export const moving = 4
export const adding = 6
export const exponential = 30

/** The common ground of kernel calls: a machine, its memory, and checks that throw with the name of the kernel. */
export interface Compiled extends Pick<Memory, "real" | "int" | "integers"> {
  readonly machine: Machine
  readonly run: Machine["run"]
  readonly need: (condition: boolean, kernel: string, complaint: () => string) => void
  /** Rows of `width` elements in a tensor that must hold a whole number of them. */
  readonly rowsOf: (kernel: string, name: string, tensor: Tensor, width: number) => number
}

export const compiled = (machine: Machine, { fail, int, integers, real }: Memory): Compiled => {
  const need: Compiled["need"] = (condition, kernel, complaint) => {
    if (!condition) fail(kernel, complaint())
  }
  return {
    machine,
    run: machine.run,
    real,
    int,
    integers,
    need,
    rowsOf: (kernel, name, tensor, width) => {
      need(
        width > 0 && tensor.length % width === 0,
        kernel,
        () => `${name} has length ${tensor.length}, expected a multiple of ${width}`
      )
      return tensor.length / width
    }
  }
}
