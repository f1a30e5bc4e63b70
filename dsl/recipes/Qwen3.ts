/**
 * Qwen 3 (Qwen Team 2025, arXiv 2505.09388, §4): four stages for a flagship, and distillation from it, off policy and then on policy, for a
 * small model.
 *
 * Thinking data of the fusion are answers of the model of stage 2 to the prompts of stage 1. Most numbers are not reported: they are open.
 *
 * Differences: 235B-A22B is the only teacher, where 32B is another; students learn on policy in one mode; the non-thinking data are ready rows;
 * general prompts have one turn, without tools. Thinking budgets are not trained.
 */
import type * as Artifact from "../Artifact.ts"
import * as Ask from "../Ask.ts"
import * as Checkpoint from "../Checkpoint.ts"
import * as Distillation from "../Distillation.ts"
import * as Judge from "../Judge.ts"
import * as Kl from "../Kl.ts"
import * as Pipeline from "../Pipeline.ts"
import * as PolicyGradient from "../PolicyGradient.ts"
import * as PolicyLoss from "../PolicyLoss.ts"
import * as Recipe from "../Recipe.ts"
import * as Source from "../Source.ts"
import * as Distill from "../stages/Distill.ts"
import * as Grpo from "../stages/Grpo.ts"
import * as Judging from "../stages/Judge.ts"
import * as Mix from "../stages/Mix.ts"
import * as OnPolicyDistill from "../stages/OnPolicyDistill.ts"
import * as Reward from "../stages/Reward.ts"
import * as RewardModeling from "../stages/RewardModeling.ts"
import * as Sample from "../stages/Sample.ts"
import * as Score from "../stages/Score.ts"
import * as Select from "../stages/Select.ts"
import * as Sft from "../stages/Sft.ts"
import * as Verifier from "../Verifier.ts"

/** §4.2: prompts with a verifier, and steps. */
export const reasoning = { prompts: 3_995, steps: 170 } as const

/** §4.1: Qwen2.5-72B drops answers of QwQ-32B that are wrong, repeat themselves, guess, or change their language. */
export const clean = Judge.rubric("Is the answer right and reasoned, without repetition, guesses or mixed languages?", {
  scale: { min: 0, max: 1 }
})

/** §4.4: Qwen2.5-72B judges an answer by a reference. */
export const byReference = Judge.rubric("How well does the answer agree with the reference answer?", {
  scale: { min: 0, max: 1 },
  reference: true
})

/** §4.3: the mode is a variable of the chat template. */
const [thinking, direct] = [true, false].map((on) => Ask.chat({ enable_thinking: on })) as [Ask.Ask, Ask.Ask]

const right = Verifier.mathematics()

const prompts = (name: string, rows: number) =>
  Source.prompts(Source.described(name, { rows, tokens: { prompt: 200 } }))

export const qwen3 = Recipe.make({
  name: "qwen-3",
  title: "Qwen3-235B-A22B, and Qwen3-8B by distillation",
  paper: "arXiv 2505.09388",
  takes: {
    base: ["BaseModel", "qwen3"],
    small: ["BaseModel", "qwen3"],
    judge: ["BaseModel", "qwen2.5"],
    chains: "Completions",
    queries: "Prompts",
    verifiable: "Prompts",
    written: "Demonstrations",
    pairs: "Preferences",
    rules: "Prompts",
    references: "Prompts",
    preferences: "Prompts",
    taught: "Prompts",
    held: "Prompts"
  },
  open: {
    coldBatch: Recipe.notReported(128, "rows of a step of stage 1"),
    coldRate: Recipe.notReported(1e-5, "of stage 1"),
    coldEpochs: Recipe.notReported(2, "of stage 1, “minimised” on purpose"),
    beta: Recipe.notReported(0, "KL of stages 2 and 4"),
    clip: Recipe.notReported(0.2, "ε of stages 2 and 4"),
    entropy: Recipe.notReported(0, "weight of the entropy, which is “controlled”"),
    batchSize: Recipe.notReported(128, "prompts of a step of stage 2, “large”"),
    groupSize: Recipe.notReported(32, "answers of a prompt of stage 2, “many”"),
    updates: Recipe.notReported(4, "updates of a rollout of stage 2, which is “off-policy”"),
    learningRate: Recipe.notReported(1e-6, "of stages 2 and 4"),
    maxNewTokens: Recipe.notReported(32_768, "32,768 in the evaluations"),
    samples: Recipe.notReported(8, "answers of a query for stage 3"),
    fusionBatch: Recipe.notReported(128, "rows of a step of stage 3"),
    fusionRate: Recipe.notReported(1e-5, "of stage 3"),
    rewardBatch: Recipe.notReported(256, "pairs of a step of the reward model"),
    rewardRate: Recipe.notReported(6e-6, "of the reward model"),
    generalSteps: Recipe.notReported(100, "steps of stage 4"),
    generalGroup: Recipe.notReported(16, "answers of a prompt of stage 4"),
    distillRate: Recipe.notReported(1e-5, "off policy"),
    onPolicySteps: Recipe.notReported(200, "on policy"),
    onPolicyRate: Recipe.notReported(1e-6, "on policy")
  },
  published: () => ({
    base: Checkpoint.described("qwen3", {
      name: "Qwen3-235B-A22B-Base",
      layers: 94,
      dim: 4096,
      heads: 64,
      kvHeads: 4,
      headDim: 128,
      ffn: 12_288,
      experts: { count: 128, active: 8, ffn: 1536 },
      vocab: 151_936,
      context: 40_960
    }),
    small: Checkpoint.described("qwen3", {
      name: "Qwen3-8B-Base",
      hub: "Qwen/Qwen3-8B-Base",
      layers: 36,
      dim: 4096,
      heads: 32,
      kvHeads: 8,
      ffn: 12_288,
      vocab: 151_936,
      context: 40_960
    }),
    judge: Checkpoint.described("qwen2.5", {
      name: "Qwen2.5-72B-Instruct",
      hub: "Qwen/Qwen2.5-72B-Instruct",
      layers: 80,
      dim: 8192,
      heads: 64,
      kvHeads: 8,
      ffn: 29_568,
      vocab: 152_064,
      context: 131_072
    }),
    chains: Source.completions(
      Source.described("answers of QwQ-32B", { rows: 20_000, tokens: { prompt: 200, completion: 6000 } })
    ),
    queries: prompts("the prompts of these answers", 20_000),
    verifiable: prompts("prompts with a verifier", reasoning.prompts),
    written: Source.demonstrations(
      Source.described("answers without thinking", { rows: 20_000, tokens: { prompt: 200, completion: 600 } })
    ),
    pairs: Source.preferences(
      Source.described("human preferences", { rows: 100_000, tokens: { prompt: 200, completion: 600 } })
    ),
    rules: prompts("general prompts with rules", 10_000),
    references: prompts("general prompts with a reference answer", 10_000),
    preferences: prompts("general prompts without one", 10_000),
    taught: prompts("prompts of the distillation", 20_000),
    held: prompts("AIME 2024", 30)
  }),
  make: ({ base, chains, held, judge, pairs, queries, small, taught, verifiable, written, ...general }, open) => {
    const { maxNewTokens } = open
    const observed = <const F extends Artifact.Of<"Policy", "qwen3">>(from: F, held: Artifact.Of<"Prompts">) =>
      ({ kl: Kl.measured, from, held, maxNewTokens }) as const
    const grpo = {
      ...PolicyGradient.grpo,
      loss: new PolicyLoss.PolicyLoss({
        objective: new PolicyLoss.Ratio({ level: "token", clip: PolicyLoss.symmetric(open.clip) }),
        aggregation: new PolicyLoss.SequenceMean(),
        kl: new PolicyLoss.KlInLoss({ estimator: "k3" }),
        entropyCoef: open.entropy
      }),
      batchSize: open.batchSize,
      learningRate: open.learningRate,
      maxNewTokens
    } as const

    // Stage 1: a cold start of long chains of thought.
    const filtered = Select.make({ completions: Judging.make({ completions: chains, judge }, { rubric: clean }) }, {
      rule: Select.accept(0.5)
    })
    const cold = Sft.make({ base, demonstrations: filtered }, {
      epochs: open.coldEpochs,
      batchSize: open.coldBatch,
      learningRate: open.coldRate,
      schedule: "cosine"
    })

    // Stage 2: reasoning by verifiers.
    const reasons = Pipeline.observe(
      Grpo.make({ init: cold, prompts: verifiable }, {
        ...grpo,
        beta: 0,
        steps: reasoning.steps,
        groupSize: open.groupSize,
        numMiniBatches: open.updates,
        verifiers: [right]
      }),
      observed(cold, held)
    )

    // Stage 3: thinking and non-thinking answers in one model.
    const answers = Sample.make({ policy: reasons, prompts: queries }, {
      completionsPerPrompt: open.samples,
      maxNewTokens,
      ask: thinking
    })
    const thought = Select.make({ completions: Score.byVerifier({ completions: answers }, { verifiers: [right] }) }, {
      rule: Select.accept(1)
    })
    const fused = Sft.make({ base: reasons, demonstrations: Mix.make({ thought, written }) }, {
      batchSize: open.fusionBatch,
      learningRate: open.fusionRate,
      schedule: "cosine"
    })

    // Stage 4: three kinds of reward.
    const preferred = RewardModeling.make({ init: base, preferences: pairs }, {
      batchSize: open.rewardBatch,
      learningRate: open.rewardRate
    })
    const reward = Reward.byKind({
      rules: Reward.verify(right),
      references: Reward.judge(judge, { rubric: byReference }),
      preferences: preferred
    })
    const flagship = Pipeline.observe(
      Grpo.make({ init: fused, reward, prompts: Mix.make(general, { column: "kind" }) }, {
        ...grpo,
        beta: 0,
        steps: open.generalSteps,
        groupSize: open.generalGroup
      }),
      observed(fused, Mix.make({ rules: held }, { column: "kind" }))
    )

    // From strong to weak: answers of the teacher in both modes, then its distributions on the student's own answers.
    const mode = (ask: Ask.Ask) => {
      const completions = Sample.make({ policy: flagship, prompts: taught }, {
        completionsPerPrompt: 1,
        maxNewTokens,
        ask
      })
      return Select.make({ completions: Score.byVerifier({ completions }, { verifiers: [Verifier.ended()] }) }, {
        rule: Select.accept(1)
      })
    }
    const both = Mix.make({ thinking: mode(thinking), direct: mode(direct) })
    const offPolicy = Distill.make({ student: small, teacher: flagship, demonstrations: both }, {
      objective: Distillation.sequenceLevel,
      maxLength: maxNewTokens,
      truncation: "keep-start",
      batchSize: open.coldBatch,
      learningRate: open.distillRate
    })
    const student = Pipeline.observe(
      OnPolicyDistill.make({ student: offPolicy, teacher: flagship, prompts: taught }, {
        objective: Distillation.reverseKl(),
        steps: open.onPolicySteps,
        batchSize: open.batchSize,
        learningRate: open.onPolicyRate,
        maxNewTokens
      }),
      observed(offPolicy, held)
    )
    return { cold, reasons, fused, reward: preferred, flagship, offPolicy, student }
  }
})
