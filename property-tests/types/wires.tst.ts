/** What the compiler says to a wrong wire: one error, at that wire, that says what to do. The texts are pinned. */
import { describe, expect, test } from "tstyche"
import {
  type Artifact,
  Compare,
  Dpo,
  Evaluate,
  Filter,
  Gold,
  Kto,
  Pipeline,
  Ppo,
  PreferenceLoss,
  Pretrain,
  RewardModeling,
  Sft,
  Source
} from "../../dsl/index.ts"
import {
  allowance,
  base,
  demonstrations,
  held,
  llama,
  llamaReward,
  params,
  ppo,
  ppoParams,
  preferences,
  prompts,
  reward,
  sft,
  text,
  waiting
} from "./recipe.ts"

const gold = { gold: Gold.tales, maxNewTokens: 4 }
const rl = { ...ppoParams, allowance }
const model = { dim: 4, layers: 1, heads: 1, kvHeads: 1, ffn: 4, context: 16 }

describe("the wrong kind", () => {
  test("a reward model where a policy is wanted", () => {
    // @ts-expect-error Property '"Sft.base needs the model to fine-tune, e.g. Checkpoint.huggingFace(…) or Pretrain.make(…), not a RewardModel"'
    Sft.make({ base: reward, demonstrations }, params)
    // @ts-expect-error Property '"Ppo.init needs the policy to start from, e.g. the output of Sft.make(…), not a RewardModel"'
    Ppo.make({ init: reward, reference: sft, reward, value: reward, prompts, held }, rl)
    // @ts-expect-error Property '"Compare.policy needs the policy that writes the answers, e.g. the output of Sft.make(…), not a RewardModel"'
    Compare.make({ policy: reward, prompts }, gold)
    // @ts-expect-error Property '"Filter.tokenizer needs a model whose tokens are counted, e.g. Checkpoint.huggingFace(…), not a RewardModel"'
    Filter.make({ of: prompts, tokenizer: reward }, { maxTokens: 8 })
    Filter.make({ of: prompts, tokenizer: sft }, { maxTokens: 8 })
  })

  test("a policy where a reward model is wanted", () => {
    // @ts-expect-error Property '"Ppo.reward needs a RewardModel: train one with RewardModeling.make(…), not a Policy"'
    Ppo.make({ init: sft, reference: sft, reward: sft, value: reward, prompts, held }, rl)
    // @ts-expect-error Property '"Ppo.value needs the start of the value model: the reward model, or the policy (its values are 0 at first), not a Prompts"'
    Ppo.make({ init: sft, reference: sft, reward, value: prompts, prompts, held }, rl)
    // @ts-expect-error Property '"Evaluate.reward needs a RewardModel: the proxy reward to report, not a Policy"'
    Evaluate.make({ initial: sft, prompts: held, reward: sft }, { sft }, gold)
  })

  test("prompts where demonstrations are wanted, and other data in the wrong place", () => {
    // @ts-expect-error Property '"Sft.demonstrations needs prompts with answers, e.g. Source.demonstrations(…), not a Prompts"'
    Sft.make({ base, demonstrations: prompts }, params)
    // @ts-expect-error Property '"Compare.prompts needs instructions, e.g. Source.prompts(…), not a Demonstrations"'
    Compare.make({ policy: sft, prompts: demonstrations }, gold)
    // @ts-expect-error Property '"RewardModeling.preferences needs judged answers, e.g. Compare.make(…), Source.preferences(…) or Source.rankings(…), not a Demonstrations"'
    RewardModeling.make({ init: sft, preferences: demonstrations }, params)
    // @ts-expect-error Property '"Pretrain.text needs plain text, e.g. Source.text(…), not a Prompts"'
    Pretrain.make({ text: prompts }, { ...params, family: "new", steps: 1, model })
  })

  test("a model in Evaluate that is no policy", () => {
    // @ts-expect-error Property '"Evaluate.models.best needs a policy to report on, not a RewardModel"'
    Evaluate.make({ initial: sft, prompts: held }, { sft, best: reward }, gold)
  })

  test("an input connected to the wrong kind", () => {
    // @ts-expect-error Type '"RewardModel"' is not assignable to type '"BaseModel"'
    Pipeline.connect(waiting, { base: reward })
  })
})

describe("a missing wire", () => {
  test("PPO without reward model, reference or value", () => {
    // @ts-expect-error required in type '{ readonly reward: "Ppo.reward is missing: connect a RewardModel: train one with RewardModeling.make(…)"; }'
    Ppo.make({ init: sft, reference: sft, value: reward, prompts, held }, rl)
    // @ts-expect-error required in type '{ readonly reference: "Ppo.reference is missing: connect the policy that the KL penalty is measured against, e.g. reference: sft"; }'
    Ppo.make({ init: sft, reward, value: reward, prompts, held }, rl)
    // @ts-expect-error required in type '{ readonly value: "Ppo.value is missing: connect the start of the value model: the reward model, or the policy (its values are 0 at first)"; }'
    Ppo.make({ init: sft, reference: sft, reward, prompts, held }, rl)
  })

  test("several at once are all named", () => {
    // @ts-expect-error "Ppo.reward is missing: connect a RewardModel: train one with RewardModeling.make(…)"; readonly value: "Ppo.value is missing: connect the start
    Ppo.make({ init: sft, reference: sft, prompts, held }, rl)
  })

  test("Evaluate without a model to measure from", () => {
    // @ts-expect-error required in type '{ readonly initial: "Evaluate.initial is missing: connect the model that KL is measured from, e.g. initial: sft"; }'
    Evaluate.make({ prompts: held }, { sft }, gold)
  })
})

describe("the wrong family", () => {
  test("a tokenizer of another family", () => {
    // @ts-expect-error Property '"Ppo.reward is of family 'llama' but Ppo works on 'tales': they must share a tokenizer"'
    Ppo.make({ init: sft, reference: sft, reward: llamaReward, value: reward, prompts, held }, rl)
    // @ts-expect-error Property '"Ppo.reference is of family 'llama' but Ppo works on 'tales': they must share a tokenizer"'
    Ppo.make({ init: sft, reference: llama, reward, value: reward, prompts, held }, rl)
    // @ts-expect-error Property '"Evaluate.models.llama is of family 'llama' but Evaluate works on 'tales': they must share a tokenizer"'
    Evaluate.make({ initial: sft, prompts: held }, { sft, llama }, gold)
  })

  test("data have none and go anywhere", () => {
    const preferencesOf = Compare.make({ policy: llama, prompts }, gold)
    expect(RewardModeling.make).type.toBeCallableWith({ init: sft, preferences: preferencesOf }, params)
  })
})

describe("names", () => {
  test("an unknown wire", () => {
    // @ts-expect-error Property '"Sft has no wire 'reference'"'
    Sft.make({ base, demonstrations, reference: sft }, params)
  })

  test("an unknown parameter", () => {
    // @ts-expect-error 'leraningRate' does not exist in type
    Sft.make({ base, demonstrations }, { ...params, leraningRate: 1e-3 })
    // @ts-expect-error Did you mean to write 'learningRate'?
    Sft.make({ base, demonstrations }, { ...params, leraningRate: 1e-3 })
    // @ts-expect-error 'klCoef' does not exist in type
    Ppo.make({ init: sft, reference: sft, reward, value: reward, prompts, held }, { ...rl, klCoef: 0.1 })
    // @ts-expect-error 'width' does not exist in type
    Pretrain.make({ text }, { ...params, family: "new", steps: 1, model: { ...model, width: 4 } })
    // @ts-expect-error 'split' does not exist in type
    Compare.make({ policy: sft, prompts }, { ...gold, split: "held" })
  })

  test("a missing parameter", () => {
    // @ts-expect-error Property 'learningRate' is missing in type
    Sft.make({ base, demonstrations }, { batchSize: 4 })
  })

  test("a value that is none of the choices", () => {
    // @ts-expect-error Type '"mean"' is not assignable to type
    Sft.make({ base, demonstrations }, { ...params, reduction: "mean" })
  })
})

test("what fits is accepted", () => {
  expect(Ppo.make).type.toBeCallableWith({ init: base, reference: ppo, reward, value: reward, prompts, held }, rl)
  expect(RewardModeling.make).type.toBeCallableWith({ init: reward, preferences }, params)
  expect(Evaluate.make).type.toBeCallableWith(
    { initial: base, prompts: held, reward, preferences },
    { base, sft, ppo },
    gold
  )
})

test("a recipe for any family, which two families do not fit", () => {
  type Model<K extends Artifact.Kind, F extends string> = Artifact.Artifact<K, F>
  const recipe = <F extends string, G extends string>(
    base: Model<"BaseModel", F>,
    reward: Model<"RewardModel", F>,
    other: Model<"RewardModel", G>
  ) => {
    const init = Sft.make({ base, demonstrations }, params)
    // @ts-expect-error `Ppo.reward is of family '${G}' but Ppo works on '${F}': they must share a tokenizer`
    Ppo.make({ init, reference: init, reward: other, value: reward, prompts, held }, rl)
    return Ppo.make({ init, reference: init, reward, value: reward, prompts, held }, rl)
  }
  expect(recipe(base, reward as never, llamaReward as never)).type.toBe<typeof ppo>()
})

describe("the reference of a preference loss", () => {
  const rl = { ...params, allowance, maxNewTokens: 4 }
  const rest = { init: sft, preferences, held }
  test("is there exactly when the loss has one", () => {
    Dpo.make({ ...rest, reference: sft }, { ...rl, loss: PreferenceLoss.dpo() })
    Dpo.make(rest, { ...rl, loss: PreferenceLoss.simPo() })
    // @ts-expect-error required in type '{ readonly reference: "Dpo.reference is missing: connect the policy that log-ratios are taken against, e.g. reference: sft"; }'
    Dpo.make(rest, { ...rl, loss: PreferenceLoss.dpo() })
    // @ts-expect-error Property '"Dpo.reference needs no reference, because its loss has none: leave that wire out, not a Policy"'
    Dpo.make({ ...rest, reference: sft }, { ...rl, loss: PreferenceLoss.orpo() })
    // @ts-expect-error required in type '{ readonly reference: "Kto.reference is missing: connect the policy that log-ratios are taken against, e.g. reference: sft"; }'
    Kto.make({ init: sft, preferences, held }, rl)
  })

  test("and the preferences are pairs, or for KTO also labelled answers", () => {
    const labels = Source.unpairedPreferences(Source.file("labels.jsonl"))
    Kto.make({ init: sft, reference: sft, preferences, held }, rl)
    Kto.make({ init: sft, reference: sft, preferences: labels, held }, rl)
    // @ts-expect-error Property '"Dpo.preferences needs pairs of answers, e.g. Compare.make(…) or Source.preferences(…), not a UnpairedPreferences"'
    Dpo.make({ init: sft, reference: sft, preferences: labels, held }, { ...rl, loss: PreferenceLoss.dpo() })
    // @ts-expect-error Property '"Kto.preferences needs labelled answers, e.g. Source.unpairedPreferences(…) or pairs, not a Prompts"'
    Kto.make({ init: sft, reference: sft, preferences: prompts, held }, rl)
  })
})
