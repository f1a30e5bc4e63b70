/**
 * LoRA on every stage that trains: instruction tuning, a reward model, and PPO. Each trains adapters of low rank on frozen
 * weights and makes an ordinary model; beside it in the store stands the adapter, in PEFT's layout:
 *
 *     npx keel run examples/12-lora.ts
 *     # <run>/store/ppo-…/model    merged, for transformers and vLLM
 *     # <run>/store/ppo-…/adapter  for PeftModel.from_pretrained(sft, …)
 *
 * Ends with (seed 0, native backend): PPO of so few steps moves little.
 *
 *     Gold, ppo − base: +2.94 ± 0.11 on the same 256 prompts (26.2 standard errors).
 *     Gold, ppo − sft: +0.23 ± 0.07 on the same 256 prompts (3.1 standard errors).
 *
 * The KL reference of PPO is the model on its wire, here the SFT model: the policy without its adapter.
 */
import { Compare, Evaluate, Kl, Lora, Pipeline, Ppo, RewardModeling, Sft } from "../dsl/index.ts"
import { base, demonstrations, gold, held, maxNewTokens, prompts } from "./01-instruct-gpt.ts"

const lora = { rank: 16, alpha: 32, targetModules: Lora.allLinear }

const sft = Sft.make({ base, demonstrations }, {
  epochs: 2,
  batchSize: 32,
  learningRate: 1e-2,
  schedule: "cosine",
  lora
})

const reward = RewardModeling.make({
  init: base,
  preferences: Compare.make({ policy: sft, prompts }, { gold, completionsPerPrompt: 3, maxNewTokens })
}, { batchSize: 32, learningRate: 1e-2, schedule: "cosine", warmupSteps: 20, maxGradNorm: 0.3, lora })

// Hu et al. adapt queries and values alone.
const rl = Ppo.make({ init: sft, reference: sft, reward, value: reward, prompts, held }, {
  allowance: Kl.mnatsPerSequence(6_000),
  beta: 0.15,
  steps: 30,
  batchSize: 64,
  numPpoEpochs: 2,
  learningRate: 3e-3,
  vfCoef: 1,
  missingEosPenalty: 1,
  measureEvery: 10,
  maxNewTokens,
  lora: { rank: 8, alpha: 16, targetModules: ["q_proj", "v_proj"] }
})

const policy = Pipeline.cap(rl, { kl: Kl.mnatsPerSequence(6_000), from: sft })

export default Pipeline.runnable(
  Evaluate.make({ initial: sft, reward, prompts: held }, { base, sft, ppo: policy }, { gold, maxNewTokens })
)
