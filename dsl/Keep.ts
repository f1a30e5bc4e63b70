/**
 * The weights that come out of a stage that trains: the last, unless it says otherwise. Where a KL cap ends the stage early, they are the
 * last weights within it. Under adapters (`lora`) all weights are kept, with the adapter merged.
 */
import * as Schema from "effect/Schema"
import type { Any } from "./Artifact.ts"
import { Count } from "./Training.ts"
import { model, optional } from "./Wires.ts"

/**
 * The moving average of the weights: w̄ ← d w̄ + (1 − d) w after each step of the stage, from its start (InstructGPT, App. C: d .992 over
 * the iterations of PPO; Polyak and Juditsky 1992).
 */
export class Average extends Schema.TaggedClass<Average>()("Average", {
  decay: Schema.Finite.check(
    Schema.makeFilter((decay: number) => decay > 0 && decay < 1 || "must be above 0 and below 1")
  )
}) {}

/** The mean of the weights after each `every` steps and after the last (a uniform soup: Wortsman et al. 2022, arXiv 2203.05482). */
export class Soup extends Schema.TaggedClass<Soup>()("Soup", { every: Count }) {}

/**
 * The best of the weights after each `every` steps, or each epoch, and after the last; of equals the earliest. By `loss`, the lowest on the
 * rows of the wire `validation`; by `proxy`, the highest mean reward of one completion of each prompt of the wire `held` (InstructGPT
 * chose the epoch of its SFT by its reward model). The maximum of noisy numbers is above their mean: measure the chosen model anew.
 */
export class Best extends Schema.TaggedClass<Best>()("Best", {
  by: Schema.Literals(["loss", "proxy"]),
  every: Schema.Union([Count, Schema.Literal("epoch")]),
  /** Longest completion, tokens, of a stage that has no such field. */
  maxNewTokens: Schema.optionalKey(Count)
}) {}

export const Keep = Schema.Union([Average, Soup, Best]).pipe(Schema.toTaggedUnion("_tag"))
export type Keep = typeof Keep.Type

export const average = (of: { readonly decay: number }): Average => new Average(of, { disableChecks: true })
export const soup = (of: { readonly every: number }): Soup => new Soup(of, { disableChecks: true })
export const best = (of: typeof Best["~type.make.in"]): Best => new Best(of, { disableChecks: true })

/** Of a stage that can judge its weights on the way. */
export const keeping = { keep: Schema.optionalKey(Keep) }

/** The wire of the reward that only `Best` by `proxy` reads. */
export const judgedBy = optional(
  model(["RewardModel", "Reward"], "a RewardModel, for keep: train one with RewardModeling.make(…)")
)

/** One sentence for each mistake in `keep`. `judging` are the wires that only `Best` reads, by what it judges by. */
export const keepMistakes = (
  { _tag: op, epochs, keep, maxNewTokens, steps }: {
    readonly _tag: string
    readonly keep?: Keep
    readonly epochs?: number
    readonly steps?: number | undefined
    readonly maxNewTokens?: number
  },
  connected: { readonly [wire: string]: Any | undefined },
  judging: { readonly loss?: ReadonlyArray<string>; readonly proxy?: ReadonlyArray<string> } = {},
  own: ReadonlyArray<string> = []
): ReadonlyArray<string> => {
  const by = keep?._tag === "Best" ? keep.by : undefined
  const every = keep === undefined || keep._tag === "Average" ? undefined : keep.every
  const wanted = by === undefined ? [] : judging[by] ?? []
  return [
    typeof every === "number" && steps !== undefined && every > steps &&
    `keep: every ${every} is more than steps ${steps}, so only the last weights are looked at: lower it, or leave keep out`,
    every === "epoch" && epochs === undefined &&
    `keep: ${op} has no epochs: give a number of steps as every`,
    by !== undefined && judging[by] === undefined &&
    `keep: ${op} cannot be judged by ${by}: take ${by === "loss" ? "proxy" : "loss"}`,
    ...wanted.map((wire) =>
      connected[wire] === undefined && `keep: ${op}.${wire} is missing: Best by ${by} reads it; connect ${wire}`
    ),
    by === "proxy" && judging.proxy !== undefined && maxNewTokens === undefined && keep?._tag === "Best" &&
    keep.maxNewTokens === undefined && "keep: maxNewTokens is missing: how long may a completion be?",
    keep?._tag === "Best" && keep.maxNewTokens !== undefined && (by === "loss" || maxNewTokens !== undefined) &&
    `keep: maxNewTokens is of no use, because ${
      by === "loss" ? "the loss reads rows" : `that of ${op} holds`
    }: leave it out`,
    ...own.map((wire) =>
      connected[wire] !== undefined && !wanted.includes(wire) &&
      `${op}.${wire} has no use: only keep reads it, Best by ${wire === "validation" ? "loss" : "proxy"}; leave it out`
    )
  ].filter((mistake) => mistake !== false)
}
