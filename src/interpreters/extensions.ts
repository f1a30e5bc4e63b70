/** What a pipeline has from outside Keel, and what an interpreter was given for it. */
import type * as Schema from "effect/Schema"
import * as Artifact from "../../dsl/Artifact.ts"
import { label } from "../../dsl/Render.ts"
import { isBuiltIn } from "../../dsl/Stage.ts"
import type * as Extension from "../../dsl/Extension.ts"
import type { Implementation } from "../outside/implementation.ts"
import type { RewardImplementation } from "../rewards/own.ts"
import type { Problem } from "./check.ts"

/** What is declared outside Keel means this. */
export interface Extensions {
  readonly stages?: ReadonlyArray<Implementation>
  readonly rewards?: ReadonlyArray<RewardImplementation>
}

/** The needs that some extensions meet. */
export type Met<X extends Extensions> =
  | (X extends { readonly stages: ReadonlyArray<infer I> } ?
    I extends Implementation<infer Op, any> ? Extension.Stage<Op> : never
    : never)
  | (X extends { readonly rewards: ReadonlyArray<infer R> }
    ? R extends RewardImplementation<infer Name> ? Extension.Reward<Name> : never
    : never)

/** What the stages among some extensions can fail with besides what Keel's own can. */
export type FailureOf<X extends Extensions> = X extends { readonly stages: ReadonlyArray<infer I> }
  ? I extends Implementation<any, infer E> ? E : never
  : never

/** Names of the rewards from outside anywhere in some parameters. */
const rewardsIn = (params: Schema.Json): ReadonlyArray<string> => {
  if (typeof params !== "object" || params === null) return []
  const { _tag, name } = params as { readonly _tag?: unknown; readonly name?: unknown }
  if (_tag === "OwnReward") return [String(name)]
  return Object.values(params).flatMap(rewardsIn)
}

/** What the pipeline needs and `given` has not, in the words of a mistake. */
export const lackingExtensions = (
  root: Artifact.Any,
  given: Extensions,
  needed: { readonly rewards: boolean } = { rewards: true }
): ReadonlyArray<Problem> =>
  Artifact.lineage(root).flatMap((artifact) => {
    const { definition, op, params } = artifact.node
    // What nobody declared either is no operation at all, which `check` says.
    const stage = isBuiltIn(op) || definition === undefined || (given.stages ?? []).some(({ definition }) =>
        definition.op === op
      )
      ? []
      : [
        `the stage ${op} comes from outside Keel and nobody says what it means: pass its implementation in \`stages\`, or \
export it as \`stages\` from the pipeline's file`
      ]
    const rewards = rewardsIn(params)
      .filter((name) => needed.rewards && !(given.rewards ?? []).some((one) => one.name === name))
      .map((name) =>
        `the reward ${name} comes from outside Keel and nobody says what it means: pass its implementation in \`rewards\`, or \
export it as \`rewards\` from the pipeline's file`
      )
    return [...stage, ...rewards].map((problem) => ({ stage: label(artifact), problem }))
  })
