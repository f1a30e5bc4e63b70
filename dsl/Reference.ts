/**
 * The policy that a KL penalty is measured against: the one on the wire `reference`, which may move from there. To start from
 * the stage's own start, connect the same artefact twice: which policy it is is never implied.
 *
 * With β = 0 there is no penalty and no reference: the wire is connected if and only if β > 0.
 */
import * as Schema from "effect/Schema"
import type { Any } from "./Artifact.ts"
import type { Wire, Wires } from "./Wires.ts"
import { Count, Fraction } from "./Training.ts"

/** Does not move. */
export class Frozen extends Schema.TaggedClass<Frozen>()("Frozen", {}) {}

/**
 * Becomes the policy after every `steps` steps (DeepSeek-R1, arXiv 2501.12948: 400). The penalty then bounds movement since the
 * last reset only: k resets are a hidden lowering of β to β/k. KL from the initial model is measured as ever.
 */
export class ResetEvery extends Schema.TaggedClass<ResetEvery>()("ResetEvery", { steps: Count }) {}

/** ref ← (1 − rate)·ref + rate·policy, in the weights, after every `every` steps (WARP: rate 0.01 every step; TR-DPO: 0.6). */
export class MovingAverage
  extends Schema.TaggedClass<MovingAverage>()("MovingAverage", { rate: Fraction, every: Count })
{}

export const ReferencePolicy = Schema.Union([Frozen, ResetEvery, MovingAverage]).pipe(Schema.toTaggedUnion("_tag"))
export type ReferencePolicy = typeof ReferencePolicy.Type

/** The wire without a penalty: absent. */
type Unused = Wire & {
  readonly kinds: readonly []
  readonly optional: true
  readonly needs: "no policy with beta 0 (leave it out)"
}

/** The wires `S` of a stage whose reference is required for β = `B` unless that is the literal 0, and refused then. */
export type Referenced<S extends Wires, B extends number> = {
  readonly [K in keyof S]: K extends "reference" ?
    [B] extends [0] ? Unused : Omit<S[K], "optional"> & { readonly optional: false }
    : S[K]
}

/** One sentence for a reference that moves and should not, or should and does not. */
const moving = (how: ReferencePolicy, beta: number, steps: number): ReadonlyArray<string> => {
  if (how._tag === "Frozen") return []
  if (beta === 0) return [`referencePolicy ${how._tag} has no use with beta 0: leave it out, or raise beta`]
  const every = how._tag === "ResetEvery" ? how.steps : how.every
  return [
    ...(every <= steps ? [] : [
      `referencePolicy ${how._tag} moves after ${every} steps and there are ${steps}: lower it, or take Frozen`
    ]),
    ...(how._tag === "MovingAverage" && how.rate === 0
      ? ["referencePolicy MovingAverage with rate 0 never moves: raise rate, or take Frozen"]
      : [])
  ]
}

/** The same at run time, and whether the reference moves as it should: one sentence for each mistake. */
export const referenceMistakes = (
  { _tag: op, beta, referencePolicy, steps }: {
    readonly _tag: string
    readonly beta: number
    readonly referencePolicy: ReferencePolicy
    readonly steps: number
  },
  wire: Wire,
  connected: Any | undefined
): ReadonlyArray<string> => [
  ...moving(referencePolicy, beta, steps),
  ...(beta > 0 && connected === undefined ? [`${op}.reference is missing: connect ${wire.needs}`] : []),
  ...(beta === 0 && connected !== undefined
    ? [`beta is 0, so ${op}.reference has no use: leave it out, or raise beta`]
    : [])
]
