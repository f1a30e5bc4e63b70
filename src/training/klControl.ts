/** β of a stage's KL penalty from step to step (`dsl/KlControl.ts`); its state is saved in the checkpoints. */
import * as Schema from "effect/Schema"
import { type Changing, valuesAt } from "../../dsl/FromStep.ts"
import type { KlControl } from "../../dsl/KlControl.ts"
import { ppoPenaltyControl, zieglerControl } from "../optim/klControl.ts"

const Saved = Schema.Struct({ beta: Schema.Number, kls: Schema.Array(Schema.Number) })

export const klControl = (
  stage: Changing & { readonly klControl: KlControl },
  /** State of the checkpoint; null at the start. */
  state: Schema.Json
) => {
  const { beta, klControl: how } = stage
  const saved = state === null ? { beta, kls: [] } : Schema.decodeUnknownSync(Saved)(state)
  let now = saved.beta
  const betaAt = (n: number): number => how._tag === "FixedBeta" ? valuesAt(stage, n).beta : now
  /** KL seen since β last changed. */
  let kls = saved.kls
  return {
    /** β of step `n`, the current step. */
    beta: betaAt,
    /** β of this step as a metric, where β can change. */
    metrics: (n: number) =>
      how._tag === "FixedBeta" && !Object.values(stage.fromStep ?? {}).some((one) => "beta" in one)
        ? {}
        : { "objective/kl_coef": betaAt(n) },
    /** After a step: KL of its samples from the reference, nats per sequence; `undefined` without a reference. */
    seen: (kl: number | undefined, episodes: number): void => {
      if (kl === undefined || how._tag === "FixedBeta") return
      const target = how.target.mnats / 1000
      kls = [...kls, kl]
      if (how._tag === "PpoPenalty" && kls.length < how.every) return
      now = how._tag === "Ziegler"
        ? zieglerControl(now, kl, { target, horizon: how.horizon, episodes })
        : ppoPenaltyControl(now, kls.reduce((sum, x) => sum + x, 0) / kls.length, { target })
      kls = []
    },
    state: () => ({ beta: now, kls })
  }
}

/** Largest move of a policy from its sampler before an update, nats per token: 1.5 times `targetKl`. */
export const movedMost = ({ targetKl }: { readonly targetKl?: { readonly mnats: number } }) =>
  targetKl === undefined ? {} : { movedMost: 1.5 * targetKl.mnats / 1000 }
