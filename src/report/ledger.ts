/**
 * The KL ledger of a run: what its description declares, what is known beforehand and what was measured, side by side. A cap (what
 * somebody wants), a bound (D∞ of a described law, `ledger/bounds.ts`) and a measurement (an estimate of KL) are never added up, nor
 * are the measurements of two stages.
 */
import * as Artifact from "../../dsl/Artifact.ts"
import { label } from "../../dsl/Render.ts"
import { parentsOf } from "../../dsl/Stage.ts"
import { bestOfN, boundOf } from "../ledger/bounds.ts"
import type { Event, Measurement } from "../store/runLog.ts"
import { markdown } from "./table.ts"

/** One stage of the ledger. */
export interface Entry {
  readonly stage: string
  /** What its weights started from: a restart from an earlier model is seen here. Empty for a choice among completions. */
  readonly startsFrom: ReadonlyArray<string>
  /** Declared for this stage alone, milli-nats per sequence. */
  readonly allowance: number | null
  /** Declared, milli-nats per sequence, each from its initial model. */
  readonly caps: ReadonlyArray<{ readonly from: string; readonly mnats: number }>
  /** D∞ known without measuring, milli-nats per sequence; null where nothing is known, and `because` says why. */
  readonly bounds: ReadonlyArray<{ readonly mnats: number | null; readonly because: string }>
  readonly measured: ReadonlyArray<Measurement>
}

/** What a cap is on: caps change nothing about it. */
const uncapped = (artifact: Artifact.Any): Artifact.Any => {
  let of = artifact
  while (of.node.op === "Cap" && of.node.wires["of"] !== undefined) of = of.node.wires["of"]
  return of
}

const fromMetrics = (stage: string, events: ReadonlyArray<Event>): number | null => {
  const step = events.findLast((event) => event._tag === "Step" && event.stage === stage)
  const nats = step?._tag === "Step" ? step.metrics["max_divergence"] : undefined
  return nats === undefined ? null : boundOf(nats).mnats
}

const boundsOf = (artifact: Artifact.Any, events: ReadonlyArray<Event>): Entry["bounds"] => {
  const { op } = artifact.node
  const params = artifact.node.params as {
    readonly sizes?: ReadonlyArray<number>
    readonly control?: boolean
    readonly rule?: { readonly _tag: string }
    readonly allowance?: unknown
  }
  if (op === "BestOfN") {
    return params.sizes!.map((n) => ({ mnats: bestOfN(n).mnats, because: `best of ${n}, from the law it drew from` }))
  }
  if (op === "Merge") return [{ mnats: null, because: "weights averaged: unknown until measured" }]
  if (op !== "Select") return [{ mnats: null, because: "trained: none beforehand" }]
  if (params.control === true) return [{ mnats: null, because: "a control: chosen at random" }]
  if (params.rule!._tag === "Overall") {
    return [{ mnats: null, because: "the best of all prompts together: none for one prompt" }]
  }
  const mnats = fromMetrics(label(artifact), events)
  if (mnats === null) return [{ mnats, because: "not in the events of this run: made by an earlier one" }]
  return [{
    mnats,
    because: params.rule!._tag === "Accept"
      ? "accept filter at the share accepted over all prompts, from the law it drew from"
      : "best of the candidates, from the law it drew from"
  }]
}

/** The ledger of the description `root`. `capsOn` are the KL caps that govern an artefact. */
export const ledgerOf = (
  root: Artifact.Any,
  events: ReadonlyArray<Event>,
  capsOn: (artifact: Artifact.Any) => ReadonlyArray<{ readonly mnats: number; readonly from: Artifact.Any }>
): ReadonlyArray<Entry> =>
  Artifact.lineage(root).flatMap((artifact) => {
    const stage = label(artifact)
    const { allowance } = artifact.node.params as { readonly allowance?: { readonly mnats: number } }
    const measured = events.flatMap((event) =>
      event._tag === "Measured" && event.measurement.stage === stage ? [event.measurement] : []
    )
    const listed = allowance !== undefined || ["BestOfN", "Merge", "Select"].includes(artifact.node.op)
    return !listed && measured.length === 0 ? [] : [{
      stage,
      startsFrom: parentsOf(artifact).map((parent) => label(uncapped(parent))),
      allowance: allowance?.mnats ?? null,
      caps: capsOn(artifact).map(({ from, mnats }) => ({ from: label(from), mnats })),
      bounds: boundsOf(artifact, events),
      measured
    }]
  })

const none = "–"
const mnatsOf = (mnats: number): string => (mnats / 1000).toFixed(3)
const natsOf = (nats: number | null | undefined): string => typeof nats === "number" ? nats.toFixed(3) : none
const meanOf = ({ mean, standardError }: Measurement): string => `${natsOf(mean)} ± ${natsOf(standardError)}`
const joined = (parts: ReadonlyArray<string>): string => parts.length === 0 ? none : parts.join(", ")
const capsOf = (entry: Entry): string => joined(entry.caps.map(({ from, mnats }) => `${mnatsOf(mnats)} from ${from}`))

/** For people. Nats per sequence but where it says otherwise. */
export const text = (ledger: ReadonlyArray<Entry>): string => {
  const measured = ledger.flatMap((entry) => entry.measured)
  const declared = ledger.map((entry) => [
    entry.stage,
    joined(entry.startsFrom),
    entry.allowance === null ? none : mnatsOf(entry.allowance),
    capsOf(entry),
    joined(entry.bounds.map(({ because, mnats }) => mnats === null ? because : `≤ ${mnatsOf(mnats)} (${because})`))
  ])
  return [
    ledger.length === 0
      ? "Nothing in this description spends or bounds KL."
      : "Declared (allowance, cap) and known beforehand (bound on D∞ of the described law, not of a model trained on it), nats per sequence:\n",
    ...ledger.length === 0 ? [] : [markdown([["stage", "starts from", "allowance", "cap", "bound"], ...declared])],
    "",
    ...measured.length === 0 ? ["No KL was measured in this run."] : [
      "Measured, KL(policy‖initial model), nats per sequence; p95 and max are over prompts, of the mean of each prompt's samples:\n",
      markdown([
        ["stage", "step", "initial model", "KL ± s.e.", "p95", "max", "nats/token", "how", "samples", "prompts"],
        ...measured.map((m) => [
          m.stage,
          String(m.step),
          m.from,
          meanOf(m),
          natsOf(m.p95),
          natsOf(m.max),
          m.perToken.toFixed(4),
          `${m.estimator}, ${m.direction}, T ${m.temperature}`,
          String(m.samples),
          String(m.prompts ?? none)
        ])
      ]),
      "",
      "Each measurement is from its own initial model. Cap, bound and measurement are three things, and none is the sum of others."
    ]
  ].join("\n")
}

/** The n-th stage of each operation beside the n-th of the other run: labels differ where descriptions do. */
export const comparison = (a: ReadonlyArray<Entry>, b: ReadonlyArray<Entry>): string => {
  const named = (ledger: ReadonlyArray<Entry>) => {
    const seen = new Map<string, number>()
    return new Map(ledger.map((entry) => {
      const op = entry.stage.slice(0, entry.stage.lastIndexOf("-"))
      seen.set(op, (seen.get(op) ?? 0) + 1)
      return [`${op} ${seen.get(op)}`, entry]
    }))
  }
  const [first, second] = [named(a), named(b)]
  const cells = (entry: Entry | undefined): ReadonlyArray<string> => {
    if (entry === undefined) return ["not there", none, none]
    const last = new Map(entry.measured.map((m) => [m.from, m]))
    return [
      entry.stage,
      capsOf(entry),
      joined([...last.values()].map((m) => `${meanOf(m)} from ${m.from} at step ${m.step}`))
    ]
  }
  const names = [...new Set([...first.keys(), ...second.keys()])]
  if (names.length === 0) return "Nothing in either description spends or bounds KL."
  return [
    "Last measurement of each stage, KL(policy‖initial model), nats per sequence:\n",
    markdown([
      ["", "first", "cap", "measured", "second", "cap", "measured"],
      ...names.map((name) => [name, ...cells(first.get(name)), ...cells(second.get(name))])
    ])
  ].join("\n")
}
