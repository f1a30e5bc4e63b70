/**
 * The KL ledger of a run: KL that its description declares, that is known beforehand, and that was measured, side by side. A cap (the
 * user's limit), a bound (of a described law, `ledger/chain.ts`) and a measurement (an estimate of KL) are never added up, nor are the
 * measurements of two stages; their types differ. `ledgerText.ts` prints it.
 */
import * as Artifact from "../../dsl/Artifact.ts"
import type { WhenSpent } from "../../dsl/Budget.ts"
import { label } from "../../dsl/Render.ts"
import { fieldsOf, initialOf, parentsOf } from "../../dsl/Stage.ts"
import type { Acceptance } from "../ledger/acceptance.ts"
import { bestOf, type Chain, chainsIn, knownOf, type KnownVocabularies, type VocabularyOf } from "../ledger/chain.ts"
import { type Interval, ofMean } from "../ledger/interval.ts"
import type { KlCap } from "../../dsl/KlCap.ts"
import { type Aim, aimsOf, modelOn } from "../ledger/trained.ts"
import { chain as variationAlong, fromKl, type VariationBound } from "../ledger/variation.ts"
import type { Event, Measurement } from "../store/runLog.ts"

/** Declared, milli-nats per sequence, from an initial model. */
export interface LedgerCap extends Omit<KlCap, "from"> {
  readonly _tag: "Cap"
  readonly from: string
  readonly whenSpent: WhenSpent
}

/** At the level of `ledger/interval.ts`; null where the error is unknown. */
export interface Intervals {
  /** Of the mean, nats per sequence. */
  readonly interval: Interval | null
  /** Of nats per token. */
  readonly perTokenInterval: Interval | null
}

export const intervalsOf = (m: Measurement): Intervals => ({
  interval: ofMean(m.mean, m.standardError, m.samples),
  perTokenInterval: m.perTokenError === undefined ? null : ofMean(m.perToken, m.perTokenError, m.samples)
})

/** An estimate of KL, nats per sequence. */
export interface LedgerMeasurement extends Omit<Measurement, "against">, Intervals {
  readonly _tag: "Measured"
  readonly against: NonNullable<Measurement["against"]>
  /** Whether that model is also the fixed reference of the stage's penalty. */
  readonly isReference: boolean
  /** Total variation by Pinsker from the upper end of the interval: as good as the measurement, so evidence and no bound. */
  readonly variation: VariationBound
}

/** A fact that is known beforehand, and its subject. */
export interface Statement {
  /** The `law` of the stage's output, or the aim of its training (`ledger/trained.ts`). */
  readonly of: "law" | Aim["of"]
  readonly from: string | null
  readonly because: string
  readonly known: KnownVocabularies
}

/** Total variation over several stages, each measured from its own start: it adds up where KL does not. */
export interface Along {
  readonly from: string
  readonly stages: ReadonlyArray<string>
  readonly variation: VariationBound
}

/** A stage of the ledger. */
export interface Entry {
  readonly stage: string
  /** The model that its weights started from; it shows a restart from an earlier model. Empty for a choice among completions. */
  readonly startsFrom: ReadonlyArray<string>
  /** Declared for this stage alone, milli-nats per sequence. */
  readonly allowance: number | null
  readonly caps: ReadonlyArray<LedgerCap>
  readonly known: ReadonlyArray<Statement>
  /** Of a filter, from its counts: an estimate, which no bound contains. */
  readonly accepted: Acceptance | null
  readonly measured: ReadonlyArray<LedgerMeasurement>
  readonly along: Along | null
}

const statement = (of: Statement["of"], chain: Chain, because?: string): Statement => ({
  of,
  from: chain.from,
  because: because ?? chain.links.map(({ because }) => because).join(", then "),
  known: knownOf(chain)
})

const measuredOf = (artifact: Artifact.Any, m: Measurement): LedgerMeasurement => {
  const { against = m.cap === null ? "parent" : "initial" } = m
  const { interval, perTokenInterval } = intervalsOf(m)
  return {
    ...m,
    _tag: "Measured",
    against,
    from: against === "reference" && m.from === "its reference" ? modelOn(artifact, "reference") ?? m.from : m.from,
    isReference: against === "reference" || m.from === modelOn(artifact, "reference") && !movesReference(artifact),
    interval,
    perTokenInterval,
    variation: fromKl(interval?.high ?? Infinity)
  }
}

const movesReference = (artifact: Artifact.Any): boolean => {
  const { referencePolicy } = fieldsOf(artifact)
  return referencePolicy !== undefined && referencePolicy._tag !== "Frozen"
}

/** The ledger of the description `root`. `capsOn` are the KL caps that govern an artefact; `vocabularyOf` a model, where it is known. */
export const ledgerOf = (
  root: Artifact.Any,
  events: ReadonlyArray<Event>,
  capsOn: (artifact: Artifact.Any) => ReadonlyArray<KlCap>,
  vocabularyOf?: VocabularyOf
): ReadonlyArray<Entry> => {
  const metricsOf = (stage: string) => {
    const last = events.findLast((event) => event._tag === "Step" && event.stage === stage)
    return last?._tag === "Step" ? last.metrics : undefined
  }
  const chainOf = chainsIn(root, metricsOf, vocabularyOf)
  const ways = new Map<string, Along>()

  const entryOf = (artifact: Artifact.Any): Entry => {
    const { node } = artifact
    const stage = label(artifact)
    const { allowance, sizes = [] } = fieldsOf(artifact)
    // A step that was done again after a crash was measured again, to the same numbers.
    const once = new Map(events.flatMap((event) => {
      if (event._tag !== "Measured" || event.measurement.stage !== stage) return []
      const m = measuredOf(artifact, event.measurement)
      return [[`${m.step} ${m.against} ${m.from}`, m] as const]
    }))
    const measured = [...once.values()]
    const chain = chainOf(artifact)
    const parents = parentsOf(artifact).map(initialOf)
    const startsFrom = parents.map(label)
    const own = measured.findLast(({ from }) => startsFrom.length === 1 && from === startsFrom[0])
    const before = parents.length === 1 ? ways.get(parents[0]!.id) : undefined
    const along = own === undefined ? null : {
      from: before?.from ?? startsFrom[0]!,
      stages: [...before?.stages ?? [], stage],
      variation: variationAlong(...before === undefined ? [] : [before.variation], own.variation)
    }
    if (along !== null) ways.set(artifact.id, along)
    return {
      stage,
      startsFrom,
      allowance: allowance?.mnats ?? null,
      caps: capsOn(artifact).map(({ from, whenSpent = "stop", ...cap }) => ({
        ...cap,
        _tag: "Cap",
        from: label(from),
        whenSpent
      })),
      known: [
        // Each step of a law once, where it is made.
        ...["Filter", "Mix", "Sample", "Select"].includes(node.op) && chain.links.length > 0
          ? [statement("law", chain)]
          : [],
        ...node.op !== "BestOfN" ? [] : sizes.map((n) => {
          const of = node.wires["completions"]
          return statement("law", bestOf(of === undefined ? { from: null, links: [] } : chainOf(of), n))
        }),
        ...aimsOf(artifact, chainOf).map(({ because, chain, of }) => statement(of, chain, because))
      ],
      accepted: ["Filter", "Select"].includes(node.op) ? chain.links.at(-1)?.accepted ?? null : null,
      measured,
      along: along !== null && along.stages.length > 1 ? along : null
    }
  }
  return Artifact.lineage(root).map(entryOf).filter(({ allowance, known, measured }) =>
    allowance !== null || known.length > 0 || measured.length > 0
  )
}
