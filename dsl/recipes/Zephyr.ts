/**
 * Zephyr-7B-β (Tunstall et al. 2023, arXiv 2310.16944, §4): SFT on distilled dialogues, then DPO on AI feedback.
 *
 * UltraFeedback has four answers of each prompt, by models of a pool, and GPT-4's score of each: the best is chosen, and one of the others,
 * drawn at random, is rejected. Difference: an answer with the best score too is never the rejected one.
 */
import * as Checkpoint from "../Checkpoint.ts"
import * as Kl from "../Kl.ts"
import * as Pipeline from "../Pipeline.ts"
import * as PreferenceLoss from "../PreferenceLoss.ts"
import * as Recipe from "../Recipe.ts"
import * as Source from "../Source.ts"
import * as Dpo from "../stages/Dpo.ts"
import * as Pair from "../stages/Pair.ts"
import * as Sft from "../stages/Sft.ts"

/** §4.2: one epoch of UltraChat, batch 512, peak rate 2e-5, cosine, 10 % warm-up, packed into 2,048 tokens. */
export const sft = {
  epochs: 1,
  batchSize: 512,
  learningRate: 2e-5,
  schedule: "cosine",
  minLearningRateRatio: 0,
  warmupRatio: 0.1,
  maxLength: 2048,
  truncation: "keep-start"
} as const

/** §4.2: three epochs of UltraFeedback, batch 32, peak rate 5e-7, linear, 10 % warm-up. */
export const dpo = { epochs: 3, batchSize: 32, learningRate: 5e-7, schedule: "linear", warmupRatio: 0.1 } as const

/** §4.2: β. */
export const beta = 0.1

/** §4.1: answers of a prompt in UltraFeedback. */
export const answers = 4

export const zephyr = Recipe.make({
  name: "zephyr",
  title: "Zephyr-7B-β",
  paper: "arXiv 2310.16944",
  takes: {
    base: ["BaseModel", "mistral"],
    dialogues: "Demonstrations",
    feedback: "ScoredCompletions",
    held: "Prompts"
  },
  open: {},
  published: () => ({
    base: Checkpoint.described("mistral", {
      name: "Mistral 7B",
      hub: "mistralai/Mistral-7B-v0.1",
      layers: 32,
      dim: 4096,
      heads: 32,
      kvHeads: 8,
      ffn: 14_336,
      vocab: 32_000,
      context: 8192
    }),
    dialogues: Source.demonstrations(
      Source.described("UltraChat", { rows: 200_000, tokens: { prompt: 200, completion: 1000 } })
    ),
    feedback: Source.scoredCompletions(
      Source.described("UltraFeedback", {
        rows: answers * 64_000,
        tokens: { prompt: 150, completion: 250, completions: answers }
      })
    ),
    held: Source.prompts(Source.described("MT-Bench", { rows: 80, tokens: { prompt: 100 } }))
  }),
  make: ({ base, dialogues, feedback, held }) => {
    const tuned = Sft.make({ base, demonstrations: dialogues }, sft)
    const preferences = Pair.make({ completions: feedback }, { rejected: "random-lower" })
    const policy = Dpo.make({ init: tuned, reference: tuned, preferences }, {
      ...dpo,
      loss: PreferenceLoss.dpo({ beta })
    })
    const measured = { kl: Kl.measured, from: tuned, held, maxNewTokens: 1024 } as const
    return { sft: tuned, policy: Pipeline.observe(policy, measured) }
  }
})
