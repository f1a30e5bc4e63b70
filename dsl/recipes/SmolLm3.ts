/**
 * SmolLM3 3B (Hugging Face 2025: "SmolLM3: smol, multilingual, long-context reasoner"; commands: alignment-handbook, recipes/smollm3): reasoning
 * mid-training, SFT with and without thinking, APO, a soup of the checkpoints of APO, and a merge of it with the mid-training checkpoint,
 * which has the long context that APO loses.
 *
 * Differences: batches of packed sequences are batches of as many rows. Mid-training and SFT have four epochs in the blog and five in the
 * commands; the blog's stand. The pairs are rows. Those with thinking are answers of Qwen3-32B (chosen) and of Qwen3-0.6B (rejected). Mid-training is SFT.
 */
import * as Checkpoint from "../Checkpoint.ts"
import * as Keep from "../Keep.ts"
import * as Kl from "../Kl.ts"
import * as MergeMethod from "../MergeMethod.ts"
import * as Pipeline from "../Pipeline.ts"
import * as PreferenceLoss from "../PreferenceLoss.ts"
import * as Recipe from "../Recipe.ts"
import * as Source from "../Source.ts"
import * as Dpo from "../stages/Dpo.ts"
import * as Merge from "../stages/Merge.ts"
import * as Mix from "../stages/Mix.ts"
import * as Sft from "../stages/Sft.ts"

/** mid.yaml and sft.yaml: 2e-5, cosine to 10 % after 3 % of warm-up, gradients of norm 0.2, batch 128. Blog: four epochs. */
const tuning = {
  epochs: 4,
  batchSize: 128,
  learningRate: 2e-5,
  schedule: "cosine",
  minLearningRateRatio: 0.1,
  warmupRatio: 0.03,
  maxGradNorm: 0.2,
  truncation: "keep-start"
} as const

/** Blog, "Reasoning mid-training": 35B tokens; mid.yaml: 32,768 tokens of a sequence. */
export const midTraining = { ...tuning, maxLength: 32_768 } as const

/** Blog, "Supervised finetuning": 1.8B tokens; sft.yaml: 65,536 tokens of a sequence; the turns of users and tools are masked. */
export const sft = { ...tuning, maxLength: 65_536, loss: "assistant" } as const

/** apo.yaml: β 0.05, 1e-6, cosine to 10 % after 10 % of warm-up, gradients of norm 0.2, batch 32, 24,576 tokens. */
export const apo = {
  loss: PreferenceLoss.apoZero({ beta: 0.05 }),
  batchSize: 32,
  learningRate: 1e-6,
  schedule: "cosine",
  minLearningRateRatio: 0.1,
  warmupRatio: 0.1,
  maxGradNorm: 0.2,
  maxLength: 24_576,
  truncation: "keep-start"
} as const

/** Data card of SmolTalk 2: pairs without and with thinking. */
const rows = { noThink: 230_501, think: 216_385 } as const

/** apo.yaml: half of the pairs without thinking, and a quarter of those with. */
export const pairs = { noThink: Math.floor(rows.noThink / 2), think: Math.floor(rows.think / 4) } as const

/** Blog, "Model merging": linear, 0.9 of the soup and 0.1 of the mid-training checkpoint. */
export const merge = MergeMethod.linear({ soup: 0.9, mid: 0.1 })

export const smolLm3 = Recipe.make({
  name: "smollm3",
  title: "SmolLM3 3B",
  paper: "huggingface.co/blog/smollm3",
  takes: {
    base: ["BaseModel", "smollm3"],
    traces: "Demonstrations",
    dialogues: "Demonstrations",
    noThink: "Preferences",
    think: "Preferences",
    held: "Prompts"
  },
  open: {
    every: Recipe.notReported(1000, "steps from a checkpoint of the soup to the next: “each APO checkpoint”"),
    maxNewTokens: Recipe.notReported(2048, "longest completion where KL is measured")
  },
  published: () => {
    const of = (name: string, rows: number, completion: number) =>
      Source.described(name, { rows, tokens: { prompt: 300, completion } })
    return {
      base: Checkpoint.described("smollm3", {
        name: "SmolLM3 3B, base",
        hub: "HuggingFaceTB/SmolLM3-3B-Base",
        layers: 36,
        dim: 2048,
        heads: 16,
        kvHeads: 4,
        ffn: 11_008,
        tied: true,
        vocab: 128_256,
        context: 65_536
      }),
      traces: Source.demonstrations(of("reasoning traces, 35B tokens", 4_000_000, 8450)),
      dialogues: Source.demonstrations(of("SmolTalk 2, 1.8B tokens", 1_800_000, 700)),
      noThink: Source.preferences(of("Tülu 3 pairs, without thinking", rows.noThink, 400)),
      think: Source.preferences(of("Qwen3-32B over Qwen3-0.6B, with thinking", rows.think, 1500)),
      held: Source.prompts(Source.described("held-out chats", { rows: 1000, tokens: { prompt: 300 } }))
    }
  },
  make: ({ base, dialogues, held, noThink, think, traces }, open) => {
    const mid = Sft.make({ base, demonstrations: traces }, midTraining)
    const tuned = Sft.make({ base: mid, demonstrations: dialogues }, sft)
    const preferences = Mix.make({ noThink, think }, { take: { counts: pairs } })
    const soup = Dpo.make({ init: tuned, reference: tuned, preferences }, {
      ...apo,
      keep: Keep.soup({ every: open.every })
    })
    const measured = { kl: Kl.measured, from: tuned, held, maxNewTokens: open.maxNewTokens } as const
    const merged = Merge.make({}, { soup, mid }, { method: merge })
    return {
      mid,
      sft: tuned,
      soup: Pipeline.observe(soup, measured),
      policy: Pipeline.observe(merged, measured)
    }
  }
})
