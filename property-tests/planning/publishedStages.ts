/**
 * Stages whose compute their publications report, for `compute.test.ts`. Lengths of rows are hardly ever reported: the tokens here are
 * guesses, the same for all stages of a kind.
 */
import type * as Artifact from "../../dsl/Artifact.ts"
import {
  Advantage,
  Checkpoint,
  Dpo,
  Grpo,
  Kl,
  Pipeline,
  PolicyGradient,
  Ppo,
  PreferenceLoss,
  Reference,
  RewardModeling,
  Sft,
  Source,
  Verifier
} from "../../dsl/index.ts"
import type { Devices } from "../../src/planning/plan.ts"

const llama = { layers: 32, dim: 4096, heads: 32, kvHeads: 8, ffn: 14_336, vocab: 128_256, context: 65_536 }
const model = (shape: Partial<Parameters<typeof Checkpoint.described>[1]>) =>
  Checkpoint.described("one", { ...llama, ...shape })
const gpt = { gated: false, vocab: 50_257 }
const gpt3 = model({ ...gpt, layers: 96, dim: 12_288, heads: 96, kvHeads: 96, ffn: 49_152 })
const gpt3Small = model({ ...gpt, kvHeads: 32, ffn: 16_384 })
const llama8 = model({})
const llama70 = model({ layers: 80, dim: 8192, heads: 64, ffn: 28_672 })
const olmo1 = model({ layers: 16, dim: 2048, heads: 16, kvHeads: 16, ffn: 8192, vocab: 100_352 })
/** Its latent attention as grouped queries of about as many parameters. */
const v3 = model({
  layers: 61,
  dim: 7168,
  heads: 56,
  ffn: 18_432,
  vocab: 129_280,
  experts: { count: 256, active: 8, shared: 1, dense: 3, ffn: 2048 }
})

const rows = (count: number, tokens: Readonly<Record<string, number>>) =>
  Source.described(JSON.stringify(tokens), { rows: count, tokens: tokens as never })
const demonstrations = (count: number, prompt: number, completion: number) =>
  Source.demonstrations(rows(count, { prompt, completion }))
const preferences = (count: number) => Source.preferences(rows(count, { prompt: 250, completion: 400 }))
const prompts = (count: number, prompt: number) => Source.prompts(rows(count, { prompt }))
const held = prompts(64, 100)

const bf16 = { precision: "bf16", recompute: true } as const
const unmeasured = {
  allowance: Kl.mnatsPerSequence(1),
  measureEvery: 1_000_000,
  measureSamples: 4,
  measureMost: 4
} as const
const capped = (of: Artifact.Any, from: Artifact.Any): Artifact.Any =>
  Pipeline.cap(of as never, { kl: Kl.mnatsPerSequence(1_000_000_000), from: from as never })

/** §4: sequences of at most 4,096 tokens. */
const sft = (base: typeof llama8, count: number) =>
  Sft.make({ base, demonstrations: demonstrations(count, 250, 450) }, {
    ...bf16,
    epochs: 2,
    batchSize: 128,
    learningRate: 5e-6
  })
const dpo = (init: typeof llama8, pairs: number) =>
  capped(
    Dpo.make({ init, reference: init, preferences: preferences(pairs), held }, {
      ...bf16,
      ...unmeasured,
      loss: PreferenceLoss.dpoNorm({ beta: 5 }),
      batchSize: 128,
      learningRate: 5e-7,
      maxNewTokens: 400
    }),
    init
  )
const verifiers = [Verifier.format(["so"])]
/** Answers of 600 tokens. */
const rlvr = (init: typeof llama8, steps: number, batchSize: number) =>
  capped(
    Ppo.make({ init, reference: init, value: llama8, prompts: prompts(29_946, 150), held }, {
      ...PolicyGradient.ppo,
      ...bf16,
      ...unmeasured,
      advantage: new Advantage.Gae({ gamma: 1, lam: 0.95 }),
      verifiers,
      beta: 0.05,
      steps,
      batchSize,
      numPpoEpochs: 4,
      numMiniBatches: 1,
      learningRate: 3e-7,
      maxNewTokens: 600
    }),
    init
  )
const grpo = (init: typeof llama8, steps: number, groups: number, maxNewTokens: number, numMiniBatches: number) =>
  capped(
    Grpo.make({ init, reference: init, prompts: prompts(29_946, 150), held }, {
      ...PolicyGradient.grpo,
      ...bf16,
      ...unmeasured,
      advantage: new Advantage.GroupStd({ ddof: 0, epsilon: 1e-8 }),
      verifiers,
      beta: 0.01,
      steps,
      batchSize: groups,
      groupSize: 16,
      numMiniBatches,
      learningRate: 5e-7,
      maxNewTokens,
      referencePolicy: new Reference.ResetEvery({ steps: 25 })
    }),
    init
  )

/** A stage; its compute as published, in GPU-hours or petaflop/s-days; where it was published; its devices. */
export interface PublishedStage {
  readonly stage: string
  readonly source: string
  readonly of: Artifact.Any
  readonly hours?: number
  readonly flops?: number
  readonly devices: Devices
  /** What else makes a difference. */
  readonly besides: string
  /** Why the factor is beyond the bound, where it is. */
  readonly outside?: string
}

const tulu = "arXiv 2411.15124, §4–6"
const olmo = "open-instruct, docs/olmo2.md"
/** FLOPs of a petaflop/s-day. */
export const day = 8.64e19

export const publishedStages: ReadonlyArray<PublishedStage> = [
  {
    stage: "InstructGPT 175B SFT",
    source: "arXiv 2203.02155, §5.1",
    of: Sft.make({ base: gpt3, demonstrations: demonstrations(12_725, 1024, 1022) }, {
      precision: "bf16",
      epochs: 16,
      batchSize: 8,
      learningRate: 5e-6
    }),
    flops: 4.9 * day,
    devices: { count: 64 },
    besides: "rows of the whole context, 2,048 tokens"
  },
  {
    stage: "InstructGPT 175B PPO-ptx",
    source: "arXiv 2203.02155, §5.1",
    of: capped(
      Ppo.make({
        init: gpt3,
        reference: gpt3,
        reward: RewardModeling.make({ init: gpt3Small, preferences: preferences(64) }, {
          batchSize: 64,
          learningRate: 9e-6
        }),
        value: gpt3Small,
        prompts: prompts(31_144, 1000),
        held,
        pretraining: Source.text(rows(4096, { text: 2046 }))
      }, {
        ...PolicyGradient.ppoPtx,
        ...unmeasured,
        precision: "bf16",
        advantage: new Advantage.Gae({ gamma: 1, lam: 0.95 }),
        beta: 0.02,
        steps: 500,
        batchSize: 512,
        numMiniBatches: 8,
        numPpoEpochs: 1,
        learningRate: 8e-6,
        maxNewTokens: 1024
      }),
      gpt3
    ),
    flops: 60 * day,
    devices: { count: 64 },
    besides: "1,000 + 1,024 tokens an episode; a micro-batch is computed twice"
  },
  {
    stage: "Tülu 3 8B SFT",
    source: tulu,
    of: sft(llama8, 939_344),
    hours: 192,
    devices: { count: 32 },
    besides: "–"
  },
  { stage: "Tülu 3 8B DPO", source: tulu, of: dpo(llama8, 271_409), hours: 80, devices: { count: 8 }, besides: "–" },
  {
    stage: "Tülu 3 8B RM",
    source: tulu,
    of: RewardModeling.make({ init: llama8, preferences: preferences(271_409) }, {
      ...bf16,
      batchSize: 256,
      learningRate: 3e-6
    }),
    hours: 72,
    devices: { count: 8 },
    besides: "–"
  },
  {
    stage: "Tülu 3 8B RLVR",
    source: tulu,
    of: rlvr(llama8, 447, 224),
    hours: 520,
    devices: { count: 8, sampling: 1 },
    besides:
      "100,000 episodes; the hours are of a run that went on behind the released checkpoint (open-instruct #485, #626)"
  },
  {
    stage: "Tülu 3 70B SFT",
    source: tulu,
    of: sft(llama70, 939_344),
    hours: 3200,
    devices: { count: 64 },
    besides: "–"
  },
  {
    stage: "Tülu 3 70B DPO",
    source: tulu,
    of: dpo(llama70, 334_302),
    hours: 1216,
    devices: { count: 64 },
    besides: "–"
  },
  {
    stage: "Tülu 3 70B RLVR",
    source: "open-instruct #485",
    of: rlvr(llama70, 625, 640),
    hours: 2880,
    devices: { count: 48, sampling: 8 },
    besides: "400,000 episodes; a value model of 8B",
    outside:
      "400,000 is what the script allows, and the hours are of an unreported number: about a quarter of them at this rate"
  },
  { stage: "OLMo 2 1B SFT", source: olmo, of: sft(olmo1, 866_138), hours: 72, devices: { count: 8 }, besides: "–" },
  { stage: "OLMo 2 1B DPO", source: olmo, of: dpo(olmo1, 378_000), hours: 16, devices: { count: 8 }, besides: "–" },
  {
    stage: "OLMo 2 1B RLVR 1 and 2, each",
    source: olmo,
    of: grpo(olmo1, 2604, 48, 600, 1),
    hours: 688,
    devices: { count: 16, sampling: 4 },
    besides: "2,000,000 episodes; 12 learners, one engine of 4"
  },
  {
    stage: "DeepSeek-R1-Zero",
    source: "arXiv 2501.12948v2, table 7",
    of: grpo(v3, 650, 512, 8000, 16),
    hours: 101_376,
    devices: { count: 512 },
    besides: "10,400 updates of 512 answers of 8,000 tokens; operations of the active parameters, memory of all"
  }
]
