/** Costs of work: on a measured machine, or on a device by its published figures. */
import type { Precision } from "../../tensor/backend.ts"
import type { Cost } from "../../tensor/counting/backend.ts"
import type { Phase } from "../../tensor/counting/memoryTerms.ts"
import { efficiency } from "./efficiency.ts"
import { type RateTable, secondsOf } from "./rates.ts"

export interface Costs {
  readonly backend: Cost
  /** Costs of host work, by `HostWork`. */
  readonly host: RateTable
  /**
   * The least seconds of a phase with this many floating-point operations, of models of so many (active) parameters: others
   * reached no more, and kernels alone say only the possible.
   */
  readonly reached?: (phase: Phase, flops: number, of: {
    readonly parameters: number
    readonly precision: Precision
    /** Whether rows are trained on without padding. */
    readonly packs: boolean
  }) => number
}

/** Measured costs. A call has the rates of its precision, if there are any. */
export const measured = (rates: RateTable): Costs => ({
  backend: (what, flops, bytes, precision) =>
    secondsOf((precision === "f32" ? undefined : rates[`${what} ${precision}`]) ?? rates[what], 1, bytes, flops),
  host: rates
})

/** The published peaks of a device, and the share of them that is assumed. */
export interface Roof {
  /** Floating-point operations a second. */
  readonly peak: Readonly<Record<"f32" | "bf16", number>>
  /** Bytes a second to and from its memory. */
  readonly bandwidth: number
}

/** Assumed shares of the peaks, printed with every estimate that uses them. */
export const assumed = {
  /** Share of the peak in matrix products of many rows; memory limits products of few rows. */
  products: 0.6,
  /** Share of the peak in attention over whole sequences. */
  attention: 0.5,
  /** Share of the bandwidth in work limited by memory: decoding, norms, updates, copies. */
  bandwidth: 0.8,
  /** Seconds before a kernel begins. */
  launch: 4e-6,
  /** Bytes a second between host and device (PCIe 5.0 × 16 reaches about 50e9). */
  transfer: 40e9
} as const

/**
 * The roofline (Williams, Waterman and Patterson 2009): a kernel takes the time of its operations or of its bytes,
 * whichever is longer, at the assumed shares of the published peaks; a phase at least what others reached. Host work is not included.
 */
export const roofline = ({ bandwidth, peak }: Roof): Costs => ({
  backend: (what, flops, bytes, precision) => {
    if (what === "write" || what === "writeInts" || what === "read") return assumed.launch + bytes / assumed.transfer
    const share = what.startsWith("attention") ? assumed.attention : assumed.products
    return assumed.launch + Math.max(flops / (share * peak[precision]), bytes / (assumed.bandwidth * bandwidth))
  },
  host: {},
  reached: (phase, flops, { packs, parameters, precision }) => {
    const share = efficiency(phase, parameters, packs)
    return share === null ? 0 : flops / (share * peak[precision])
  }
})
