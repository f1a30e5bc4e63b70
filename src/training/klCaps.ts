/**
 * The KL caps of a stage, held against measurements: KL from each initial model on held prompts, every so many steps. The first
 * measurement above a cap ends the stage, with the last checkpoint within all of them kept.
 */
import { Effect } from "effect"
import { KlBudgetExceeded } from "../../dsl/Errors.ts"
import type { Policy, Weights } from "../engine/engine.ts"
import { measureKl } from "../ledger/measure.ts"
import { RunLog } from "../store/runLog.ts"
import { Store } from "../store/store.ts"
import { finite, observer, type Session } from "./loop.ts"
import { CurrentRehearsal } from "./rehearsal.ts"
import type { Scope } from "./scope.ts"

/** Opens the initial models of the caps; a model that is open already serves for weights that are the same. */
export const klCaps = Effect.fnUntraced(function*(scope: Scope, session: Pick<Session<unknown>, "state">, stage: {
  readonly policy: Policy
  readonly open: (weights: Weights) => Policy
  readonly opened: ReadonlyArray<readonly [weights: Weights, policy: Policy]>
  readonly held: ReadonlyArray<Int32Array>
  readonly stop: ReadonlyArray<number>
  /** Of the description: `dsl/KlSpending.ts`. */
  readonly measured: { readonly maxNewTokens: number; readonly measureEvery: number; readonly measureSamples: number }
  readonly steps: number
  /** What there is before the first measurement within the caps; the policy that it started from when left out. */
  readonly start?: string
}) {
  const [log, store] = [yield* RunLog, yield* Store]
  const rehearsal = yield* CurrentRehearsal
  let rehearsed = false
  const { maxNewTokens, measureEvery, measureSamples: samples } = stage.measured
  const caps: Array<{ readonly mnats: number; readonly from: string; readonly initial: Policy }> = []
  for (const { from, initial, mnats } of scope.limits.kl) {
    const known = stage.opened.find(([weights]) => weights === initial)
    caps.push({ mnats, from, initial: known?.[1] ?? (yield* observer(stage.open, initial)) })
  }
  let within = { path: stage.start ?? `the policy that ${scope.label} started from`, step: 0 }
  if (session.state !== null) within = session.state as typeof within

  const measure = Effect.fnUntraced(function*(step: number) {
    const seed = `${scope.key}/measure/${step}`
    for (const { from, initial, mnats } of caps) {
      const measured = measureKl(stage.policy, initial, stage.held, { samples, maxNewTokens, stop: stage.stop, seed })
      yield* finite({ "kl from the initial model": measured.mean })
      yield* log.emit({
        _tag: "Measured",
        measurement: {
          ...measured,
          stage: scope.label,
          step,
          from,
          estimator: "k1",
          direction: "reverse",
          temperature: 1,
          cap: mnats / 1000
        }
      })
      if (measured.mean * 1000 <= mnats) continue
      return yield* new KlBudgetExceeded({
        stage: scope.label,
        step,
        spent: Math.round(measured.mean * 1000),
        standardError: Math.round(measured.standardError * 1000),
        cap: mnats,
        kept: within.path,
        keptStep: within.step
      })
    }
    within = { path: yield* store.keep(scope.key, scope.label, "within-cap", stage.policy.weights()), step }
  })
  return {
    /** Whether KL is measured after this step. */
    due: (step: number): boolean => rehearsal === null ? step % measureEvery === 0 || step === stage.steps : !rehearsed,
    /** Measures KL after step `step`; fails when one is above its cap. */
    measure: (step: number) => {
      if (rehearsal === null) return measure(step)
      rehearsed = true
      return rehearsal.times(Math.ceil(stage.steps / measureEvery), measure(step), "measure")
    },
    /** For the checkpoints of the loop. */
    state: () => within
  }
})
