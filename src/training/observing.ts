/** Observes the samples of a KL measurement, and stops the stage at the peak of gold reward where described. */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Observe } from "../../dsl/Observe.ts"
import { textsOf } from "../data/encode.ts"
import type { PromptRow } from "../data/rows.ts"
import { ownTokens, type Policy, type Row, type Scorer } from "../engine/engine.ts"
import { distinct } from "../ledger/distinct.ts"
import type { SampledBlock } from "../ledger/measure.ts"
import { after, type Peak } from "../ledger/peak.ts"
import { compares, leavesOf, plain } from "../rewards/composed.ts"
import { Judge } from "../rewards/judge.ts"
import { judgeable, type OpenReward, proxyOf, readsText } from "../rewards/rewarding.ts"
import { estimate } from "../store/report.ts"
import { type Event, RunLog } from "../store/runLog.ts"
import { Store } from "../store/store.ts"
import { type Played, promptsOf } from "./answering.ts"
import { EndedEarly } from "./endedEarly.ts"
import { finite } from "./loop.ts"
import { scoresOf } from "./rollout.ts"
import type { Scope } from "./scope.ts"
import type { Scoring } from "./scoring.ts"

/** Name of the policy with the highest gold reward. */
const kept = "best-gold"

const Saved = Schema.Struct({
  peak: Schema.optionalKey(Schema.NullOr(Schema.Struct({
    best: Schema.Struct({ step: Schema.Number, gold: Schema.Array(Schema.Number) }),
    declines: Schema.Number
  })))
})

/** What a stage offers for observation. */
export interface ObservedStage {
  readonly observe?: Observe
  /** The held prompts. */
  readonly rows: ReadonlyArray<PromptRow>
  readonly decode: (ids: Int32Array) => string
  /** The reward model that the policy is trained on. */
  readonly proxy: Scorer | OpenReward | null
  /** The tokens of the held prompts. */
  readonly ids: ReadonlyArray<Int32Array>
  /** How the stage scores an answer, where that is observed. */
  readonly scoring: Scoring | null
}

export const observing = Effect.fnUntraced(function*(
  scope: Scope,
  policy: Policy,
  { decode, ids, observe, proxy: given, rows, scoring }: ObservedStage,
  state: Schema.Json
) {
  const [judge, log, store] = [yield* Judge, yield* RunLog, yield* Store]
  const gold = observe?.gold
  const proxy = given === null ? null : "values" in given ? plain({ scorer: given, codec: null as never }) : given
  /** An endpoint is paid for each answer. */
  const paid = observe === undefined &&
    [proxy, scoring?.reward ?? null].some((reward) =>
      reward !== null && leavesOf(reward).some((leaf) => leaf._tag === "Judge" && leaf.how.endpoint !== undefined)
    )
  const unfit = proxy === null
    ? null
    : leavesOf(proxy).some(compares)
    ? "it compares the completions of a prompt with each other, so that its mean is always 1/2"
    : paid
    ? "its judge is an endpoint, which would be asked again at each measurement. Give `observe` a gold reward to have it asked"
    : yield* judgeable(scope.label, judge, proxy, rows).pipe(
      Effect.as(null),
      Effect.catchTag("UnusableData", ({ problem }) => Effect.succeed(problem))
    )
  if (unfit !== null) {
    yield* Console.error(`! ${scope.label}  its reward is not observed on its held prompts: ${unfit}`)
  }
  let peak: Peak | null = Schema.decodeUnknownSync(Saved)(state ?? {}).peak ?? null
  return {
    /** Whether to observe the starting policy too: it is the baseline of a reward. */
    fromStart: gold !== undefined || scoring !== null,
    look: Effect.fnUntraced(function*(step: number, { answers, asked, seeds }: SampledBlock<Played>) {
      const sampled = answers.map(({ row }) => row)
      const last = answers.map(({ last }) => last)
      const completions = sampled.map(ownTokens)
      const tokens = completions.reduce((sum, { length }) => sum + length, 0)
      const reads = gold !== undefined || (proxy !== null && readsText(proxy))
      const texts = reads ? textsOf({ decode }, last) : []
      const golds = gold === undefined ? [] : texts.map((text, i) => judge.gold(gold, rows[asked[i]!]!.prompt, text))
      const observed: Record<string, number> = {
        entropy: policy.logprobs(sampled).entropies.reduce((sum, x) => sum + x, 0) / tokens,
        length: tokens / completions.length,
        finished: last.filter(({ finished }) => finished).length / completions.length
      }
      for (const n of [1, 2]) {
        const share = distinct(completions, n)
        if (Number.isFinite(share)) observed[`distinct_${n}`] = share
      }
      if (proxy !== null && unfit === null) {
        const whole = sampled.map(({ completion, prompt }): Row => ({ prompt, completion }))
        const questions = last.map(({ completion: { length: tokens }, finished: ended }, i) => ({
          ...rows[asked[i]!]!,
          row: asked[i]! + 1,
          completion: texts[i] ?? "",
          ended,
          tokens
        }))
        const { mean, standardError } = estimate(
          yield* proxyOf({ stage: scope.label, judge }, proxy, questions, whole, step)
        )
        Object.assign(observed, { proxy: mean, proxy_se: standardError })
      }
      if (scoring !== null) {
        if (!paid) {
          const { scores } = yield* scoresOf(scoring, promptsOf(rows, ids, asked, seeds), answers, {
            step,
            running: {},
            whitened: false
          })
          const { mean, standardError } = estimate(scores)
          Object.assign(observed, { reward: mean, reward_se: standardError })
        }
        const meanOf = (of: (one: Played) => number) => answers.reduce((sum, one) => sum + of(one), 0) / answers.length
        Object.assign(observed, {
          turns: meanOf(({ turns }) => turns.length),
          calls: meanOf(({ turns }) => turns.reduce((sum, { calls }) => sum + calls.length, 0))
        })
      }
      if (gold !== undefined) {
        const { mean, standardError } = estimate(Float64Array.from(golds))
        Object.assign(observed, { gold: mean, gold_se: standardError })
      }
      yield* finite(observed)
      yield* log.emit({ _tag: "Observed", stage: scope.label, step, samples: completions.length, observed })
      const rule = observe?.stopAtPeak
      if (rule === undefined) return
      const seen = after(peak, step, golds, rule)
      peak = seen.peak
      if (seen.decline === null) yield* store.keep(scope.key, scope.label, kept, policy.weights())
      if (!seen.passed) return
      const best = yield* store.kept(scope.key, scope.label, kept)
      if (Option.isNone(best)) return
      const { decline, peak: { best: { step: to } } } = seen
      const passed: Event = { _tag: "PeakPassed", stage: scope.label, step, decline: decline!, kept: to }
      yield* log.emit(passed)
      return yield* new EndedEarly({ weights: best.value, by: "peak", step: to })
    }),
    state: () => ({ peak: peak as Schema.Json })
  }
})
