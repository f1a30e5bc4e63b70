/**
 * SmolTulu (Alrashed 2024, arXiv 2412.08347): Tülu 3's SFT, DPO and reward model on SmolLM2 1.7B, in two settings. A higher ratio of learning
 * rate to batch size (1130) is better for reasoning, a lower one (1207) for recognising patterns.
 */
import * as Checkpoint from "../Checkpoint.ts"
import * as Kl from "../Kl.ts"
import * as Pipeline from "../Pipeline.ts"
import * as Recipe from "../Recipe.ts"
import * as Source from "../Source.ts"
import * as Dpo from "../stages/Dpo.ts"
import * as RewardModeling from "../stages/RewardModeling.ts"
import * as Sft from "../stages/Sft.ts"
import * as Tulu3 from "./Tulu3.ts"

/** Tables of SFT, DPO and reward models: rates and batches. */
export const settings = {
  "1130": {
    sft: { learningRate: 9e-5, batchSize: 8 },
    dpo: { learningRate: 8e-7, batchSize: 12 },
    rewardModeling: { learningRate: 4e-5, batchSize: 4 }
  },
  "1207": {
    sft: { learningRate: 3.1e-6, batchSize: 32 },
    dpo: { learningRate: 5e-7, batchSize: 32 },
    rewardModeling: { learningRate: 7.5e-7, batchSize: 8 }
  }
} as const

const smolTulu = (setting: keyof typeof settings) =>
  Recipe.make({
    name: `smol-tulu-${setting}`,
    title: `SmolTulu ${setting}, 1.7B`,
    paper: "arXiv 2412.08347",
    takes: {
      base: ["BaseModel", "smollm2"],
      demonstrations: "Demonstrations",
      preferences: "Preferences",
      held: "Prompts"
    },
    open: { maxNewTokens: Recipe.notReported(2048, "longest completion where KL is measured") },
    published: () => {
      const tokens = { prompt: 250, completion: 400 } as const
      return {
        base: Checkpoint.described("smollm2", {
          name: "SmolLM2 1.7B",
          hub: "HuggingFaceTB/SmolLM2-1.7B",
          layers: 24,
          dim: 2048,
          heads: 32,
          ffn: 8192,
          tied: true,
          vocab: 49_152,
          context: 8192
        }),
        demonstrations: Source.demonstrations(
          Source.described("allenai/tulu-3-sft-mixture", { rows: 939_344, tokens })
        ),
        preferences: Source.preferences(Source.described("Tülu 3 8B preference mixture", { rows: 271_409, tokens })),
        held: Source.prompts(Source.described("IFEval", { rows: 541, tokens: { prompt: 50 } }))
      }
    },
    make: ({ base, demonstrations, held, preferences }, { maxNewTokens }) => {
      const of = settings[setting]
      const sft = Sft.make({ base, demonstrations }, { ...Tulu3.sft, ...of.sft })
      const policy = Dpo.make({ init: sft, reference: sft, preferences }, { ...Tulu3.dpo, ...of.dpo, loss: Tulu3.loss })
      const reward = RewardModeling.make({ init: sft, preferences }, { ...Tulu3.rewardModeling, ...of.rewardModeling })
      return { sft, reward, policy: Pipeline.observe(policy, { kl: Kl.measured, from: sft, held, maxNewTokens }) }
    }
  })

export const smolTulu1130 = smolTulu("1130")
export const smolTulu1207 = smolTulu("1207")
