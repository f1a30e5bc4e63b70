/** What is wrong with one node by itself, its parameters being valid one by one. */
import type * as Artifact from "../../../dsl/Artifact.ts"
import type { Extension } from "../../../dsl/Extension.ts"
import { mistakes as lossMistakes, type PreferenceLoss } from "../../../dsl/PreferenceLoss.ts"
import { Stage } from "../../../dsl/Stage.ts"
import * as Grpo from "../../../dsl/stages/Grpo.ts"
import * as Ppo from "../../../dsl/stages/Ppo.ts"

/** A reference that moves, or should. */
const moving = ({ beta, referencePolicy, steps }: Grpo.Grpo | Ppo.Ppo): ReadonlyArray<string> => {
  if (referencePolicy._tag === "Frozen") return []
  if (beta === 0) return [`referencePolicy ${referencePolicy._tag} has no use with beta 0: leave it out, or raise beta`]
  const every = referencePolicy._tag === "ResetEvery" ? referencePolicy.steps : referencePolicy.every
  return [
    ...(every <= steps ? [] : [
      `referencePolicy ${referencePolicy._tag} moves after ${every} steps and there are ${steps}: lower it, or take Frozen`
    ]),
    ...(referencePolicy._tag === "MovingAverage" && referencePolicy.rate === 0
      ? ["referencePolicy MovingAverage with rate 0 never moves: raise rate, or take Frozen"]
      : [])
  ]
}

/** Terms without weight, and a reference without terms. */
const unreferenced = ({ nll, reference, terms }: PreferenceLoss): ReadonlyArray<string> => {
  const weighing = terms.filter(({ weight }) => weight > 0)
  if (weighing.length > 0) return []
  return [
    ...(terms.length > 0 && nll === 0 ? ["loss has only terms of weight 0: nothing would be learnt"] : []),
    ...(reference && nll > 0
      ? ["loss.reference is true, and cross-entropy alone has no use for one: set it false and leave the wire out"]
      : [])
  ]
}

/** What is wrong with one node by itself, its parameters being valid. */
const within = (stage: Stage, artifact: Artifact.Any): ReadonlyArray<string> =>
  Stage.match(stage, {
    Input: ({ kind, name }) => [`the input ${name}: ${kind} is open: connect it with Pipeline.connect`],
    Cap: () => [],
    Source: () => [],
    Checkpoint: () => [],
    Pretrain: ({ lora, model: { dim, heads, kvHeads }, steps, warmupSteps }) => [
      ...(lora === undefined ? [] : ["lora adapts a model that exists; pretraining starts from nothing"]),
      ...(dim % heads === 0 ? [] : [`model.dim ${dim} is not a multiple of model.heads ${heads}`]),
      ...(dim % heads !== 0 || (dim / heads) % 2 === 0
        ? []
        : [`a head has ${dim / heads} dimensions; it must be even for RoPE`]),
      ...(heads % kvHeads === 0 ? [] : [`model.heads ${heads} is not a multiple of model.kvHeads ${kvHeads}`]),
      ...(warmupSteps <= steps ? [] : [`warmupSteps ${warmupSteps} is more than steps ${steps}`])
    ],
    Sft: ({ batchTokens, maxLength }) =>
      (maxLength ?? 0) > (batchTokens ?? Infinity)
        ? [
          `maxLength ${maxLength} is more than batchTokens ${batchTokens}: such a row fits no batch; raise batchTokens`
        ]
        : [],
    Compare: () => [],
    RewardModeling: () => [],
    Ensemble: () => [],
    Distill: ({ maxNewTokens, completionsPerPrompt }) =>
      artifact.node.wires["demonstrations"] === undefined ? [] : [
        ...(maxNewTokens === undefined ? [] : ["maxNewTokens"]),
        ...(completionsPerPrompt === 1 ? [] : ["completionsPerPrompt"])
      ].map((name) => `${name} is of no use: the teacher answers nothing, the demonstrations do; leave it out`),
    OnPolicyDistill: ({ steps, warmupSteps }) =>
      warmupSteps <= steps ? [] : [`warmupSteps ${warmupSteps} is more than steps ${steps}`],
    Ppo: (stage) => [...Ppo.mistakes(stage), ...moving(stage)],
    Grpo: (stage) => [...Grpo.mistakes(stage), ...moving(stage)],
    // What its parameters may be depends on its wires: `between`.
    Merge: () => [],
    Dpo: ({ loss }) => "_tag" in loss ? [] : [...lossMistakes(loss), ...unreferenced(loss)],
    Kto: ({ batchSize, desirableWeight, loss, undesirableWeight }) => [
      ...(desirableWeight > 0 || undesirableWeight > 0
        ? []
        : ["desirableWeight and undesirableWeight are both 0: nothing would be learnt"]),
      ...(batchSize > 1 || loss !== "kto"
        ? []
        : ["batchSize 1 leaves the loss kto no other answer to estimate its KL from: raise it, or take apo-zero"])
    ],
    Evaluate: () => [],
    Sample: ({ completionsPerPrompt, temperature, topK }) => {
      const greedy = temperature === 0 ? "temperature 0" : topK === 1 ? "topK 1" : undefined
      return greedy === undefined || completionsPerPrompt === 1 ? [] : [
        `${greedy} is greedy, so the ${completionsPerPrompt} completions of a prompt would all be the same: ask for 1, or sample`
      ]
    },
    Score: () => [],
    Select: () => [],
    Pair: () => [],
    BestOfN: () => [],
    Mix: () => [],
    Filter: () => [],
    Split: ({ fraction }) =>
      fraction > 0 && fraction < 1 ? [] : [`fraction ${fraction} leaves one part empty: take one between 0 and 1`],
    Deduplicate: () => [],
    Decontaminate: () => [],
    Gate: () => []
  })

/** What every stage that spends KL can have wrong. */
const spending = (params: object): ReadonlyArray<string> => {
  if (!("allowance" in params)) return []
  const { direction, per } = params.allowance as { readonly direction?: string; readonly per?: string }
  return [
    ...(per === "sequence" ? [] : ["allowance must be per sequence: convert it with Kl.overTokens(allowance, length)"]),
    ...(direction === "forward"
      ? ["allowance is of the forward KL, and what is measured is the reverse: allot that"]
      : [])
  ]
}

/** AdamW moves each weight by about the learning rate in a step. */
const most = 10

const learning = (params: object): ReadonlyArray<string> =>
  (["learningRate", "valueLearningRate"] as const).flatMap((name) => {
    const rate = (params as Readonly<Record<string, unknown>>)[name]
    return typeof rate !== "number" || rate <= most ? [] : [
      `${name} ${rate} is above ${most}, and AdamW moves every weight by about as much in a step: was ${
        (1 / rate).toExponential().replace(/\.\d+/u, "")
      } meant?`
    ]
  })

/** What is wrong with one node by itself, its parameters being valid, whoever declared its operation. */
export const alone = (stage: Stage | Extension, artifact: Artifact.Any): ReadonlyArray<string> =>
  stage._tag === "Extension"
    ? spending(stage.params)
    : [...spending(stage), ...learning(stage), ...within(stage, artifact)]
