/**
 * An interpreter of your own: the method section of a paper, read off a pipeline. A fold has a case for each operation, Keel's
 * and your own; leave one out and it does not compile.
 *
 *     node examples/14-own-interpreter.ts
 *
 * Ends with:
 *
 *     To obtain rwr, we sampled 4 completions for each of 16 prompts a step, for 20 steps, and weighted them by exp(r / 0.5) under the reward model.
 *     The KL of rwr from sft is capped at 10 nats per sequence.
 *     We report reward and KL of rwr and sft on the held prompts.
 */
import { Interpreter } from "keel"
import pipeline, { type Rwr } from "./13-own-stage.ts"

/** How the paper calls an artefact, and how it was made. */
interface Told {
  readonly name: string
  readonly sentence: string
}

const told = (name: string, sentence: string): Told => ({ name, sentence })
const count = (n: number, of: string): string => `${n} ${of}${n === 1 ? "" : "s"}`

/** For most operations, the name of the result and its inputs are enough. */
const made = (name: string, how: string) => (_: object, { inputs }: Interpreter.At<Told>): Told =>
  told(
    name,
    `${name[0]!.toUpperCase()}${name.slice(1)} is ${how} ${
      new Intl.ListFormat("en").format([...new Set(Object.values(inputs).map(({ name }) => name))])
    }.`
  )

/** The text for every artefact, in the order of execution. */
const all = Interpreter.foldAll<Told, typeof pipeline>(pipeline, {
  Input: ({ name }) => told(name, ""),
  Source: ({ origin, role }) => {
    const split = "split" in origin && role === "Prompts" ? (origin.split === "held" ? "held " : "training ") : ""
    return told(`the ${split}${role.toLowerCase()}`, "")
  },
  Checkpoint: ({ family, path, shape }) => told(family, `We start from ${family} (${path ?? shape?.name}).`),
  Outputs: (_, { inputs }) => told("the results", `The results are ${Object.keys(inputs).join(", ")}.`),
  Cap: ({ kl }, { inputs: { from, of } }) =>
    told(
      of!.name,
      kl === undefined || from === undefined
        ? ""
        : kl === "measured"
        ? `The KL of ${of!.name} from ${from.name} is measured.`
        : `The KL of ${of!.name} from ${from.name} is capped at ${kl.mnats / 1000} nats per ${kl.per}.`
    ),
  Pretrain: ({ batchSize, model, steps }, { inputs }) =>
    told(
      "the base model",
      `We pretrained ${
        model === undefined
          ? `${inputs["init"]!.name} further`
          : `the base model, ${count(model.layers, "layer")} of width ${model.dim},`
      } on ${inputs["text"]!.name} for ` +
        `${count(steps, "step")} of ${count(batchSize, "document")}.`
    ),
  Sft: ({ epochs, learningRate }, { inputs }) =>
    told(
      "sft",
      `To obtain sft, we fine-tuned ${inputs["base"]!.name} on ${inputs["demonstrations"]!.name} for ` +
        `${count(epochs, "epoch")} at a learning rate of ${learningRate}.`
    ),
  Compare: ({ completionsPerPrompt, gold, judge }, { inputs }) =>
    told(
      "the comparisons",
      `${
        gold?._tag === "OwnReward" ? gold.name : gold?._tag ?? judge?.endpoint?.model ?? inputs["judge"]!.name
      } compared ` +
        `${count(completionsPerPrompt, "completion")} of ${inputs["policy"]!.name} for each of ${
          inputs["prompts"]!.name
        }.`
    ),
  Judge: made("the comparisons", "judged two by two, of"),
  RewardModeling: ({ epochs }, { inputs }) =>
    told(
      "the reward model",
      `The reward model starts from ${inputs["init"]!.name} and saw ${inputs["preferences"]!.name} for ` +
        `${count(epochs, "epoch")}.`
    ),
  Ppo: ({ beta, steps }, { inputs }) =>
    told(
      "ppo",
      `To obtain ppo, we optimised ${inputs["init"]!.name} against ${inputs["reward"]!.name} for ` +
        `${count(steps, "step")} of PPO with a KL penalty of ${beta} towards ${inputs["reference"]!.name}.`
    ),
  Grpo: made("the policy of GRPO", "trained on groups of its own samples, from"),
  Dpo: made("the policy of DPO", "fitted directly to preferences, from"),
  Kto: made("the policy of KTO", "fitted directly to good and bad answers, from"),
  Distill: made("the student", "taught by"),
  OnPolicyDistill: made("the student", "taught on its own samples, by"),
  Ensemble: made("the ensemble", "made of"),
  Reward: made("the reward", "made of"),
  Merge: made("the merged model", "an average of the weights of"),
  Gate: made("the model kept", "the better of"),
  Sample: made("the samples", "drawn from"),
  Score: made("the scored samples", "judged from"),
  BestOfN: made("the best samples", "the best of n from"),
  Select: made("the selection", "chosen from"),
  Pair: made("the pairs", "the better and the worse of"),
  Difficulty: made("the prompts", "neither too easy nor too hard, of"),
  Mix: made("the mixture", "mixed from"),
  Filter: made("the filtered data", "kept of"),
  Split: made("the split", "a part of"),
  Deduplicate: made("the deduplicated data", "what is left of"),
  Decontaminate: made("the decontaminated data", "what overlaps with none among"),
  Evaluate: (_, { inputs }) => {
    const models = Object.entries(inputs).filter(([wire]) => wire.startsWith("models.")).map(([, { name }]) => name)
    return told("the report", `We report reward and KL of ${models.join(" and ")} on ${inputs["prompts"]!.name}.`)
  },
  Rwr: ({ batchSize, beta, groupSize, steps }: Rwr, { inputs }) =>
    told(
      "rwr",
      `To obtain rwr, we sampled ${count(groupSize, "completion")} for each of ${
        count(batchSize, "prompt")
      } a step, for ` +
        `${count(steps, "step")}, and weighted them by exp(r / ${beta}) under ${inputs["reward"]!.name}.`
    )
})

export const lines = [...all.values()].map(({ sentence }) => sentence).filter((sentence) => sentence !== "")

export { default, rewards, stages } from "./13-own-stage.ts"

if (import.meta.main) console.log(lines.join("\n"))
