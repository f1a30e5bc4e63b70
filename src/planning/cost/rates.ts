/** What work costs in time: seconds that are linear in what is counted of it, so that a sum of work costs the sum of its costs. */
import * as Schema from "effect/Schema"

/** Seconds for each call, each byte that it moves (for the host's work: each unit of it) and each floating-point operation. */
export const Rates = Schema.Struct({ call: Schema.Finite, byte: Schema.Finite, flop: Schema.Finite })
export type Rates = typeof Rates.Type

/** By the name of the work: a call of `Backend`, or of the host (`HostWork`). */
export const RateTable = Schema.Record(Schema.String, Rates)
export type RateTable = typeof RateTable.Type

export const free: Rates = { call: 0, byte: 0, flop: 0 }

/** Seconds of `calls` pieces of work that are `bytes` and `flops` in all; what is in no table is free. */
export const secondsOf = (rates: Rates = free, calls: number, bytes: number, flops: number): number =>
  rates.call * calls + rates.byte * bytes + rates.flop * flops
