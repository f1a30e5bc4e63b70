/** A small recipe that the type tests vary. */
import { Checkpoint, Kl, Pipeline, Ppo, RewardModeling, Sft, Source } from "../../dsl/index.ts"

export const params = { batchSize: 4, learningRate: 1e-3 }
export const ppoParams = { ...params, beta: 0.1, steps: 10, maxNewTokens: 4 }
export const allowance = Kl.mnatsPerSequence(6000)

export const base = Checkpoint.huggingFace("tales", "models/tiny")
export const text = Source.text(Source.tales({ count: 8 }))
export const demonstrations = Source.demonstrations(Source.tales({ count: 8 }))
export const preferences = Source.preferences(Source.file("pairs.jsonl"))
export const prompts = Source.prompts(Source.tales({ count: 8 }))
export const held = Source.prompts(Source.tales({ count: 8, split: "held" }))

export const sft = Sft.make({ base, demonstrations }, params)
export const reward = RewardModeling.make({ init: sft, preferences }, params)
export const ppo = Ppo.make({ init: sft, reference: sft, reward, value: reward, prompts, held }, {
  ...ppoParams,
  allowance
})
/** A second RL stage on top of the first. */
export const again = Ppo.make({ init: ppo, reference: ppo, reward, value: reward, prompts, held }, {
  ...ppoParams,
  allowance: Kl.mnatsPerSequence(3500)
})

/** Another family, with its own tokenizer. */
export const llama = Sft.make({ base: Checkpoint.huggingFace("llama", "models/llama"), demonstrations }, params)
export const llamaReward = RewardModeling.make({ init: llama, preferences }, params)

/** Its base model is still open. */
export const waiting = Sft.make({ base: Pipeline.input("base", "BaseModel", "tales"), demonstrations }, params)
