import type { Machine } from "./machine.ts"
import type { Memory } from "./memory.ts"

/** Rough floating-point operations for each element of a kernel that moves, adds or passes it through an exponential. */
export const moving = 4
export const adding = 6
export const exponential = 30

/** The common ground of kernel calls: a machine, its memory, and checks that throw with the name of the kernel. */
export interface Compiled extends Memory {
  readonly machine: Machine
  readonly run: Machine["run"]
}
