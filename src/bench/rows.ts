/** Measurements as cells of a table. */
import { size } from "../../dsl/Size.ts"
import { peerTitles } from "./peers.ts"
import type { Case } from "./cases.ts"
import type { Result } from "./bench.ts"
import { mapSpread, ratio, type Spread, spread } from "./statistics.ts"

type Cells = ReadonlyArray<ReadonlyArray<string>>

/** Three digits, more only for whole numbers. */
const digits = (x: number): string =>
  !Number.isFinite(x) ? "–" : x >= 100 ? x.toFixed(0) : x >= 10 ? x.toFixed(1) : x.toFixed(2)

const thousands = (x: number): string => x >= 10_000 ? `${digits(x / 1000)}k` : digits(x)

/** Seconds as the case shows them. */
export const inUnit = ({ amount, show }: Case, seconds: Spread): Spread =>
  mapSpread(seconds, (s) => {
    switch (show) {
      case "ms":
        return 1000 * s
      case "tok/s":
        return amount / s
      case "GF/s":
      case "GB/s":
        return amount / s / 1e9
    }
  })

const shown = ({ max, median, min }: Spread): string => `${thousands(median)} (${thousands(min)}–${thousands(max)})`

const times = ({ max, median, min }: Spread): string => `${median.toFixed(2)}× (${min.toFixed(2)}–${max.toFixed(2)})`

/** A row a case: each backend, the peer, and the speedup of each backend over the peer. */
export const timings = (backends: ReadonlyArray<string>, { measured, peaks, versions }: Result): Cells => {
  const peers = measured.some(({ one, seconds }) => seconds.has(one.peer))
  const rows = measured.map(({ one, seconds }) => {
    const peer = seconds.get(one.peer)
    const peerCell = peer === undefined
      ? "–"
      : `${peerTitles[one.peer]} ${versions[one.peer] ?? ""} ${shown(inUnit(one, spread(peer)))}`
    return [
      one.title,
      one.show,
      ...backends.map((name) => {
        const own = seconds.get(name)
        if (own === undefined) return "–"
        const peak = peaks.get(name)
        const share = peak === undefined || one.flops === null ?
          "" :
          ` ${(100 * one.flops / spread(own).median / peak).toFixed(0)} %`
        return shown(inUnit(one, spread(own))) + share
      }),
      ...(peers
        ? [
          peerCell,
          ...backends.map((name) => {
            const own = seconds.get(name)
            return own === undefined || peer === undefined ? "–" : times(ratio(peer, own))
          })
        ]
        : [])
    ]
  })
  return [
    ["", "unit", ...backends, ...(peers ? ["peer", ...backends.map((name) => `${name} ÷ peer`)] : [])],
    ...rows
  ]
}

/** Peak memory of training mid, each in a process of its own. */
export const memoryRows = ({ memory }: Result): Cells => {
  const peer = memory.find(({ name }) => name === "torch")
  return [
    ["training mid, alone in a process", "peak resident", "of that before the model", "of PyTorch's peak"],
    ...memory.map(({ name, resident }) => [
      name,
      size(resident.peak),
      size(resident.baseline),
      peer === undefined ? "–" : `${(resident.peak / peer.resident.peak).toFixed(2)}×`
    ])
  ]
}

export const agreementRows = ({ agreement }: Result): Cells => [
  ["same as the peer", "on", "largest difference of a loss", "greedy tokens that differ", ""],
  ...agreement.map(({ agrees, contestant, different, loss, tokens, workload }) => [
    workload,
    contestant,
    loss.toExponential(1),
    tokens === 0 ? "–" : `${different} of ${tokens}`,
    agrees === null ? "lower precision" : agrees ? "ok" : "DIFFERENT"
  ])
]
