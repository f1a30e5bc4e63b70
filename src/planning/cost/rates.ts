/** Costs in seconds, linear in the counted work: the cost of a sum is the sum of the costs. */
import * as Schema from "effect/Schema"

/** Seconds per call, per byte that it moves (host work: per unit) and per floating-point operation. */
export const Rates = Schema.Struct({ call: Schema.Finite, byte: Schema.Finite, flop: Schema.Finite })
export type Rates = typeof Rates.Type

/** By the name of the work: a call of `Backend`, or of the host (`HostWork`). */
export const RateTable = Schema.Record(Schema.String, Rates)
export type RateTable = typeof RateTable.Type

export const free: Rates = { call: 0, byte: 0, flop: 0 }

/** Seconds of `calls` pieces of work of `bytes` and `flops` in total; work without a rate is free. */
export const secondsOf = (rates: Rates = free, calls: number, bytes: number, flops: number): number =>
  rates.call * calls + rates.byte * bytes + rates.flop * flops
