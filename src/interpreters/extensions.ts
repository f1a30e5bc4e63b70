/** The parts of a pipeline from outside Keel, and the implementations given to an interpreter. */
import type * as Schema from "effect/Schema"
import * as Artifact from "../../dsl/Artifact.ts"
import { label } from "../../dsl/Render.ts"
import { isBuiltIn } from "../../dsl/Stage.ts"
import type * as Extension from "../../dsl/Extension.ts"
import type { Implementation } from "../outside/implementation.ts"
import type { EnvironmentImplementation } from "../rewards/environment.ts"
import type { Judging, RewardImplementation, VerifierImplementation } from "../rewards/own.ts"
import type { LossImplementation } from "../training/ownLosses.ts"
import type { Problem } from "./check.ts"

/** Implementations of everything declared outside Keel. */
export interface Extensions {
  readonly stages?: ReadonlyArray<Implementation>
  /** Verifiers and environments too. */
  readonly rewards?: ReadonlyArray<Judging>
  readonly losses?: ReadonlyArray<LossImplementation>
}

/** The needs that a set of extensions meets. */
export type Met<X extends Extensions> =
  | (X extends { readonly stages: ReadonlyArray<infer I> } ?
    I extends Implementation<infer Op, any> ? Extension.Stage<Op> : never
    : never)
  | (X extends { readonly rewards: ReadonlyArray<infer R> }
    ? R extends RewardImplementation<infer Name> ? Extension.Reward<Name>
    : R extends VerifierImplementation<infer Name> ? Extension.Verifier<Name>
    : R extends EnvironmentImplementation<infer Name> ? Extension.Environment<Name>
    : never
    : never)
  | (X extends { readonly losses: ReadonlyArray<infer L> }
    ? L extends LossImplementation<infer Kind, infer Name> ? Extension.Loss<Kind, Name> : never
    : never)

/** Errors of stages from outside, besides the errors of Keel's stages. */
export type FailureOf<X extends Extensions> = X extends { readonly stages: ReadonlyArray<infer I> }
  ? I extends Implementation<any, infer E> ? E : never
  : never

/** The rewards and losses from outside anywhere in some parameters, as needs. */
const needsIn = (params: Schema.Json): ReadonlyArray<string> => {
  if (typeof params !== "object" || params === null) return []
  const { _tag, name } = params as { readonly _tag?: unknown; readonly name?: unknown }
  if (_tag === "OwnReward") return [`reward ${name}`]
  if (_tag === "OwnVerifier") return [`verifier ${name}`]
  if (_tag === "OwnEnvironment") return [`environment ${name}`]
  if (_tag === "OwnPreferenceLoss") return [`preference loss ${name}`]
  if (_tag === "OwnPolicyLoss") return [`policy loss ${name}`]
  return Object.values(params).flatMap(needsIn)
}

/** The need that an implementation of a reward, a verifier or an environment meets. */
export const needOf = (one: Judging): string =>
  `${"score" in one ? "reward" : "verify" in one ? "verifier" : "environment"} ${one.name}`

/** The list of implementations that meets a need. */
const listFor = (need: string): keyof Extensions =>
  need.startsWith("stage ") ? "stages" : /^(reward|verifier|environment) /u.test(need) ? "rewards" : "losses"

/** Everything from outside that an artefact needs. `check` reports operations that are not declared at all. */
export const needsOf = ({ node: { definition, op, params } }: Artifact.Any): ReadonlyArray<string> => [
  ...(isBuiltIn(op) || definition === undefined ? [] : [`stage ${op}`]),
  ...needsIn(params)
]

/** Needs of the pipeline that `given` does not meet, as mistakes. */
export const lackingExtensions = (
  root: Artifact.Any,
  { losses = [], rewards = [], stages = [] }: Extensions,
  needed: { readonly rewards: boolean } = { rewards: true }
): ReadonlyArray<Problem> => {
  const met = new Set([
    ...stages.map(({ definition }) => `stage ${definition.op}`),
    ...rewards.map(needOf),
    ...losses.map(({ kind, name }) => `${kind} loss ${name}`)
  ])
  return Artifact.lineage(root).flatMap((artifact) =>
    needsOf(artifact)
      .filter((need) => !met.has(need) && (needed.rewards || listFor(need) !== "rewards"))
      .map((need) => {
        const list = listFor(need)
        return {
          stage: label(artifact),
          problem: `the ${need} comes from outside Keel and has no implementation here: pass it in \
\`${list}\`, or export it as \`${list}\` from the pipeline's file`
        }
      })
  )
}
