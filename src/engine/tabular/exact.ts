import type { Weights } from "../engine.ts"
import { checkWorld, policyWeights, tensorOf } from "./checkpoint.ts"
import { logSoftmax } from "./softmax.ts"
import { child, completionTokens, endOf, treeOf } from "./tree.ts"
import type { World } from "./world.ts"

/**
 * Exact answers about a world by enumeration. A `Table` has one number for every completion of every prompt,
 * `table[prompt][completion]`, in the order of `completions`. Prompts are equally likely: a mean over them is a plain mean.
 */
export type Table = ReadonlyArray<Float64Array>

export interface Completion {
  readonly tokens: Int32Array
  /** Token names without `</s>`. */
  readonly text: string
  /** Ended with `</s>`; otherwise cut off at the horizon. */
  readonly finished: boolean
}

/** All completions; every prompt has the same completions. */
export const completions = (world: World): ReadonlyArray<Completion> => {
  const tree = treeOf(world)
  return Array.from({ length: tree.prefixes }, (_, n) => {
    const tokens = completionTokens(tree, n)
    const text = Array.from(tokens).filter((id) => id < tree.letters).map((id) => world.vocabulary[id]).join(" ")
    return { tokens, text, finished: n < tree.contexts }
  })
}

/** A reward of every completion, by default the gold reward. */
export const rewardTable = (
  world: World,
  reward: (prompt: string, completion: string) => number = world.gold
): Table => {
  const texts = completions(world).map(({ text }) => text)
  return world.prompts.map((prompt) => Float64Array.from(texts, (text) => reward(prompt, text)))
}

/** A scorer's score of every completion: its value after the last token. */
export const scoreTable = (world: World, scorer: Weights): Table => {
  checkWorld(world, scorer)
  const tree = treeOf(world)
  const scores = tensorOf(scorer, "scores", world.prompts.length * tree.nodes)
  return world.prompts.map((_, p) =>
    Float64Array.from({ length: tree.prefixes }, (_, n) => scores[p * tree.nodes + endOf(tree, n)]!)
  )
}

/** log π of each node of one prompt's tree: of its path from the root. */
const pathLogps = (world: World, logits: Float64Array, prompt: number): Float64Array => {
  const tree = treeOf(world)
  const logps = new Float64Array(tree.nodes)
  for (let n = 0; n < tree.contexts; n++) {
    const next = logSoftmax(logits, (prompt * tree.contexts + n) * tree.actions, tree.actions)
    for (let a = 0; a < tree.actions; a++) logps[child(tree, n, a)] = logps[n]! + next[a]!
  }
  return logps
}

const logitsOf = (world: World, policy: Weights): Float64Array => {
  checkWorld(world, policy)
  const tree = treeOf(world)
  return tensorOf(policy, "logits", world.prompts.length * tree.contexts * tree.actions)
}

/** log π(completion | prompt), nats, of every completion; the exponentials add to 1 for each prompt. */
export const logDistribution = (world: World, policy: Weights): Table => {
  const tree = treeOf(world)
  const logits = logitsOf(world, policy)
  return world.prompts.map((_, p) => {
    const logps = pathLogps(world, logits, p)
    return Float64Array.from({ length: tree.prefixes }, (_, n) => logps[endOf(tree, n)]!)
  })
}

/** The policy with a given distribution: each next-token probability is the ratio of the masses below. */
export const policyOf = (world: World, logps: Table): Weights => {
  const tree = treeOf(world)
  const logits = new Float64Array(world.prompts.length * tree.contexts * tree.actions)
  logps.forEach((of, p) => {
    const mass = new Float64Array(tree.nodes)
    for (let n = 0; n < tree.prefixes; n++) mass[endOf(tree, n)] = of[n]!
    for (let n = tree.contexts - 1; n >= 0; n--) {
      const at = (p * tree.contexts + n) * tree.actions
      for (let a = 0; a < tree.actions; a++) logits[at + a] = mass[child(tree, n, a)]!
      mass[n] = logSumExp(logits.subarray(at, at + tree.actions))
      if (mass[n] === -Infinity) logits.fill(0, at, at + tree.actions)
    }
  })
  return policyWeights(world, logits)
}

const logSumExp = (xs: Float64Array): number => {
  const max = xs.reduce((most, x) => Math.max(most, x), -Infinity)
  return max === -Infinity ? max : max + Math.log(xs.reduce((sum, x) => sum + Math.exp(x - max), 0))
}

/** A number for each prompt, their mean and their maximum. */
export interface ExactStatistic {
  readonly prompts: Float64Array
  readonly mean: number
  readonly max: number
}

const statistic = (prompts: ReadonlyArray<number>): ExactStatistic => ({
  prompts: Float64Array.from(prompts),
  mean: prompts.reduce((sum, x) => sum + x, 0) / prompts.length,
  max: Math.max(...prompts)
})

/** E_π[r | prompt]. */
export const expectedReward = (logps: Table, reward: Table): ExactStatistic =>
  statistic(logps.map((of, p) => of.reduce((sum, logp, n) => sum + Math.exp(logp) * reward[p]![n]!, 0)))

/** KL(P‖Q) = Σ P log(P / Q) of whole completions, nats per sequence; swap the arguments for the other direction. */
export const kl = (logP: Table, logQ: Table): ExactStatistic =>
  statistic(
    logP.map((of, p) =>
      of.reduce((sum, logp, n) => logp === -Infinity ? sum : sum + Math.exp(logp) * (logp - logQ[p]![n]!), 0)
    )
  )

/** J(π) = E_π[r] − β KL(π‖ref), mean over prompts: the objective of RLHF (Ouyang et al. 2022 eq. 2). */
export const objective = (logps: Table, logRef: Table, reward: Table, beta: number): number =>
  expectedReward(logps, reward).mean - beta * kl(logps, logRef).mean

/**
 * The maximum of `objective` (Rafailov et al. 2023, arXiv 2305.18290, eq. 4): π* = ref · exp(r / β) / Z, where J is
 * β log Z and KL(π*‖ref) = E_π*[r] / β − log Z.
 */
export const optimum = (logRef: Table, reward: Table, beta: number) => {
  const tilted = logRef.map((of, p) => of.map((logp, n) => logp + reward[p]![n]! / beta))
  const logZ = tilted.map(logSumExp)
  const logps: Table = tilted.map((of, p) => of.map((x) => x - logZ[p]!))
  const expected = expectedReward(logps, reward)
  return {
    logps,
    value: statistic(logZ.map((z) => beta * z)),
    reward: expected,
    kl: statistic(logZ.map((z, p) => expected.prompts[p]! / beta - z))
  }
}

/**
 * The highest mean reward of all policies with this KL from ref (mean over prompts, nats per sequence): that of ref · exp(r / β) / Z with
 * the β, the same for every prompt, that has this KL (Lagrange); by bisection over 30 orders of magnitude.
 */
export const mostReward = (logRef: Table, reward: Table, nats: number): number => {
  const spread = Math.max(...reward.map((of) => Math.max(...of) - Math.min(...of)))
  if (spread === 0 || nats <= 0) return expectedReward(logRef, reward).mean
  // log β: KL falls with it. The end of the lower β is the one that is not below `nats`, where any policy has as much.
  let [low, high] = [Math.log(spread) - 12, Math.log(spread) + 60]
  for (let i = 0; i < 100; i++) {
    const middle = (low + high) / 2
    if (optimum(logRef, reward, Math.exp(middle)).kl.mean >= nats) low = middle
    else high = middle
  }
  return optimum(logRef, reward, Math.exp(low)).reward.mean
}

/**
 * ∇J with respect to the table of logits, by the policy gradient theorem with exact values. With g = r − β log(π / ref)
 * of a whole completion, V(s) = E[g | s]: dJ/dlogits(s, a) = P(s) π(a | s) (V(s, a) − V(s)) / prompts. (The derivative
 * of the log π inside g has expectation 0.)
 */
export const objectiveGradient = (
  world: World,
  policy: Weights,
  logRef: Table,
  reward: Table,
  beta: number
): Float64Array => {
  const tree = treeOf(world)
  const logits = logitsOf(world, policy)
  const gradient = new Float64Array(logits.length)
  const logps = logDistribution(world, policy)
  world.prompts.forEach((_, p) => {
    const paths = pathLogps(world, logits, p)
    const values = new Float64Array(tree.nodes)
    for (let n = 0; n < tree.prefixes; n++) {
      values[endOf(tree, n)] = reward[p]![n]! - beta * (logps[p]![n]! - logRef[p]![n]!)
    }
    for (let n = tree.contexts - 1; n >= 0; n--) {
      const next = Array.from({ length: tree.actions }, (_, a) => child(tree, n, a))
      values[n] = next.reduce((sum, node) => sum + Math.exp(paths[node]! - paths[n]!) * values[node]!, 0)
      next.forEach((node, a) => {
        gradient[(p * tree.contexts + n) * tree.actions + a] = Math.exp(paths[node]!) * (values[node]! - values[n]!) /
          world.prompts.length
      })
    }
  })
  return gradient
}

/** D∞(P‖Q) = max log(P / Q) over completions that P can give, nats. */
export const maxDivergence = (logP: Table, logQ: Table): ExactStatistic =>
  statistic(
    logP.map((of, p) =>
      of.reduce((most, logp, n) => logp === -Infinity ? most : Math.max(most, logp - logQ[p]![n]!), 0)
    )
  )

/**
 * The law of the best of n completions, ties shared in proportion to π: π(y) / π(tie) · (Fⁿ − F⁻ⁿ), with F and F⁻ = F − π(tie) the
 * probabilities of a reward of at most, and below, that of y (Beirami et al. 2024, arXiv 2401.01879). n may be any real above 0.
 */
export const bestOfN = (logps: Table, reward: Table, n: number): Table =>
  logps.map((of, p) => {
    const rewards = reward[p]!
    const order = Array.from(of, (_, i) => i).sort((a, b) => rewards[a]! - rewards[b]!)
    const law = new Float64Array(of.length)
    let below = 0
    for (let from = 0; from < order.length;) {
      let [to, tie] = [from, 0]
      for (; to < order.length && rewards[order[to]!] === rewards[order[from]!]; to++) tie += Math.exp(of[order[to]!]!)
      const upTo = Math.min(1, below + tie)
      // Fⁿ − F⁻ⁿ = −Fⁿ expm1(n log(F⁻ / F)): a small tie does not cancel away.
      const logShare = n * Math.log(upTo) + Math.log(-Math.expm1(n * Math.log1p(Math.max(-1, -tie / upTo)))) -
        Math.log(tie)
      for (let i = from; i < to; i++) law[order[i]!] = tie === 0 ? -Infinity : of[order[i]!]! + logShare
      below = upTo
      from = to
    }
    return law
  })

/** The law of completions with a reward of at least `atLeast`, and log p_accept of each prompt; −∞ without any. */
export const accepted = (logps: Table, reward: Table, atLeast: number) => {
  const kept = logps.map((of, p) => of.map((logp, n) => reward[p]![n]! >= atLeast ? logp : -Infinity))
  const logAccept = kept.map(logSumExp)
  return { logAccept, logps: kept.map((of, p) => of.map((logp) => logp - logAccept[p]!)) as Table }
}

/**
 * Rényi divergence of whole completions, nats per sequence, the mean over prompts: D_a = log Σ P^a Q^(1 − a) / (a − 1); a = 1 is KL, and
 * a = ∞ is D∞ (Rényi 1961; van Erven and Harremoës 2014, arXiv 1206.2459).
 */
export const renyi = (logP: Table, logQ: Table, order: number): ExactStatistic => {
  if (order === 1) return kl(logP, logQ)
  if (order === Infinity) return maxDivergence(logP, logQ)
  return statistic(logP.map((of, p) => {
    const ratios = of.map((logp, n) => logp === -Infinity ? -Infinity : logp - logQ[p]![n]!)
    return logSumExp(of.map((logp, n) => logp === -Infinity ? -Infinity : logp + (order - 1) * ratios[n]!)) /
      (order - 1)
  }))
}
