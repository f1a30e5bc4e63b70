/**
 * The bounds on a trained policy before any measurement. Training itself has no bound; the law that it aims at
 * sometimes has a bound, which is named for that law.
 */
import type * as Artifact from "../../dsl/Artifact.ts"
import { stageOf } from "../../dsl/Pipeline.ts"
import type { ReferencePolicy } from "../../dsl/Reference.ts"
import { label } from "../../dsl/Render.ts"
import type { Grpo } from "../../dsl/stages/Grpo.ts"
import type { Ppo } from "../../dsl/stages/Ppo.ts"
import { type Rule, rulesIn } from "../../dsl/stages/Reward.ts"
import { initialOf, type Making, type Op, parentsOf } from "../../dsl/Stage.ts"
import * as Bounds from "./bounds.ts"
import { type Chain, type Link, ofLink } from "./chain.ts"
import * as Renyi from "./renyi.ts"

export interface Aim {
  /** It `imitates` a law, is the `optimum` of its objective, or `moves` by training or merging. */
  readonly of: "imitates" | "optimum" | "moves"
  /** In words, if the steps of the chain are described elsewhere. */
  readonly because?: string
  readonly chain: Chain
}

/** The label of the model on a wire, without its cap. */
export const modelOn = ({ node }: Artifact.Any, wire: string): string | null =>
  node.wires[wire] === undefined ? null : label(initialOf(node.wires[wire]))

/** How often the reference is moved before the last step. */
const resetsOf = (how: ReferencePolicy, steps: number): number =>
  how._tag === "ResetEvery" ? Math.ceil(steps / how.steps) - 1 : 0

/** The effect of the reference on the drift, in words. */
const drift = (how: ReferencePolicy, beta: number, steps: number): string => {
  if (beta === 0) return "β is 0: no penalty keeps it near"
  if (how._tag === "Frozen") return "its penalty keeps it near its reference, by no bound"
  if (how._tag === "MovingAverage") return "its reference follows it: β bounds a step, not the drift"
  const resets = resetsOf(how, steps)
  return resets === 0
    ? "its reference is not moved in these steps"
    : `its reference is moved to it ${
      resets === 1 ? "once" : `${resets} times`
    }: β bounds each stretch, not the drift (each converged, it is β / ${resets + 1} = ${
      Number((beta / (resets + 1)).toPrecision(3))
    } in all)`
}

type Range = readonly [min: number, max: number]

const hull = (ranges: ReadonlyArray<Range>): Range => [
  Math.min(...ranges.map(([min]) => min)),
  Math.max(...ranges.map(([, max]) => max))
]

/** The least and largest reward, or null if it is unbounded: of reward models only process reward models are bounded. */
const rangeOf = (reward: Artifact.Any): Range | null => {
  const of = initialOf(reward)
  const stage = stageOf(of)
  if (stage._tag === "RewardModeling") return stage.loss._tag === "Process" ? [0, 1] : null
  if (stage._tag === "Ensemble" || stage._tag === "Reward") {
    const wires = Object.entries(of.node.wires).filter(([wire]) => !wire.startsWith("when."))
    const known = wires.map(([wire, part]) => [wire.replace(/^parts\./u, ""), rangeOf(part)] as const)
    if (stage._tag === "Reward") return ruled(stage.rule, known)
    if (known.some(([, range]) => range === null)) return null
    const [min, max] = hull(known.map(([, range]) => range!))
    // A variance is at most a quarter of the squared range.
    return [min - (stage.rule._tag === "UncertaintyWeighted" ? stage.rule.lambda * (max - min) ** 2 / 4 : 0), max]
  }
  return null
}

/** The range of a reward made of rewards, whose ranges are `known` or null. */
const ruled = (rule: Rule, known: ReadonlyArray<readonly [name: string, range: Range | null]>): Range | null => {
  if (rule._tag === "Clip") return [rule.min, rule.max]
  if (rule._tag === "Sigmoid") return [0, 1]
  if (rule._tag === "Verify") return rule.verifier._tag === "OwnVerifier" ? null : [0, rule.verifier.weight]
  if (known.some(([, range]) => range === null)) return null
  const ranges = known.map(([name, range]) => [name, range!] as const)
  const all = hull(ranges.map(([, range]) => range))
  switch (rule._tag) {
    case "Sum":
      return ranges.reduce<Range>(([low, high], [name, [min, max]]) => {
        const weight = rule.weights[name] ?? 1
        return [low + Math.min(weight * min, weight * max), high + Math.max(weight * min, weight * max)]
      }, [0, 0])
    case "From":
      return hull([all, [0, 0]])
    case "Of":
    case "ByKind":
    case "Gate":
      return all
    default:
      return null
  }
}

/** max − min of the reward of a completion, penalties included; null if a part of it is unbounded. */
const spanOf = (stage: Grpo | Ppo, { node: { wires } }: Artifact.Any): number | null => {
  const of = wires["reward"] === undefined ? [0, 0] as const : rangeOf(wires["reward"])
  const { missingEosPenalty, verifiers = [] } = stage
  if (of === null || verifiers.some(({ _tag }) => _tag === "OwnVerifier")) return null
  const verified = verifiers.reduce((sum, { weight }) => sum + weight, 0)
  return of[1] - of[0] + verified + missingEosPenalty + (stage._tag === "Ppo" || stage.overlong === undefined ? 0 : 1)
}

/** Why a reward is not the same number for the same completion in every step. */
const changing = (reward: Artifact.Any): ReadonlyArray<string> => {
  const rules = rulesIn(reward)
  const froms = rules.flatMap((rule) => rule._tag === "From" ? [rule.step] : [])
  return [
    ...rules.some(({ _tag }) => _tag === "Whiten") ? ["its reward is whitened by other completions"] : [],
    ...rules.some((rule) => rule._tag === "ByPairs" && rule.against === "group")
      ? ["its reward compares a completion with others"]
      : [],
    ...froms.length === 0 ? [] : [`its reward changes after step ${froms.join(" and ")}`]
  ]
}

/** Why the training does not aim at π* ∝ π_ref exp(r/β), the optimum of a mean reward under β · KL from one reference. */
export const noOptimum = (stage: Grpo | Ppo, reward: Artifact.Any | undefined): ReadonlyArray<string> => {
  const { advantage, beta, klControl, loss, referencePolicy, temperature } = stage
  const divides = ["GroupStd", "MaxNormalised"].includes(advantage._tag)
  return [
    ...beta > 0 ? [] : ["β is 0"],
    ...reward === undefined ? [] : changing(reward),
    ...divides ? [`${advantage._tag} weighs prompts by their samples`] : [],
    ...advantage._tag === "MonteCarlo" && loss._tag === "PolicyLoss" && loss.aggregation._tag === "SequenceMean"
      ? ["SequenceMean weighs long completions less"]
      : [],
    ...advantage._tag === "Gae" && advantage.gamma < 1 ? [`γ ${advantage.gamma} discounts`] : [],
    ...loss._tag === "OwnPolicyLoss"
      ? [`its loss ${loss.name} comes from outside Keel`]
      : loss.kl._tag === "KlInReward"
      ? []
      // By token it holds the visited states fixed; by completion it weighs KL or reward by length.
      : loss.kl.estimator === "k3-corrected"
      ? ["k3-corrected weighs the KL of a completion otherwise than its reward"]
      : [`${loss.kl.estimator} is not the reverse KL of a completion`],
    ...loss._tag === "OwnPolicyLoss" || loss.entropyCoef === 0 ? [] : ["entropy is rewarded too"],
    ...temperature === 1 ? [] : [`it samples at temperature ${temperature}`],
    ...stage._tag === "Ppo" && stage.ptxCoef > 0 ? ["text is learned too"] : [],
    ...klControl._tag === "FixedBeta" ? [] : ["β follows the KL"],
    ...stage.fromStep === undefined ? [] : ["its values change on the way"],
    ...referencePolicy._tag === "MovingAverage" ? ["its reference follows it"] : []
  ]
}

/** The aims of a policy with a reward: its optimum, if it has one, and its movement. */
const rewarded = (stage: Grpo | Ppo, artifact: Artifact.Any, start: string | null): ReadonlyArray<Aim> => {
  const [span, from] = [spanOf(stage, artifact), modelOn(artifact, "reference")]
  const drifts = drift(stage.referencePolicy, stage.beta, stage.steps)
  if (from === null) return [moves(start, `trained: ${drifts}`)]
  const own = stage.verifiers?.find((one) => one._tag === "OwnVerifier")
  const made = artifact.node.wires["reward"]?.node.kind === "Reward" ? "its reward" : "its reward model"
  const any = own === undefined ? made : `its verifier ${own.name}`
  const none = [
    ...span === null ? [`${any} may say any number`] : [],
    ...noOptimum(stage, artifact.node.wires["reward"])
  ]
  if (span === null || none.length > 0) {
    return [moves(start, `trained: ${drifts}; no span / β of its optimum: ${none.join(", ")}`)]
  }
  const resets = resetsOf(stage.referencePolicy, stage.steps)
  const beta = stage.beta / (resets + 1)
  const because = `the optimum of rewards within ${span} of each other, ${
    resets === 0 ? `span / β = ${span} / ${stage.beta}` : `at β / ${resets + 1} if each stretch converges`
  }; on its way it may be further for some completions`
  const tilt: Link = { because, bound: Bounds.tilt(span, beta), renyi: Renyi.tilt(span, beta) }
  return [{ of: "optimum", chain: { from, links: [tilt] } }, moves(start, `trained: ${drifts}`)]
}

const moves = (from: string | null, because: string): Aim => ({
  of: "moves",
  chain: { from, links: [ofLink(because, Bounds.unknown)] }
})

/** The aims of the policy `artifact`, empty for other artefacts; `chainOf` as in `chain.ts`. */
export const aimsOf = (artifact: Artifact.Any, chainOf: (of: Artifact.Any) => Chain): ReadonlyArray<Aim> => {
  const stage = stageOf(artifact)
  const [parent] = parentsOf(artifact)
  const start = parent === undefined ? null : label(initialOf(parent))
  const rows = artifact.node.wires["demonstrations"]
  /** The law of the demonstrations, if a model wrote them. */
  const written = rows === undefined ? null : chainOf(rows)
  const imitates: ReadonlyArray<Aim> = written === null || written.from === null
    ? []
    : [{ of: "imitates", chain: written, because: `the rows of ${label(rows!)}` }]
  const learned = written === null || written.from === null || written.from === start
    ? "a network that imitates is not bounded"
    : `starts again from ${start}: its distance counts from there, not from ${written.from}, whose answers it learns`
  switch (stage._tag) {
    case "Sft":
      return imitates.length === 0 ? [] : [...imitates, moves(start, `trained: ${learned}`)]
    case "Distill":
      return [...imitates, moves(start, `trained: ${imitates.length === 0 ? "none beforehand" : learned}`)]
    case "Ppo":
    case "Grpo":
      return rewarded(stage, artifact, start)
    case "Dpo":
    case "Kto":
      return [
        moves(start, "trained on answers that it did not write: they do not bound other answers, so none beforehand")
      ]
    case "OnPolicyDistill":
      return [moves(start, "trained: its optimum is its teacher, whose distance is unknown beforehand")]
    case "Merge":
      return artifact.node.kind === "RewardModel"
        ? []
        : [moves(null, "weights averaged: unknown until measured, from each parent and from the initial model")]
    case "Extension":
      return stage.definition.spendsKl === true ? [moves(start, "trained outside Keel: none beforehand")] : []
    case "Gate":
      return []
    default:
      // No other operation makes a policy.
      stage satisfies { readonly _tag: Exclude<Op, Making<"Policy">> }
      return []
  }
}
