/**
 * Llama 3.1, 405B (Grattafiori et al. 2024, arXiv 2407.21783, §4): six rounds, each of comparisons by people, a reward model, rejection
 * sampling from the best model so far, SFT of the *pretrained* model, and DPO. After each training the weights of variants are averaged.
 *
 * Differences: which variants are averaged, and their weights, are not reported: they are seeds, of equal weight. Edits by people (edited >
 * chosen > rejected) are pairs like the others.
 */
import type * as Artifact from "../Artifact.ts"
import * as Checkpoint from "../Checkpoint.ts"
import * as Kl from "../Kl.ts"
import * as MergeMethod from "../MergeMethod.ts"
import * as Pipeline from "../Pipeline.ts"
import * as PreferenceLoss from "../PreferenceLoss.ts"
import * as Recipe from "../Recipe.ts"
import * as Source from "../Source.ts"
import * as Dpo from "../stages/Dpo.ts"
import * as Filter from "../stages/Filter.ts"
import * as Judge from "../stages/Judge.ts"
import * as Merge from "../stages/Merge.ts"
import * as Mix from "../stages/Mix.ts"
import * as RewardModeling from "../stages/RewardModeling.ts"
import * as Sample from "../stages/Sample.ts"
import * as Select from "../stages/Select.ts"
import * as Sft from "../stages/Sft.ts"
import * as RejectionSampling from "./RejectionSampling.ts"

/** §4: rounds. */
export const rounds = 6

/** §4.1.3: the 405B has 8,500 to 9,000 steps at 1e-5. */
export const sft = { steps: 9000, learningRate: 1e-5 } as const

/** §4.1.4: 1e-5, β 0.1, 0.2 of the likelihood of chosen answers, formatting tokens masked in both. */
export const dpo = {
  learningRate: 1e-5,
  loss: PreferenceLoss.dpoNll({ beta: 0.1, nll: 0.2 }),
  mask: "template"
} as const

/** Table 7: percent of the examples of SFT. */
export const shares = {
  generalEnglish: 52.66,
  code: 14.89,
  multilingual: 3.01,
  exam: 8.14,
  reasoningAndTools: 21.19,
  longContext: 0.11
} as const

type Model = Artifact.Of<"BaseModel" | "Policy", "llama3">

const roundNumbers = [1, 2, 3, 4, 5, 6] as const
const inRounds = <A>(of: (round: number) => A) =>
  Object.fromEntries(roundNumbers.map((n) => [`verdicts${n}`, of(n)])) as Record<
    `verdicts${typeof roundNumbers[number]}`,
    A
  >

export const llama31 = Recipe.make({
  name: "llama-3.1",
  title: "Llama 3.1 405B, instruct",
  paper: "arXiv 2407.21783",
  takes: {
    base: ["BaseModel", "llama3"],
    code: "Demonstrations",
    multilingual: "Demonstrations",
    exam: "Demonstrations",
    reasoningAndTools: "Demonstrations",
    longContext: "Demonstrations",
    ...inRounds(() => "Preferences" as const),
    annotated: "Prompts",
    prompts: "Prompts",
    held: "Prompts"
  },
  open: {
    completionsPerPrompt: Recipe.notReported(20, "“typically between 10 and 30”"),
    variants: Recipe.notReported(2, "models that are averaged after each training"),
    minMargin: Recipe.notReported(1, "pairs of similar answers are dropped: of four strengths, the weakest"),
    batches: Recipe.notReported(2, "rounds of comparisons that DPO learns from: “primarily the most recent”"),
    reward: Recipe.notReported({ batchSize: 512, learningRate: 1e-6, epochs: 1 }, "of the reward model"),
    sft: Recipe.notReported({ batchSize: 128, examples: 1_150_000 }, "of SFT: rows of a step and of the mixture"),
    dpo: Recipe.notReported({ batchSize: 128, epochs: 1 }, "of DPO"),
    maxNewTokens: Recipe.notReported(2048, "longest completion")
  },
  published: () => {
    const demonstrations = (name: string) =>
      Source.demonstrations(Source.described(name, { rows: 200_000, tokens: { prompt: 500, completion: 400 } }))
    const prompts = (name: string, rows: number) =>
      Source.prompts(Source.described(name, { rows, tokens: { prompt: 500 } }))
    return {
      base: Checkpoint.described("llama3", {
        name: "Llama 3.1 405B",
        hub: "meta-llama/Llama-3.1-405B",
        layers: 126,
        dim: 16_384,
        heads: 128,
        kvHeads: 8,
        ffn: 53_248,
        vocab: 128_256,
        context: 131_072
      }),
      code: demonstrations("code"),
      multilingual: demonstrations("multilingual"),
      exam: demonstrations("exam-like"),
      reasoningAndTools: demonstrations("reasoning and tools"),
      longContext: demonstrations("long context"),
      ...inRounds((n) =>
        Source.preferences(
          Source.described(`comparisons of round ${n}`, { rows: 40_000, tokens: { prompt: 500, completion: 400 } })
        )
      ),
      annotated: prompts("prompts of annotators, a round", 40_000),
      prompts: prompts("prompts of rejection sampling", 2000),
      held: prompts("held-out prompts", 1000)
    }
  },
  make: (given, open) => {
    const { annotated, base, held, prompts } = given
    const { completionsPerPrompt, maxNewTokens } = open
    const variants = <A>(of: (seed: number) => A): Readonly<Record<string, A>> =>
      Object.fromEntries(Array.from({ length: open.variants }, (_, seed) => [`variant${seed}`, of(seed)]))
    const soup = { method: MergeMethod.uniformSoup } as const

    /** Two answers of the two latest models, or of the first. */
    const answered = (policies: ReadonlyArray<Model>) => {
      const sample = (policy: Model, completionsPerPrompt: number) =>
        Sample.make({ policy, prompts: annotated }, { completionsPerPrompt, maxNewTokens })
      const [a, b] = policies.slice(-2) as [Model, Model | undefined]
      return b === undefined ? sample(a, 2) : Mix.make({ a: sample(a, 1), b: sample(b, 1) })
    }
    /** Comparisons of each round, without those of similar answers. */
    const compared = (policies: ReadonlyArray<Model>) =>
      policies.map((_, i): Artifact.Of<"Preferences"> =>
        Filter.make({
          of: Judge.make({ completions: answered(policies.slice(0, i + 1)) }, {
            by: Judge.people("annotators", { verdicts: given[`verdicts${roundNumbers[i]!}`] })
          })
        }, { minMargin: open.minMargin })
      )
    const mixed = (rounds: ReadonlyArray<Artifact.Of<"Preferences">>) =>
      Mix.make(Object.fromEntries(rounds.map((of, i) => [`round${i + 1}`, of])))

    /** From the pretrained model, on all comparisons, without a margin in the loss. */
    const rewardOf = (policies: ReadonlyArray<Model>) =>
      Merge.make(
        {},
        variants((seed) =>
          RewardModeling.make({ init: base, preferences: mixed(compared(policies)) }, { ...open.reward, seed })
        ),
        soup
      )
    const tunedOf = (policies: ReadonlyArray<Model>): Artifact.Of<"Policy", "llama3"> => {
      const { code, exam, longContext, multilingual, reasoningAndTools } = given
      const { selected: generalEnglish } = RejectionSampling.make(
        { policy: policies.at(-1)!, prompts, reward: rewardOf(policies) },
        { completionsPerPrompt, maxNewTokens, rule: Select.perPrompt() }
      )
      const demonstrations = Mix.make(
        { generalEnglish, code, multilingual, exam, reasoningAndTools, longContext },
        { take: { weights: shares, count: open.sft.examples } }
      )
      return Merge.make(
        {},
        variants((seed) => Sft.make({ base, demonstrations }, { ...sft, batchSize: open.sft.batchSize, seed })),
        soup
      )
    }
    const alignedOf = (policies: ReadonlyArray<Model>): Artifact.Of<"Policy", "llama3"> => {
      const tuned = tunedOf(policies)
      const aligned = variants((seed) =>
        Dpo.make({ init: tuned, reference: tuned, preferences: mixed(compared(policies).slice(-open.batches)) }, {
          ...dpo,
          ...open.dpo,
          seed
        })
      )
      return Pipeline.observe(Merge.make({}, aligned, soup), { kl: Kl.measured, from: tuned, held, maxNewTokens })
    }
    const made = Pipeline.rounds(base as Model, rounds, (_, __, earlier) => alignedOf(earlier))
    const last = [base, ...made.slice(0, -1)]
    return { reward: rewardOf(last), sft: tunedOf(last), policy: made.at(-1)! }
  }
})
