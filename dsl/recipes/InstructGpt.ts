/**
 * InstructGPT, 175B (Ouyang et al. 2022, arXiv 2203.02155): SFT, a reward model on rankings, and PPO with pretraining text (PPO-ptx).
 *
 * The policy does not start from the SFT baseline: its start, and the reference of the KL penalty, is a model of its own, fine-tuned for two
 * epochs on the demonstrations with 10 % pretraining text (App. C.3). Reward and value models have 6B for policies of every size.
 *
 * Differences: residual dropout of 0.2 in the SFT; the bias of the reward model that centres demonstrations at 0.
 */
import * as Checkpoint from "../Checkpoint.ts"
import * as Keep from "../Keep.ts"
import * as Kl from "../Kl.ts"
import * as Pipeline from "../Pipeline.ts"
import { ppoPtx } from "../PolicyGradient.ts"
import * as Advantage from "../Advantage.ts"
import * as Recipe from "../Recipe.ts"
import * as RewardLoss from "../RewardLoss.ts"
import * as Source from "../Source.ts"
import * as Ppo from "../stages/Ppo.ts"
import * as RewardModeling from "../stages/RewardModeling.ts"
import * as Sft from "../stages/Sft.ts"

/** App. C: Adam with β₁ 0.9 and β₂ 0.95; rates fall to 10 % by a cosine. */
const adam = { adamBeta1: 0.9, adamBeta2: 0.95, schedule: "cosine" } as const

/** App. C.1: 16 epochs, of which the reward model chooses one; of the 175B, batch 8 at 5.03e-6. */
export const sft = { ...adam, epochs: 16, batchSize: 8, learningRate: 5.03e-6, maxLength: 2048 } as const

/** App. C.2: one epoch at 9e-6, 64 prompts a batch, the loss averaged over the pairs of a ranking. */
export const rewardModeling = { ...adam, epochs: 1, batchSize: 64, learningRate: 9e-6 } as const

/** App. C.3, the start of PPO: two epochs at 2.45e-6, with 10 % pretraining text. */
export const init = {
  ...adam,
  epochs: 2,
  batchSize: 8,
  learningRate: 2.45e-6,
  maxLength: 2048,
  pretrainingShare: 0.1
} as const

/**
 * App. C.4: 256,000 episodes in batches of 512 and mini-batches of 64, one pass; clip 0.2, γ_ptx 27.8, temperature 1, no discount;
 * a moving average of the weights, of decay 0.992, comes out.
 */
export const ppo = {
  adamBeta1: 0.9,
  adamBeta2: 0.95,
  /** App. E.7: 0.01 to 0.02 is best. */
  beta: 0.02,
  steps: 500,
  batchSize: 512,
  numMiniBatches: 8,
  numPpoEpochs: 1,
  temperature: 1,
  warmupSteps: 10,
  /** App. C.4: the warm-up begins at a tenth of the rate. */
  warmupFrom: 0.1,
  /** 9e-6 for 1.3B and 6B. */
  valueLearningRate: 5e-6,
  keep: Keep.average({ decay: 0.992 })
} as const

export const instructGpt = Recipe.make({
  name: "instruct-gpt",
  title: "InstructGPT, 175B",
  paper: "arXiv 2203.02155",
  takes: {
    gpt3: ["BaseModel", "gpt3"],
    small: ["BaseModel", "gpt3"],
    demonstrations: "Demonstrations",
    rankings: "Rankings",
    prompts: "Prompts",
    held: "Prompts",
    pretraining: "Text"
  },
  open: {
    learningRate: Recipe.notReported(
      8.05e-6,
      "of PPO: a sweep of 2.55e-6 to 2.55e-5; above 8.05e-6 it diverged without ptx"
    ),
    lam: Recipe.notReported(0.95, "λ of GAE: only “no discount” is stated"),
    maxNewTokens: Recipe.notReported(1024, "context 2,048 for prompt and response together")
  },
  // Prompts: Table 9. Demonstrations: Table 11, labelers' (437 and 38) and customers' (153 and 88), by their numbers.
  published: () => ({
    gpt3: Checkpoint.described("gpt3", {
      name: "GPT-3 175B",
      layers: 96,
      dim: 12_288,
      heads: 96,
      ffn: 49_152,
      gated: false,
      tied: true,
      vocab: 50_257,
      context: 2048
    }),
    small: Checkpoint.described("gpt3", {
      name: "GPT-3 6.7B",
      layers: 32,
      dim: 4096,
      heads: 32,
      ffn: 16_384,
      gated: false,
      tied: true,
      vocab: 50_257,
      context: 2048
    }),
    demonstrations: Source.demonstrations(
      Source.described("labelers' and customers' prompts with answers", {
        rows: 12_725,
        tokens: { prompt: 405, completion: 44 }
      })
    ),
    rankings: Source.rankings(
      Source.described("labelers' rankings", { rows: 33_207, tokens: { prompt: 199, completion: 100, completions: 6 } })
    ),
    prompts: Source.prompts(Source.described("customers' prompts", { rows: 31_144, tokens: { prompt: 166 } })),
    held: Source.prompts(Source.described("customers' held-out prompts", { rows: 16_185, tokens: { prompt: 186 } })),
    // With the tokens before and behind it a text fills the context of 2,048.
    pretraining: Source.text(Source.described("GPT-3's pretraining text", { rows: 2_048_000, tokens: { text: 2046 } }))
  }),
  make: ({ demonstrations, gpt3, held, pretraining, prompts, rankings, small }, open) => {
    const reward = RewardModeling.make({ init: small, preferences: rankings }, {
      ...rewardModeling,
      loss: RewardLoss.kWise()
    })
    const baseline = Sft.make({ base: gpt3, demonstrations, reward, held }, {
      ...sft,
      keep: Keep.best({ by: "proxy", every: "epoch", maxNewTokens: open.maxNewTokens })
    })
    const start = Sft.make({ base: gpt3, demonstrations, pretraining }, init)
    const policy = Ppo.make({ init: start, reference: start, reward, value: reward, prompts, pretraining }, {
      ...ppoPtx,
      ...ppo,
      advantage: new Advantage.Gae({ lam: open.lam }),
      learningRate: open.learningRate,
      maxNewTokens: open.maxNewTokens
    })
    const measured = { kl: Kl.measured, from: start, held, maxNewTokens: open.maxNewTokens } as const
    return { sft: baseline, reward, init: start, policy: Pipeline.observe(policy, measured) }
  }
})
