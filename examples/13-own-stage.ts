/**
 * A stage and a reward of your own, declared outside Keel. The stage is reward-weighted regression: maximum likelihood of the policy's
 * own samples, each weighted by how good it is (Peters and Schaal 2007; Dayan and Hinton 1997). The reward likes a certain length.
 * `property-tests/ownStage.test.ts` holds both to the laws of `keel/testing`.
 *
 *     npx keel simulate examples/13-own-stage.ts     # in seconds, where everything is exact
 *     npx keel run examples/13-own-stage.ts          # a tiny transformer, a few seconds
 */
import { Effect, Schema } from "effect"
import type { Extension } from "keel"
import { Compare, Evaluate, Gold, Kl, Pipeline, Pretrain, RewardModeling, Sft, Source } from "keel"
import type { Loss, Row } from "keel/stage"
import {
  afterLast,
  batchAt,
  Count,
  encodePrompts,
  implement,
  klSpending,
  movePolicy,
  moves,
  observer,
  policyFrom,
  Positive,
  reward,
  training,
  Wires
} from "keel/stage"

// ── the description ───────────────────────────────────────────────────────────────────────────────────────────────────

export class Rwr extends Schema.TaggedClass<Rwr>()("Rwr", {
  /** Temperature of the weights: w ∝ exp(r / β). */
  beta: Positive,
  steps: Count,
  /** Prompts per step. */
  batchSize: Count,
  /** Completions per prompt, weighted against one another. */
  groupSize: Schema.Int.check(
    Schema.isGreaterThan(1, { message: "weights need at least 2 completions to choose among" })
  ),
  ...klSpending,
  ...training
}) {}

const wires = {
  init: Wires.model(["BaseModel", "Policy"], "the policy to start from, e.g. the output of Sft.make(…)"),
  reward: Wires.model(["RewardModel"], "a RewardModel: train one with RewardModeling.make(…)"),
  prompts: Wires.data("Prompts", "instructions to train on, e.g. Source.prompts(…)"),
  held: Wires.data("Prompts", "held-out instructions to measure KL on, e.g. Source.prompts(…)")
} as const

const opens = { trained: ["init"], frozen: ["reward"] } as const

export const definition = { op: "Rwr", schema: Rwr, wires, opens, ...policyFrom("init") } as const

export const make = moves<Extension.Stage<"Rwr">>()(definition)

// ── the loss ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 *     L = −(1/P) Σ_prompts Σ_i w_i log π(y_i | x)        w = softmax(r / β) within the prompt's group
 *
 * with the weights held fixed, so dL/dlogp_t = −w_i / P for every token t of y_i. `logps` has one number per token, `rewards` one per
 * row; rows of one prompt stand together, `groupSize` of them. Its value is `loss`, in nats per sequence.
 */
export const rwrLoss = (
  logps: Float64Array,
  rewards: Float64Array,
  offsets: Int32Array,
  { beta, groupSize }: { readonly beta: number; readonly groupSize: number }
): Loss => {
  const prompts = rewards.length / groupSize
  const gradient = new Float64Array(logps.length)
  let loss = 0
  for (let at = 0; at < rewards.length; at += groupSize) {
    const group = rewards.subarray(at, at + groupSize)
    const best = Math.max(...group)
    const odds = group.map((r) => Math.exp((r - best) / beta))
    const total = odds.reduce((sum, x) => sum + x, 0)
    odds.forEach((x, i) => {
      for (let t = offsets[at + i]!; t < offsets[at + i + 1]!; t++) {
        gradient[t] = -x / total / prompts
        loss += gradient[t]! * logps[t]!
      }
    })
  }
  return { loss, gradient, metrics: { "loss/rwr": loss } }
}

// ── what it means, on any engine ──────────────────────────────────────────────────────────────────────────────────────

export const rwr = implement(
  definition,
  (stage, inputs, scope) =>
    movePolicy(stage, inputs, scope, ({ codec, open, policy, use }) =>
      Effect.gen(function*() {
        const scorer = yield* observer(open.scorer, inputs.reward)
        const prompts = yield* encodePrompts(use, inputs.prompts)
        const sampling = { maxNewTokens: stage.maxNewTokens, temperature: 1, topK: 0, topP: 1, stop: codec.stop }
        return {
          steps: stage.steps,
          proxy: scorer,
          step: (n: number) =>
            Effect.sync(() => {
              const asked = batchAt(scope.stream, prompts.length, stage.batchSize, n)
                .flatMap((i) => Array.from({ length: stage.groupSize }, () => prompts[i]!))
              const rows = policy.sample(asked, sampling, asked.map((_, i) => `${scope.stream}/${n}/${i}`))
                .map(({ completion }, i): Row => ({ prompt: asked[i]!, completion }))
              const { logps, offsets } = policy.logprobs(rows, { retain: true })
              const rewards = afterLast(scorer.values(rows).values, offsets)
              return {
                passed: { rows, numbers: logps },
                learn: rwrLoss(logps, rewards, offsets, stage),
                tokens: 2 * logps.length,
                metrics: { reward: rewards.reduce((sum, r) => sum + r, 0) / rows.length }
              }
            })
        }
      })).pipe(Effect.map((weights) => ({ _tag: "Model" as const, weights })))
)

/** In [−1, 0], best at the length that the description asks for. */
export const aboutAsLong = reward("AboutAsLong", (_, completion, { words = 20 }) => {
  const wanted = Math.max(1, Number(words))
  const length = completion.split(/\s+/u).filter((word) => word !== "").length
  return -Math.min(1, Math.abs(length - wanted) / wanted)
})

/** `keel` reads from these what the pipeline's own operations and rewards mean. */
export const stages = [rwr]
export const rewards = [aboutAsLong]

// ── a pipeline with both ──────────────────────────────────────────────────────────────────────────────────────────────

const gold = Gold.own("AboutAsLong", { words: 24 })
const maxNewTokens = 40
const prompts = Source.prompts(Source.tales({ split: "train", count: 200 }))
const held = Source.prompts(Source.tales({ split: "held", count: 64 }))

const base = Pretrain.make({ text: Source.text(Source.tales({ count: 1000 })) }, {
  family: "tales",
  model: { dim: 32, layers: 1, heads: 2, kvHeads: 1, ffn: 64, context: 96 },
  steps: 300,
  batchSize: 16,
  learningRate: 1e-2,
  warmupSteps: 10
})

export const sft = Sft.make({ base, demonstrations: Source.demonstrations(Source.tales({ count: 400 })) }, {
  batchSize: 16,
  learningRate: 3e-3
})

export const scorer = RewardModeling.make({
  init: sft,
  preferences: Compare.make({ policy: sft, prompts }, { gold, maxNewTokens })
}, { epochs: 2, batchSize: 16, learningRate: 3e-3 })

export const weighted = make({ init: sft, reward: scorer, prompts, held }, {
  allowance: Kl.mnatsPerSequence(10_000),
  beta: 0.5,
  steps: 20,
  batchSize: 16,
  groupSize: 4,
  learningRate: 5e-4,
  measureSamples: 64,
  maxNewTokens
})

const policy = Pipeline.cap(weighted, { kl: Kl.mnatsPerSequence(10_000), from: sft })

export default Pipeline.runnable(
  Evaluate.make({ initial: sft, reward: scorer, prompts: held }, { sft, rwr: policy }, { gold, maxNewTokens })
)
