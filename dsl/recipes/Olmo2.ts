/**
 * OLMo 2, 1B, 7B, 13B and 32B (OLMo Team 2025, arXiv 2501.00656, §5; commands: open-instruct, docs/olmo2.md): Tülu 3's recipe on another
 * base. RLVR is PPO for 7B and 13B, GRPO for 1B and 32B; it is done in passes, each from the model before, which is its KL reference too:
 * 13B on the mix, then GSM8K, then MATH; 1B on the mix, then MATH.
 *
 * Differences: paper and commands disagree on rates (SFT of 7B: 2e-5 in the paper; of 13B: 5e-6; DPO of 7B: 1e-6); those of the commands
 * stand here. The β of PPO of 7B is 0.05 in Table 18 and 0.07 in the text; the table stands. The preference data, on-policy pairs among them,
 * are one data set.
 */
import type * as Artifact from "../Artifact.ts"
import * as Checkpoint from "../Checkpoint.ts"
import * as Kl from "../Kl.ts"
import * as Pipeline from "../Pipeline.ts"
import * as Recipe from "../Recipe.ts"
import * as Source from "../Source.ts"
import * as Dpo from "../stages/Dpo.ts"
import * as Grpo from "../stages/Grpo.ts"
import * as Mix from "../stages/Mix.ts"
import * as Ppo from "../stages/Ppo.ts"
import * as RewardModeling from "../stages/RewardModeling.ts"
import * as Sft from "../stages/Sft.ts"
import * as Tulu3 from "./Tulu3.ts"

/**
 * §5 and docs/olmo2.md: rates and rows by size; all else is Tülu 3's. Pairs: 366,700 and 377,700 (§5); 378,000 of 32B are those of its
 * data card, rounded, and 1B is assumed to have as many.
 */
export const sizes = {
  "1b": { rows: 866_138, sft: 3e-5, pairs: 378_000, dpo: 2.5e-6 },
  "7b": { rows: 939_104, sft: 1e-5, pairs: 366_700, dpo: 5e-7 },
  "13b": { rows: 939_104, sft: 6e-6, pairs: 377_700, dpo: 8e-7 },
  "32b": { rows: 866_138, sft: 4e-6, pairs: 378_000, dpo: 2e-6 }
} as const

/** The models' config.json. */
const shapes = {
  "1b": { layers: 16, dim: 2048, heads: 16, kvHeads: 16, ffn: 8192 },
  "7b": { layers: 32, dim: 4096, heads: 32, kvHeads: 32, ffn: 11_008 },
  "13b": { layers: 40, dim: 5120, heads: 40, kvHeads: 40, ffn: 13_824 },
  "32b": { layers: 64, dim: 5120, heads: 40, kvHeads: 8, ffn: 27_648 }
} as const

/** §5: batch 128 at every size. */
export const dpo = { ...Tulu3.dpo, batchSize: 128 } as const

/** §5, Table 18: PPO; 13B has a β for each of its passes. 100,000 and 200,000 episodes at most, in whole steps. */
export const ppo = {
  "7b": { learningRate: 4e-7, batchSize: 224, steps: 447, beta: [0.05] },
  "13b": { learningRate: 3e-7, batchSize: 248, steps: 807, beta: [0.1, 0.03, 0.1] }
} as const

/** docs/olmo2.md, 1B: 2 M episodes of 48 · 16 a step, β 0.01, constant rate, one mini-batch; both passes. */
export const grpo = { ...Tulu3.grpo, steps: 2604, numMiniBatches: 1 } as const

type Size = keyof typeof sizes
type Policy = Artifact.Of<"Policy", "olmo2">
type Prompts = Artifact.Of<"Prompts">

const takes = {
  base: ["BaseModel", "olmo2"],
  demonstrations: "Demonstrations",
  preferences: "Preferences",
  gsm8k: "Prompts",
  math: "Prompts",
  ifeval: "Prompts",
  held: "Prompts"
} as const

const published = (size: Size) => {
  const { pairs, rows } = sizes[size]
  const tokens = { prompt: 250, completion: 400 } as const
  return {
    base: Checkpoint.described("olmo2", {
      name: `OLMo 2 ${size.toUpperCase()}`,
      hub: `allenai/OLMo-2-${
        size === "13b" || size === "7b" ? "1124" : size === "1b" ? "0425" : "0325"
      }-${size.toUpperCase()}`,
      ...shapes[size],
      vocab: 100_352,
      context: 4096
    }),
    demonstrations: Source.demonstrations(Source.described("Tülu 3 mixture for OLMo 2", { rows, tokens })),
    preferences: Source.preferences(Source.described("preference mixture", { rows: pairs, tokens })),
    ...Tulu3.verifiable(),
    held: Source.prompts(Source.described("development suite", { rows: 1000, tokens: { prompt: 250 } }))
  }
}

const header = <const S extends Size>(size: S) => ({
  name: `olmo-2-${size}`,
  title: `OLMo 2 ${size.toUpperCase()}`,
  paper: "arXiv 2501.00656",
  takes,
  published: () => published(size)
})

type Given = Recipe.Given<typeof takes>

const aligned = (
  { base, demonstrations, held, preferences }: Given,
  rates: { readonly sft: number; readonly dpo: number }
) => {
  const sft = Sft.make({ base, demonstrations }, { ...Tulu3.sft, learningRate: rates.sft })
  const policy = Dpo.make({ init: sft, reference: sft, preferences }, {
    ...dpo,
    learningRate: rates.dpo,
    loss: Tulu3.loss
  })
  const how = { kl: Kl.measured, from: sft, held, maxNewTokens: 2048 } as const
  return { sft, how, dpo: Pipeline.observe(policy, how) }
}

const mixed = ({ gsm8k, ifeval, math }: Given): Prompts => Mix.make({ gsm8k, math, ifeval }, { column: "kind" })
const only = {
  gsm8k: ({ gsm8k }: Given): Prompts => Mix.make({ gsm8k }, { column: "kind" }),
  math: ({ math }: Given): Prompts => Mix.make({ math }, { column: "kind" })
}

/** By PPO: each pass from the policy of the pass before. */
const byPpo = (size: "7b" | "13b", passes: ReadonlyArray<(given: Given) => Prompts>) =>
  Recipe.make({
    ...header(size),
    open: {},
    make: (given) => {
      const { beta, ...rl } = ppo[size]
      const { dpo, how, sft } = aligned(given, sizes[size])
      const value = RewardModeling.make({ init: sft, preferences: given.preferences }, Tulu3.rewardModeling)
      const pass = (init: Policy, prompts: Prompts, i: number): Policy => {
        const policy = Ppo.make({ init, reference: init, reward: Tulu3.penalised, value, prompts }, {
          ...Tulu3.ppo,
          ...rl,
          beta: beta[i]!,
          maxNewTokens: 2048
        })
        return Pipeline.observe(policy, how)
      }
      return { sft, dpo, value, policy: passes.reduce((init, of, i) => pass(init, of(given), i), dpo as Policy) }
    }
  })

export const olmo2Of7b = byPpo("7b", [mixed])
export const olmo2Of13b = byPpo("13b", [mixed, only.gsm8k, only.math])

/** By GRPO, in the same way. */
const byGrpo = (
  given: Given,
  rates: Parameters<typeof aligned>[1],
  rl: Parameters<typeof Grpo.make>[1],
  passes: ReadonlyArray<Prompts>
) => {
  const { dpo, how, sft } = aligned(given, rates)
  const pass = (init: Policy, prompts: Prompts): Policy =>
    Pipeline.observe(Grpo.make({ init, reference: init, reward: Tulu3.byKind, prompts }, rl), how)
  return { sft, dpo, policy: passes.reduce(pass, dpo as Policy) }
}

export const olmo2Of1b = Recipe.make({
  ...header("1b"),
  open: {},
  make: (given) => byGrpo(given, sizes["1b"], grpo, [mixed(given), only.math(given)])
})

/** §5: rate, β and answers of a prompt of 32B. */
export const grpoOf32b = { ...grpo, learningRate: 5e-7, beta: 0.1, groupSize: 16 } as const

export const olmo2Of32b = Recipe.make({
  ...header("32b"),
  open: {
    rl: Recipe.notReported(
      { steps: grpo.steps, batchSize: grpo.batchSize, numMiniBatches: grpo.numMiniBatches },
      "of GRPO; those of 1B"
    )
  },
  make: (given, { rl }) => byGrpo(given, sizes["32b"], { ...grpoOf32b, ...rl }, [mixed(given)])
})
