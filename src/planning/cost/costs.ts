/** What work costs: on a machine that was measured, or on a device by its published figures. */
import type { Cost } from "../../tensor/counting/backend.ts"
import { type RateTable, secondsOf } from "./rates.ts"

export interface Costs {
  readonly backend: Cost
  /** Of the work of the host, by `HostWork`. */
  readonly host: RateTable
}

/** By rates of both: those of a call in its precision where there are any. */
export const measured = (rates: RateTable): Costs => ({
  backend: (what, flops, bytes, precision) =>
    secondsOf((precision === "f32" ? undefined : rates[`${what} ${precision}`]) ?? rates[what], 1, bytes, flops),
  host: rates
})

/** What a device can do at best, and what share of it is assumed. */
export interface Roof {
  /** Floating-point operations a second. */
  readonly peak: Readonly<Record<"f32" | "bf16", number>>
  /** Bytes a second to and from its memory. */
  readonly bandwidth: number
}

/** Shares of a peak that are assumed to be reached: printed with every estimate that is made by them. */
export const assumed = {
  /** Of the peak, by matrix products of many rows; those of few are bound by memory. */
  products: 0.6,
  /** Of the peak, by attention over whole sequences. */
  attention: 0.5,
  /** Of the bandwidth, by everything that is bound by memory: decoding, norms, updates, copies. */
  bandwidth: 0.8,
  /** Seconds before a kernel begins. */
  launch: 4e-6,
  /** Bytes a second between host and device (PCIe 5.0 × 16 reaches about 50e9). */
  transfer: 40e9
} as const

/**
 * The roofline (Williams, Waterman and Patterson 2009): a kernel takes as long as its operations or as its bytes, whichever is longer, at
 * the assumed shares of the published peaks. What the host does besides is not in it.
 */
export const roofline = ({ bandwidth, peak }: Roof): Costs => ({
  backend: (what, flops, bytes, precision) => {
    if (what === "write" || what === "writeInts" || what === "read") return assumed.launch + bytes / assumed.transfer
    const share = what.startsWith("attention") ? assumed.attention : assumed.products
    return assumed.launch + Math.max(flops / (share * peak[precision]), bytes / (assumed.bandwidth * bandwidth))
  },
  host: {}
})
