/** Holds a finished policy against the KL caps on its stage: of a merge or a gate, which make no steps, and of a stage from outside. */
import * as Effect from "effect/Effect"
import { Diverged } from "../../dsl/Errors.ts"
import type { PromptRow } from "../data/rows.ts"
import { CurrentEngine } from "../engine/current.ts"
import type { Weights } from "../engine/engine.ts"
import { encoded, once } from "./answering.ts"
import { heldBy, klCaps, type Measured } from "./klCaps.ts"
import { observer } from "./loop.ts"
import type { Scope } from "./scope.ts"

/** Measures KL of `weights` from the initial model of each cap; fails when it is not within its cap. `kept` is what remains then. */
export const heldAtEnd = Effect.fn("heldAtEnd")(function*(
  scope: Scope,
  weights: Weights,
  { held: rows, kept, measured }: {
    readonly held: ReadonlyArray<PromptRow>
    readonly measured: Measured
    readonly kept: string
  }
) {
  if (scope.limits.kl.length === 0) return
  const engine = yield* CurrentEngine
  const codec = engine.codec(weights)
  const policy = yield* observer(engine.policy, weights)
  const use = { stage: scope.label, codec, context: policy.context }
  const answering = once(use)
  const held = heldBy(answering, policy, rows, yield* encoded(use, answering, rows))
  const caps = yield* klCaps(scope, { state: null }, {
    policy,
    open: engine.policy,
    opened: [],
    reference: undefined,
    observing: null,
    init: null,
    held,
    stop: codec.stop,
    measured: { ...measured, measureEvery: 1 },
    steps: 1,
    start: kept
  })
  yield* Effect.catchTag(
    caps.measure(1),
    "NotFinite",
    ({ quantity, value }) =>
      Effect.fail(new Diverged({ stage: scope.label, step: 1, quantity, value: String(value), kept }))
  )
}, Effect.scoped)
