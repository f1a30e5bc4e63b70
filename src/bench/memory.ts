/** Peak resident memory of a process that only trains `mid`. */
import { readFileSync } from "node:fs"
import type { Engine } from "../engine/engine.ts"
import { trainStep } from "./cases.ts"
import type { Workload } from "./models.ts"

/** Steps after which it no longer grows. */
export const memorySteps = 4

export interface Resident {
  /** Bytes before the model was opened: the runtime and its modules. */
  readonly baseline: number
  /** Most bytes at any time. */
  readonly peak: number
}

/** Most resident memory this process ever had, bytes. */
export const peakResident = (): number => {
  try {
    const kilobytes = /^VmHWM:\s*(\d+) kB$/mu.exec(readFileSync("/proc/self/status", "utf8"))?.[1]
    if (kilobytes !== undefined) return Number(kilobytes) * 1024
  } catch {
    // Not Linux, where maxRSS could include the parent's memory from before the exec; elsewhere there is no other number.
  }
  return process.resourceUsage().maxRSS * 1024
}

/** To be called in a process of its own. */
export const trainAlone = (engine: Engine, workload: () => Workload, recompute: boolean): Resident => {
  const baseline = peakResident()
  const open = () => {
    const { weights, ...work } = workload()
    return { policy: engine.policy(weights, { recompute }), work }
  }
  const { policy, work } = open()
  for (let step = 0; step < memorySteps; step++) trainStep(policy, work, step)
  return { baseline, peak: peakResident() }
}
