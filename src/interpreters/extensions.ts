/** What a pipeline has from outside Keel, and what an interpreter was given for it. */
import type * as Schema from "effect/Schema"
import * as Artifact from "../../dsl/Artifact.ts"
import { label } from "../../dsl/Render.ts"
import { isBuiltIn } from "../../dsl/Stage.ts"
import type * as Extension from "../../dsl/Extension.ts"
import type { Implementation } from "../outside/implementation.ts"
import type { RewardImplementation } from "../rewards/own.ts"
import type { LossImplementation } from "../training/ownLosses.ts"
import type { Problem } from "./check.ts"

/** What is declared outside Keel means this. */
export interface Extensions {
  readonly stages?: ReadonlyArray<Implementation>
  readonly rewards?: ReadonlyArray<RewardImplementation>
  readonly losses?: ReadonlyArray<LossImplementation>
}

/** The needs that some extensions meet. */
export type Met<X extends Extensions> =
  | (X extends { readonly stages: ReadonlyArray<infer I> } ?
    I extends Implementation<infer Op, any> ? Extension.Stage<Op> : never
    : never)
  | (X extends { readonly rewards: ReadonlyArray<infer R> }
    ? R extends RewardImplementation<infer Name> ? Extension.Reward<Name> : never
    : never)
  | (X extends { readonly losses: ReadonlyArray<infer L> }
    ? L extends LossImplementation<infer Kind, infer Name> ? Extension.Loss<Kind, Name> : never
    : never)

/** What the stages among some extensions can fail with besides what Keel's own can. */
export type FailureOf<X extends Extensions> = X extends { readonly stages: ReadonlyArray<infer I> }
  ? I extends Implementation<any, infer E> ? E : never
  : never

/** The rewards and losses from outside anywhere in some parameters, as needs. */
const needsIn = (params: Schema.Json): ReadonlyArray<string> => {
  if (typeof params !== "object" || params === null) return []
  const { _tag, name } = params as { readonly _tag?: unknown; readonly name?: unknown }
  if (_tag === "OwnReward") return [`reward ${name}`]
  if (_tag === "OwnPreferenceLoss") return [`preference loss ${name}`]
  if (_tag === "OwnPolicyLoss") return [`policy loss ${name}`]
  return Object.values(params).flatMap(needsIn)
}

/** What the pipeline needs and `given` has not, in the words of a mistake. */
export const lackingExtensions = (
  root: Artifact.Any,
  { losses = [], rewards = [], stages = [] }: Extensions,
  needed: { readonly rewards: boolean } = { rewards: true }
): ReadonlyArray<Problem> => {
  const met = new Set([
    ...stages.map(({ definition }) => `stage ${definition.op}`),
    ...rewards.map(({ name }) => `reward ${name}`),
    ...losses.map(({ kind, name }) => `${kind} loss ${name}`)
  ])
  return Artifact.lineage(root).flatMap((artifact) => {
    const { definition, op, params } = artifact.node
    // What nobody declared either is no operation at all, which `check` says.
    const stage = isBuiltIn(op) || definition === undefined ? [] : [`stage ${op}`]
    return [...stage, ...needsIn(params)]
      .filter((need) => !met.has(need) && (needed.rewards || !need.startsWith("reward ")))
      .map((need) => {
        const list = need.startsWith("stage ") ? "stages" : need.startsWith("reward ") ? "rewards" : "losses"
        return {
          stage: label(artifact),
          problem: `the ${need} comes from outside Keel and nobody says what it means: pass its implementation in \
\`${list}\`, or export it as \`${list}\` from the pipeline's file`
        }
      })
  })
}
