/**
 * Rejection sampling (book, chapter 9; Llama 2 §3.2.3): several completions of each prompt, scored by a reward model, the best of them as
 * demonstrations. Expert iteration is rounds of it, each followed by SFT on the selection.
 */
import type * as Artifact from "../Artifact.ts"
import type { Compute, Dimension } from "../Budget.ts"
import type { Computed } from "../Data.ts"
import type { TrainingError } from "../Errors.ts"
import * as Pipeline from "../Pipeline.ts"
import * as Sample from "../stages/Sample.ts"
import * as Score from "../stages/Score.ts"
import * as Select from "../stages/Select.ts"
import * as Sft from "../stages/Sft.ts"
import { type Checked, data, type Given, model } from "../Wires.ts"

const wires = {
  policy: model(["BaseModel", "Policy"], "the policy that writes, e.g. the output of Sft.make(…)"),
  prompts: data("Prompts", "instructions, e.g. Source.prompts(…)"),
  reward: model(["RewardModel", "Reward"], "a RewardModel: train one with RewardModeling.make(…)")
} as const

export type Options = typeof Sample.Sample["~type.make.in"] & Pick<typeof Select.Select["~type.make.in"], "rule">

type Of<K extends Artifact.Kind, F extends string = ""> = Artifact.Artifact<K, F, string, number, Dimension, unknown>

/** The same for any family and budget, without inference by the compiler. */
interface Any {
  readonly policy: Of<"BaseModel" | "Policy", string>
  readonly prompts: Of<"Prompts">
  readonly reward: Of<"RewardModel" | "Reward", string>
}

const sampled = ({ policy, prompts, reward }: Any, { rule, ...sampling }: Options) => {
  const completions = Score.byReward({ completions: Sample.make({ policy, prompts }, sampling), reward })
  const select = (control: boolean) => Select.make({ completions }, { rule, control, seed: sampling.seed ?? 0 })
  return { selected: select(false), control: select(true) }
}

/** The selected completions, and as many at random from the same candidates: the control for the gain. */
export const make: <W extends Given>(
  connected: Checked<"RejectionSampling", typeof wires, "policy", W>,
  options: Options
) => Readonly<
  Record<"selected" | "control", Computed<W, "Demonstrations">>
> = sampled as never

const iterated = (
  { policy, prompts, reward }: Any,
  { rounds, sampling, sft }: {
    readonly rounds: number
    readonly sampling: Options
    readonly sft: typeof Sft.Sft["~type.make.in"]
  }
) =>
  Pipeline.repeat(
    policy,
    rounds,
    (base) => Sft.make({ base, demonstrations: sampled({ policy: base, prompts, reward }, sampling).selected }, sft)
  )

/**
 * Expert iteration (Anthony, Tian and Barber 2017, arXiv 1705.08439): in each round the policy answers the prompts, the best answers are
 * selected, and it is fine-tuned on them, from where it was. Rounds that restart from base: `Llama2Chat.ts`.
 */
export const expertIteration: <W extends Given>(
  connected: Checked<"ExpertIteration", typeof wires, "policy", W>,
  options: Parameters<typeof iterated>[1]
) => Artifact.Output<
  W,
  "Policy",
  Artifact.FamilyOf<W["policy"]>,
  Compute,
  Artifact.AllottedOf<W["policy"]>,
  TrainingError
> = iterated as never
