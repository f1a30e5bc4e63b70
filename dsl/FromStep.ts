/**
 * Numbers of a stage that change while it trains, such as the length of completions of DeepSeek-R1-Zero (arXiv 2501.12948: 32,768 tokens, and
 * 65,536 after 8,200 steps): `maxNewTokens: 65_536, fromStep: { 0: { maxNewTokens: 32_768 }, 8_200: { maxNewTokens: 65_536 } }`.
 * Optimiser, moving reference and streams of random numbers go on. A reward changes by `Reward.from`, the rate by `schedule`.
 */
import * as Schema from "effect/Schema"
import type { KlControl } from "./KlControl.ts"
import { Clip, type Loss, lossMistakes, PolicyLoss, Ratio } from "./PolicyLoss.ts"
import { Count, NonNegative, Positive } from "./Training.ts"

const Changes = Schema.Struct({
  /** Longest completion that is sampled. The stage's own field is the longest of all: prompts leave room for it, and KL is measured at it. */
  maxNewTokens: Schema.optionalKey(Count),
  temperature: Schema.optionalKey(Positive),
  /** Of a penalty with a constant β, which the stage's own field has first. */
  beta: Schema.optionalKey(NonNegative),
  /** Of a loss with a ratio. */
  clip: Schema.optionalKey(Clip)
})

const FromStep = Schema.Record(Schema.String, Changes)

export const changing = {
  /** Other values from a step on, by the number of steps that were made before; each stays until it changes again. */
  fromStep: Schema.optionalKey(FromStep)
}

export interface Changing {
  readonly maxNewTokens: number
  readonly temperature: number
  readonly beta: number
  readonly loss: Loss
  readonly fromStep?: typeof FromStep.Type
}

/** The steps at which something changes, in order. */
export const changesOf = ({ fromStep = {} }: Pick<Changing, "fromStep">): ReadonlyArray<number> =>
  Object.keys(fromStep).map(Number).sort((a, b) => a - b)

/** The values at step `n`, n from 0. */
export const valuesAt = (stage: Changing, n: number): Omit<Changing, "fromStep"> => {
  const { beta, fromStep = {}, loss, maxNewTokens, temperature } = stage
  const { clip, ...changed } = Object.assign(
    { beta, maxNewTokens, temperature },
    ...changesOf(stage).filter((step) => step <= n).map((step) => fromStep[step])
  ) as typeof Changes.Type & Pick<Changing, "beta" | "maxNewTokens" | "temperature">
  return {
    ...changed,
    loss: clip === undefined || loss._tag === "OwnPolicyLoss" || loss.objective._tag !== "Ratio"
      ? loss
      : new PolicyLoss({ ...loss, objective: new Ratio({ ...loss.objective, clip }) }, { disableChecks: true })
  }
}

/** One sentence for each mistake in `fromStep`. */
export const changeMistakes = (
  stage: Changing & { readonly steps: number; readonly klControl: KlControl }
): ReadonlyArray<string> => {
  const { beta, fromStep = {}, klControl, loss, maxNewTokens, steps } = stage
  const changes = Object.values(fromStep)
  const has = (name: keyof typeof Changes.Type) => changes.some((change) => change[name] !== undefined)
  return [
    ...Object.entries(fromStep).flatMap(([step, change]) => [
      !/^(?:0|[1-9]\d*)$/u.test(step) && `fromStep ${step} is no number of steps: write 0 or a whole number above 0`,
      Number(step) >= steps && `fromStep ${step} comes after the last of ${steps} steps: lower it, or leave it out`,
      Object.keys(change).length === 0 && `fromStep ${step} changes nothing: leave it out`,
      change.maxNewTokens !== undefined && change.maxNewTokens > maxNewTokens &&
      `fromStep ${step}: maxNewTokens ${change.maxNewTokens} is above maxNewTokens ${maxNewTokens}, the longest: raise that, and give the shorter length from step 0`
    ]),
    has("beta") && beta === 0 &&
    "beta is 0, so there is no reference, and fromStep cannot raise it: start from a beta above 0",
    has("beta") && klControl._tag !== "FixedBeta" &&
    `klControl ${klControl._tag} changes beta by itself: leave beta out of fromStep, or klControl out`,
    has("temperature") && klControl._tag !== "FixedBeta" &&
    `klControl ${klControl._tag} follows the KL of samples at temperature 1: leave temperature out of fromStep, or klControl out`,
    has("clip") && (loss._tag === "OwnPolicyLoss" || loss.objective._tag !== "Ratio") &&
    "fromStep changes clip, and its loss has no ratio to clip: leave clip out",
    ...(has("clip") ? changesOf(stage).flatMap((step) => lossMistakes(valuesAt(stage, step).loss)) : [])
  ].filter((mistake) => mistake !== false)
}
