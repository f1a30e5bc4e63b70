/**
 * Compares the KL caps of a stage with measurements on held prompts, every `measureEvery` steps: KL from the initial
 * model of each cap, and from the reference of the KL penalty, which has no cap. A cap's description sets the
 * consequence of passing it (`dsl/Budget.ts`); the last policy within all caps that end the stage is kept.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { type BrokenExtension, Diverged, KlBudgetExceeded, unsoundWeights } from "../../dsl/Errors.ts"
import type { Measuring } from "../../dsl/KlSpending.ts"
import type { Observe } from "../../dsl/Observe.ts"
import { label } from "../../dsl/Render.ts"
import type { PromptRow } from "../data/rows.ts"
import type { Policy, Weights } from "../engine/engine.ts"
import { type Ask, blockOf, type KlMeasured, measureKls, samplesPerPrompt } from "../ledger/measure.ts"
import { enoughFor, leastCaps } from "../ledger/sequential.ts"
import { Measurement, OverBudget, RunLog } from "../store/runLog.ts"
import { Store } from "../store/store.ts"
import { type Answering, type Played, promptsOf } from "./answering.ts"
import { EndedEarly } from "./endedEarly.ts"
import { finite, observer, type Session } from "./loop.ts"
import { isDue, type MeasuredHow, measuredWithin, type Passed, passedBy } from "./measuredWithin.ts"
import { type ObservedStage, observing } from "./observing.ts"
import { CurrentRehearsal } from "./rehearsal.ts"
import type { OpenKlCap, Scope } from "./scope.ts"

/**
 * Names of the last policy within the caps. The last checkpoint refers to one of them, and a later policy is kept under the other: a
 * stage that goes on from the checkpoint under other caps may have to go back to the policy that was the last one then.
 */
const kept = ["within-cap", "within-cap-2"] as const

const Saved = Schema.Struct({
  path: Schema.String,
  step: Schema.Natural,
  /** Which of the kept policies it is. */
  slot: Schema.Literals([0, 1]),
  /** Whether the starting policy was kept, to go back to. */
  rollsBack: Schema.Boolean,
  /** The measurements so far; `from` is the key of the initial model. */
  measured: Schema.Array(Measurement)
})

/** Whether a stage under these caps would have come to a checkpoint at step `at` with this `state`. */
export const goesOn = (limits: ReadonlyArray<OpenKlCap>, how: MeasuredHow, state: Schema.Json, at: number): boolean => {
  // A checkpoint of a stage that no cap was on may have other state.
  if (state === null || !Object.hasOwn(state as object, "measured")) {
    return at === 0 || limits.every(({ mnats }) => mnats === undefined)
  }
  const { measured, rollsBack, step } = Schema.decodeUnknownSync(Saved)(state)
  const back = limits.some(({ whenSpent }) => whenSpent === "rollback")
  return (!back || rollsBack || step > 0) && measuredWithin(limits, how, measured, at)
}

/** A cap that a measurement did not find kept. */
interface Over {
  readonly limit: OpenKlCap
  readonly measured: KlMeasured
  readonly by: Passed
}

/** The held prompts. */
export interface Held {
  readonly ask: Ask<Played, BrokenExtension>
  readonly count: number
}

/** The held prompts `rows`, as their tokens `ids`. */
export const heldBy = (
  answering: Answering,
  policy: Policy,
  rows: ReadonlyArray<PromptRow>,
  ids: ReadonlyArray<Int32Array>
): Held => ({
  ask: (asked, sampling, seeds) => answering.sample(policy, promptsOf(rows, ids, asked, seeds), sampling, seeds),
  count: rows.length
})

/** The fields of `dsl/KlSpending.ts`. */
export interface Measured extends Measuring {
  readonly observe?: Observe
}

/** Opens the initial models of the caps; equal weights that are already open are not opened again. */
export const klCaps = Effect.fnUntraced(function*(scope: Scope, session: Pick<Session<unknown>, "state">, stage: {
  readonly policy: Policy
  readonly open: (weights: Weights) => Policy
  readonly opened: ReadonlyArray<readonly [weights: Weights, policy: Policy]>
  /** The model of the KL penalty: weights that stay, or a policy that moves. */
  readonly reference: Weights | Policy | undefined
  /** How the policy is asked the held prompts, and how many they are. */
  readonly held: Held
  /** What to observe besides KL. */
  readonly observing: Omit<ObservedStage, "observe"> | null
  readonly stop: ReadonlyArray<number>
  readonly measured: Measured
  readonly steps: number
  /** The weights that the policy starts with, for a rollback; null where there are none, as for a merge. */
  readonly init: Weights | null
  /** Where the policy is before the first measurement within the caps; default: the policy that it started from. */
  readonly start?: string
}) {
  const [log, store] = [yield* RunLog, yield* Store]
  const rehearsal = yield* CurrentRehearsal
  let rehearsed = false
  const { maxNewTokens, measureEvery, measureError: error, measureMost } = stage.measured
  const limits = scope.limits.kl
  const perPrompt = limits.some(({ max, p95 }) => (max ?? p95) !== undefined)
  const asked = Math.max(stage.measured.measureSamples, perPrompt ? samplesPerPrompt * stage.held.count : 0)
  const samples = blockOf(asked, stage.held.count)
  const most = Math.max(samples, measureMost)

  const opened = new Map<Weights, Policy>(stage.opened)
  const openedAs = Effect.fnUntraced(function*(weights: Weights) {
    const known = opened.get(weights)
    if (known !== undefined) return known
    const policy = yield* observer(stage.open, weights)
    opened.set(weights, policy)
    return policy
  })
  const others: Array<{ readonly limit: OpenKlCap | null; readonly from: string; readonly policy: Policy }> = []
  for (const limit of limits) others.push({ limit, from: label(limit.from), policy: yield* openedAs(limit.initial) })
  if (stage.reference !== undefined) {
    const moves = "logprobs" in stage.reference
    const policy = moves ? stage.reference as Policy : yield* openedAs(stage.reference as Weights)
    // Already among the others, when it is the initial model of a cap.
    if (!others.some((other) => other.policy === policy)) {
      others.push({ limit: null, from: moves ? "its reference, where it was then" : "its reference", policy })
    }
  }

  // Many caps from one initial model take one measurement.
  const policies = [...new Set(others.map(({ policy }) => policy))]
  const places = new Map(policies.map((policy, place) => [policy, place]))

  const began = stage.start ?? `the policy that ${scope.label} started from`
  let within: { readonly path: string; readonly step: number; readonly slot: 0 | 1 } = { path: began, step: 0, slot: 0 }
  let pinned: 0 | 1 | undefined
  const keep = Effect.fnUntraced(function*(step: number) {
    const slot = pinned === 0 ? 1 : 0
    within = { path: yield* store.keep(scope.key, scope.label, kept[slot], stage.policy.weights()), step, slot }
  })
  const { measured: known = [] } = scope
  const overBudget = (
    step: number,
    { from }: OpenKlCap,
    by: Passed,
    kept: { readonly step: number } | null
  ) => OverBudget.make({ stage: scope.label, step, from: label(from), ...by, kept })
  if (session.state !== null) {
    const { measured, path, slot, step } = Schema.decodeUnknownSync(Saved)(session.state)
    within = { path, step, slot }
    pinned = slot
    // Told again: part of the stage's result, before and after an interruption.
    for (const one of measured) {
      known.push(one)
      for (const limit of isDue(limits, stage.measured, one.step) ? limits : []) {
        const by = limit.whenSpent === "warn" && limit.key === one.from ? passedBy(limit, one) : undefined
        if (by !== undefined) yield* log.emit(overBudget(one.step, limit, by, null))
      }
    }
  }
  const { init } = stage
  const rollsBack = rehearsal === null && limits.some(({ whenSpent }) => whenSpent === "rollback")

  const eyes = stage.observing === null ? null : yield* observing(
    scope,
    stage.policy,
    { ...stage.observing, ...(stage.measured.observe === undefined ? {} : { observe: stage.measured.observe }) },
    session.state
  )

  const measure = Effect.fnUntraced(function*(step: number) {
    if (others.length === 0 && eyes === null) {
      yield* keep(step)
      return
    }
    const { first, measured: all } = yield* measureKls(stage.policy, policies, stage.held, {
      samples,
      maxNewTokens,
      stop: stage.stop,
      seed: `${scope.stream}/measure/${step}`,
      enough: (measured) =>
        others.every(({ limit, policy }) =>
          limit?.mnats === undefined || enoughFor(measured[places.get(policy)!]!, limit, { error, most })
        )
    })
    const over: Array<Over> = []
    for (const { from, limit, policy } of others) {
      const { sequences, ...measured } = all[places.get(policy)!]!
      yield* finite({ [limit === null ? "kl from the reference" : "kl from the initial model"]: measured.mean })
      const plain: Measurement = {
        ...measured,
        asked: stage.measured.measureSamples,
        stage: scope.label,
        step,
        from,
        against: limit === null ? "reference" : "initial",
        estimator: "rao-blackwell",
        direction: "reverse",
        temperature: 1,
        cap: limit?.mnats === undefined ? null : limit.mnats / 1000,
        ...(limit === null ? {} : { least: leastCaps({ ...measured, sequences }, limit) })
      }
      const by = limit === null ? undefined : passedBy(limit, plain)
      const verdict = by === undefined
        ? "within" as const
        : by.undecided === true
        ? "undecided" as const
        : "over" as const
      const measurement = limit?.mnats === undefined ? plain : { ...plain, verdict }
      yield* log.emit({ _tag: "Measured", measurement })
      if (limit !== null) known.push({ ...measurement, stage: "", from: limit.key })
      if (by !== undefined) over.push({ limit: limit!, measured, by })
    }
    const ending = over.filter(({ limit }) => limit.whenSpent !== "warn")
    for (const { by, limit } of over.filter(({ limit }) => limit.whenSpent === "warn")) {
      yield* log.emit(overBudget(step, limit, by, null))
    }
    if (ending.length === 0) {
      yield* keep(step)
      if (eyes !== null) yield* eyes.look(step, first)
      return
    }
    const stopping = ending.find(({ limit }) => limit.whenSpent !== "rollback")
    const back = yield* store.kept(scope.key, scope.label, kept[within.slot])
    if (stopping === undefined && Option.isSome(back)) {
      for (const { by, limit } of ending) yield* log.emit(overBudget(step, limit, by, { step: within.step }))
      return yield* new EndedEarly({ weights: back.value, by: "cap", step: within.step })
    }
    const { by, measured } = stopping ?? ending[0]!
    return yield* new KlBudgetExceeded({
      stage: scope.label,
      step,
      statistic: by.statistic,
      spent: Math.round(by.spent * 1000),
      standardError: Math.round(measured.standardError * 1000),
      cap: Math.round(by.cap * 1000),
      samples: measured.samples,
      ...(by.undecided === undefined ? {} : { undecided: true }),
      kept: within.path,
      keptStep: within.step
    })
  })

  // The starting policy may have to be restored, may be beyond a cap already, and is the baseline of gold reward.
  if (rehearsal === null && session.state === null && (rollsBack || eyes?.fromStart === true) && init !== null) {
    if (eyes?.fromStart === true || limits.some(({ initial }) => initial !== init)) {
      yield* Effect.catchTag(
        measure(0),
        "NotFinite",
        ({ quantity, value }) =>
          Effect.fail(
            new Diverged({
              stage: scope.label,
              step: 0,
              quantity,
              value: String(value),
              kept: "where it starts",
              remedy: unsoundWeights
            })
          )
      )
      // Not `init`, which may stand beside the adapter of another stage.
    } else yield* keep(0)
  }
  return {
    due: (step: number): boolean => rehearsal === null ? step % measureEvery === 0 || step === stage.steps : !rehearsed,
    /** Measures KL after step `step`; fails when KL is above a cap. */
    measure: (step: number) => {
      if (rehearsal === null) return measure(step)
      rehearsed = true
      return rehearsal.times(Math.ceil(stage.steps / measureEvery), measure(step), "measure")
    },
    /** For a checkpoint. */
    state: () => {
      pinned = within.slot
      return { ...within, rollsBack, measured: [...known], ...eyes?.state() }
    }
  }
})
