/**
 * A helpful and harmless assistant, 52B (Bai et al. 2022, arXiv 2204.05862), trained online: context distillation, pretraining of a preference
 * model, then weekly rounds. Each week people compare answers of the latest policy, and preference model and policy are trained again from the
 * start, on the mixture of all comparisons so far.
 *
 * Differences: people compare answers of one policy, where several snapshots were deployed at a time, and choose in a conversation, where they
 * went on with the answer that they chose. The context of distillation is the head of the published prompt, without its conversations.
 */
import type * as Artifact from "../Artifact.ts"
import * as Ask from "../Ask.ts"
import * as Checkpoint from "../Checkpoint.ts"
import * as Distillation from "../Distillation.ts"
import * as Kl from "../Kl.ts"
import * as Pipeline from "../Pipeline.ts"
import * as PolicyGradient from "../PolicyGradient.ts"
import * as Recipe from "../Recipe.ts"
import * as Source from "../Source.ts"
import * as Distill from "../stages/Distill.ts"
import * as Judge from "../stages/Judge.ts"
import * as Mix from "../stages/Mix.ts"
import * as Ppo from "../stages/Ppo.ts"
import * as RewardModeling from "../stages/RewardModeling.ts"
import * as Sample from "../stages/Sample.ts"

/** The first lines of the prompt of Askell et al. (arXiv 2112.00861), of 14 conversations. */
export const hhh =
  "Below are a series of dialogues between various people and an AI assistant. The AI tries to be helpful, polite, honest, sophisticated, emotionally aware, and humble-but-knowledgeable."

/** §4.1: λ_KL 0.001; clip 0.2, no discount, no entropy bonus. */
export const ppo = { ...PolicyGradient.ppo, beta: 0.001 } as const

/** §2.2: weeks of online iteration. */
export const weeks = 5

/** Table 2: comparisons; the last are of all weeks. */
export const comparisons = {
  helpful: 44_000,
  harmless: 42_000,
  helpfulRejection: 52_000,
  harmlessRejection: 2000,
  online: 22_000
} as const

/** §4.1: written by people, and by a model. */
export const prompts = { written: 137_000, generated: 369_000 } as const

const weekNumbers = [1, 2, 3, 4, 5] as const
const inWeeks = <A>(of: (week: number) => A) =>
  Object.fromEntries(weekNumbers.map((n) => [`verdicts${n}`, of(n)])) as Record<
    `verdicts${typeof weekNumbers[number]}`,
    A
  >

type Pairs = Artifact.Of<"Preferences">

export const hhRlhf = Recipe.make({
  name: "hh-rlhf",
  title: "Helpful and harmless assistant, 52B, online",
  paper: "arXiv 2204.05862",
  takes: {
    base: ["BaseModel", "anthropic"],
    conversations: "Prompts",
    forum: "Preferences",
    helpful: "Preferences",
    harmless: "Preferences",
    helpfulRejection: "Preferences",
    harmlessRejection: "Preferences",
    ...inWeeks(() => "Preferences" as const),
    crowd: "Prompts",
    written: "Prompts",
    generated: "Prompts",
    held: "Prompts"
  },
  open: {
    distillation: Recipe.notReported({ batchSize: 32, learningRate: 1e-6 }, "of context distillation"),
    preferencePretraining: Recipe.notReported(
      { batchSize: 512, learningRate: 1e-5 },
      "of preference-model pretraining"
    ),
    preferenceModel: Recipe.notReported({ batchSize: 32, learningRate: 1e-5 }, "of the preference model; one epoch"),
    rl: Recipe.notReported({ steps: 300, batchSize: 512, learningRate: 1e-6 }, "of PPO; about 150,000 episodes"),
    maxNewTokens: Recipe.notReported(512, "longest completion")
  },
  published: () => {
    const tokens = { prompt: 300, completion: 150 }
    const pairs = (name: string, rows: number) => Source.preferences(Source.described(name, { rows, tokens }))
    const asked = (name: string, rows: number) =>
      Source.prompts(Source.described(name, { rows, tokens: { prompt: 300 } }))
    return {
      base: Checkpoint.described("anthropic", {
        name: "52B language model",
        layers: 64,
        dim: 8192,
        heads: 64,
        ffn: 32_768,
        gated: false,
        vocab: 65_536,
        context: 8192
      }),
      conversations: asked("conversations for distillation", 100_000),
      forum: pairs("Stack Exchange, Reddit, Wikipedia", 5_000_000),
      helpful: pairs("helpful, base", comparisons.helpful),
      harmless: pairs("red teaming, base", comparisons.harmless),
      helpfulRejection: pairs("helpful, best of 16", comparisons.helpfulRejection),
      harmlessRejection: pairs("red teaming, best of 16", comparisons.harmlessRejection),
      ...inWeeks((n) => pairs(`helpful, online, week ${n}`, comparisons.online / weeks)),
      crowd: asked("prompts of crowdworkers, a week", comparisons.online / weeks),
      written: asked("prompts by people", prompts.written),
      generated: asked("prompts by a model", prompts.generated),
      held: asked("held-out prompts", 1000)
    }
  },
  make: (given, open) => {
    const { base, conversations, crowd, forum, generated, held, written } = given
    const { maxNewTokens } = open
    const start = Distill.make({ student: base, teacher: base, prompts: conversations }, {
      ...open.distillation,
      objective: Distillation.sequenceLevel,
      teacherAsk: Ask.system(hhh),
      maxNewTokens
    })
    const pretrained = RewardModeling.make({ init: base, preferences: forum }, open.preferencePretraining)

    const preferenceModel = (preferences: Pairs) =>
      RewardModeling.make({ init: pretrained, preferences }, { ...open.preferenceModel, epochs: 1 })
    /** Both from the start, on these comparisons. */
    const trained = (preferences: Pairs): Artifact.Of<"Policy", "anthropic"> => {
      const reward = preferenceModel(preferences)
      const policy = Ppo.make(
        { init: start, reference: start, reward, value: reward, prompts: Mix.make({ written, generated }) },
        { ...ppo, ...open.rl, maxNewTokens }
      )
      return Pipeline.observe(policy, { kl: Kl.measured, from: start, held, maxNewTokens })
    }

    const { harmless, harmlessRejection, helpful, helpfulRejection } = given
    const fixed = { helpful, harmless, helpfulRejection, harmlessRejection }
    /** The fixed comparisons, and those of the policies that were deployed so far. */
    const mixed = (deployed: ReadonlyArray<Artifact.Of<"BaseModel" | "Policy", "anthropic">>): Pairs =>
      Mix.make({
        ...fixed,
        ...Object.fromEntries(deployed.map((policy, i): readonly [string, Pairs] => {
          const completions = Sample.make({ policy, prompts: crowd }, { completionsPerPrompt: 2, maxNewTokens })
          const verdicts = given[`verdicts${weekNumbers[i]!}`]
          return [`week${i + 1}`, Judge.make({ completions }, { by: Judge.people("crowdworkers", { verdicts }) })]
        }))
      })
    const first = trained(mixed([]))
    const policies = Pipeline.rounds(first, weeks, (_, __, earlier) => trained(mixed(earlier)))
    return {
      distilled: start,
      pretrained,
      offline: first,
      preferenceModel: preferenceModel(mixed([first, ...policies.slice(0, -1)])),
      policy: policies.at(-1)!
    }
  }
})
