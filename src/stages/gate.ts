import * as Effect from "effect/Effect"
import { GateFailed } from "../../dsl/Errors.ts"
import { Measuring } from "../../dsl/KlSpending.ts"
import type { Gate } from "../../dsl/stages/Gate.ts"
import { encodePrompts } from "../data/encode.ts"
import type { PromptRow } from "../data/rows.ts"
import { CurrentEngine } from "../engine/current.ts"
import type { Weights } from "../engine/engine.ts"
import type { Composed } from "../rewards/composed.ts"
import { Judge } from "../rewards/judge.ts"
import { judgeable } from "../rewards/rewarding.ts"
import { estimate } from "../store/report.ts"
import { RunLog } from "../store/runLog.ts"
import { chunked } from "../training/chunks.ts"
import { heldAtEnd } from "../training/heldAtEnd.ts"
import { observer } from "../training/loop.ts"
import { openReward } from "../training/openReward.ts"
import { observedRows } from "../training/observedRows.ts"
import type { Scope } from "../training/scope.ts"

/** +1 where more is better, −1 where less is. */
const better = { gold: 1, proxy: 1, kl: -1, length: -1, finished: 1 } as const
const metrics = Object.keys(better) as ReadonlyArray<keyof typeof better>

/** Compares candidate and previous model; see `dsl/stages/Gate.ts`. Returns the weights that pass. */
export const gate = Effect.fn("gate")(function*(
  stage: Gate,
  wires: {
    readonly candidate: Weights
    readonly previous: Weights
    readonly initial: Weights | undefined
    readonly reward: Composed<Weights> | undefined
    readonly held: ReadonlyArray<PromptRow>
  },
  scope: Scope
) {
  const [engine, log] = [yield* CurrentEngine, yield* RunLog]
  const initial = wires.initial === undefined ? undefined : yield* observer(engine.policy, wires.initial)
  const reward = wires.reward === undefined ? undefined : yield* openReward(scope, wires.reward, engine.scorer)
  if (wires.reward !== undefined) yield* judgeable(scope.label, yield* Judge, wires.reward, wires.held)
  const codec = engine.codec(wires.candidate)
  yield* log.emit({ _tag: "Started", stage: scope.label, steps: 1, from: 0 })
  const part = { items: wires.held.length, size: 256 }
  const chunks = yield* chunked(scope, { candidate: part, previous: part }, { told: false })
  const look = (name: "candidate" | "previous") =>
    Effect.scoped(Effect.gen(function*() {
      const policy = yield* observer(engine.policy, wires[name])
      const prompts = yield* encodePrompts({ stage: scope.label, codec, context: policy.context }, wires.held)
      return yield* chunks.rows(
        name,
        observedRows(policy, {
          name: `the ${name} model`,
          stage: scope.label,
          rows: wires.held,
          prompts,
          sampling: { maxNewTokens: stage.maxNewTokens, temperature: 1, stop: codec.stop },
          seed: (i) => `${scope.stream}/${i}`,
          decode: codec.decode,
          gold: stage.gold,
          initial,
          reward
        })
      )
    }))
  const [candidate, previous] = [yield* look("candidate"), yield* look("previous")]

  const guards = metrics.flatMap((metric) => {
    const tolerance = stage.tolerance[metric]
    const losses = candidate.flatMap(({ [metric]: now }, i) => {
      const before = previous[i]![metric]
      return now === null || before === null ? [] : [better[metric] * (before - now)]
    })
    if (tolerance === undefined || losses.length === 0) return []
    const { mean, standardError } = estimate(losses)
    return [{ metric, loss: mean, standardError, tolerance }]
  })
  const failed = guards.filter(({ loss, tolerance }) => loss > tolerance)
  const tokens = [...candidate, ...previous].reduce((sum, { length }) => sum + length, 0)
  yield* log.emit({
    _tag: "Step",
    stage: scope.label,
    step: 1,
    steps: 1,
    tokens,
    metrics: {
      "gate/passed": failed.length === 0 ? 1 : 0,
      ...Object.fromEntries(guards.map(({ loss, metric }) => [`gate/${metric}_loss`, loss]))
    }
  })
  if (failed.length > 0 && stage.otherwise === "fail") {
    return yield* new GateFailed({ stage: scope.label, guards: failed })
  }
  const passes = failed.length === 0 ? wires.candidate : wires.previous
  const { maxNewTokens } = stage
  yield* heldAtEnd(scope, passes, { held: wires.held, measured: Measuring.make({ maxNewTokens }), kept: "both models" })
  yield* log.emit({ _tag: "Finished", stage: scope.label, tokens })
  return passes
}, Effect.scoped)
