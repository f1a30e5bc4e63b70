/** Bai et al., arXiv 2204.05862. */
import { Ask, HhRlhf, Recipe } from "../../../dsl/index.ts"
import { all, choice, clip, facts, of, result, rows } from "../fact.ts"

const recipe = HhRlhf.hhRlhf

export default facts("Helpful and harmless assistant", Recipe.planned(recipe), {
  "1.2": [
    [
      "parameters, in billions",
      52,
      ({ distilled }) => Number(/\d+/u.exec(all(distilled, "Checkpoint")[0]!["shape"].name)![0])
    ],
    [
      "context distillation by the prompt",
      HhRlhf.hhh,
      ({ distilled }) => (of(distilled)["teacherAsk"] as Ask.Ask).system!
    ],
    ["base comparisons, helpful and red team", [44_000, 42_000], ({ preferenceModel }) => [
      rows(preferenceModel, "helpful, base"),
      rows(preferenceModel, "red teaming, base")
    ]],
    ["rejection sampling, helpful and red team", [52_000, 2000], ({ preferenceModel }) => [
      rows(preferenceModel, "helpful, best of 16"),
      rows(preferenceModel, "red teaming, best of 16")
    ]],
    ["best of", 16, "ready rows: their name says it"],
    [
      "online, helpful",
      22_000,
      ({ preferenceModel }) =>
        [1, 2, 3, 4, 5].reduce((sum, week) => sum + rows(preferenceModel, `helpful, online, week ${week}`), 0)
    ],
    ["weeks", 5, ({ policy }) => all(policy, "Ppo").length - 1],
    ["each week from the same start", 1, ({ policy }) => all(policy, "Distill").length],
    ["λ_KL", 0.001, ({ policy }) => of(policy)["beta"]],
    ["KL is typically below, nats", 100, result],
    ["clip", [0.2, 0.2], ({ policy }) => clip(of(policy))],
    ["discount", 1, ({ policy }) => of(policy)["advantage"].gamma],
    ["entropy bonus: none", 0, ({ policy }) => of(policy)["loss"].entropyCoef],
    [
      "samples after which train and test scores diverge",
      150_000,
      "of a study; it is the hint of the open number of steps"
    ],
    ["accuracy of preference models, percent", [74, 70, 67], result],
    ["λ of the trade-off of help and harm", [1, 2, 3, 4, 10], "of an ablation: the mixture stands here"]
  ],
  "7": [
    ["prompts of RL that a model wrote", 369_000, ({ policy }) => rows(policy, "prompts by a model")],
    [
      "rates and batches are not reported",
      ["open", "open"],
      () => [choice(recipe, "rl.learningRate"), choice(recipe, "rl.batchSize")]
    ]
  ]
})
