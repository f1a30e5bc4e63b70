import { distribution, draw } from "../../sampling/draw.ts"
import { stream } from "../../sampling/random.ts"
import {
  type Engine,
  type Model,
  offsetsOf,
  ownTokens,
  type Policy,
  type Sampled,
  type Scorer,
  type Weights
} from "../engine.ts"
import { read } from "../processReward.ts"
import { checkWorld, policyWeights, scorerWeights, tensorOf, uniform } from "./checkpoint.ts"
import { codecOf } from "./codec.ts"
import { type Parameters, parameters } from "./parameters.ts"
import { entropy, logSoftmax } from "./softmax.ts"
import { type State, walker } from "./walk.ts"
import type { World } from "./world.ts"

/**
 * The tabular engine: a policy is a table of logits, one row for each (prompt, prefix), and a scorer a table of scores,
 * one for each state. Every policy over the world's completions is representable, and everything is in double
 * precision, so that enumeration (exact.ts) can verify the results of a stage.
 *
 * **Pretraining** is on rows with an empty prompt and a text that begins with the world's prompt (`"p0 a b"`). Prompts
 * are not modelled: the prompt token is uniform among prompts, its log-probability is constant and its gradient 0; so
 * it is for bos (log-probability 0). A scorer has value 0 before the prompt.
 */
export const tabular = (world: World): Engine => ({
  kind: "tabular",
  initial: () => uniform(world),
  codec: (weights) => {
    checkWorld(world, weights)
    return codecOf(world)
  },
  policy: (weights) => policy(world, weights),
  scorer: (weights) => read(weights, (own) => scorer(world, own))
})

const model = (world: World, table: Parameters, weights: () => Weights): Model => ({
  parameters: table.values.length,
  context: world.horizon + 2,
  step: table.step,
  weights,
  follow: (of, rate) => table.follow(of.weights(), rate),
  optimizer: table.optimizer,
  restore: table.restore,
  dispose: () => {}
})

/** Takes the result of the last retained forward pass; a second `backward`, or one without a forward pass, is a bug. */
const once = <A>() => {
  let kept: A | undefined
  return {
    keep: (value: A | undefined) => {
      kept = value
    },
    take: (): A => {
      const value = kept
      if (value === undefined) throw new Error("backward needs a forward pass with retain before it, one for each")
      kept = undefined
      return value
    }
  }
}

/** Where the logits of each token begin (−1: not modelled), and their gradient for a number per token. */
interface Retained {
  readonly at: ReadonlyArray<number>
  readonly pull: (i: number) => Float64Array
}

/** A tabular policy, with its table of logits for its students. */
interface TabularPolicy extends Policy {
  readonly logits: Float64Array
}

const policy = (world: World, weights: Weights): TabularPolicy => {
  checkWorld(world, weights)
  const { after, ids, states, tree } = walker(world)
  const shape = [world.prompts.length * tree.contexts, tree.actions] as const
  const table = parameters("logits", shape, tensorOf(weights, "logits", shape[0] * shape[1]))
  const retained = once<Retained>()
  /** Where the logits of a state begin; −1 where the next token is given, not modelled. */
  const rowAt = ({ node, prompt }: State): number =>
    prompt < 0 || node >= tree.contexts ? -1 : (prompt * tree.contexts + node) * tree.actions
  /** log softmax of z / T. */
  const choose = (at: number, temperature: number): Float64Array =>
    temperature === 1
      ? logSoftmax(table.values, at, tree.actions)
      : logSoftmax(table.values.subarray(at, at + tree.actions).map((z) => z / temperature), 0, tree.actions)
  const givenLogp = (token: number): number => token === ids.bos ? 0 : -Math.log(world.prompts.length)

  const verbs: Pick<Policy, "logprobs" | "divergences" | "backward"> = {
    logprobs: (batch, { retain = false, temperature = 1 } = {}) => {
      const offsets = offsetsOf(batch)
      const total = offsets[batch.length]!
      const [logps, entropies] = [new Float64Array(total), new Float64Array(total)]
      const choices: Array<{ at: number; token: number }> = []
      batch.forEach((row, i) => {
        const path = states(row)
        ownTokens(row).forEach((token, t) => {
          const at = rowAt(path[t]!)
          choices.push({ at, token })
          const all = at < 0 ? null : choose(at, temperature)
          logps[offsets[i]! + t] = all === null ? givenLogp(token) : all[token]!
          entropies[offsets[i]! + t] = all === null ? -givenLogp(token) : entropy(all)
        })
      })
      const pull = (i: number): Float64Array =>
        choose(choices[i]!.at, temperature)
          .map((logp, a) => ((a === choices[i]!.token ? 1 : 0) - Math.exp(logp)) / temperature)
      retained.keep(retain ? { at: choices.map(({ at }) => at), pull } : undefined)
      return { logps, entropies, offsets }
    },
    divergences: (batch, teacher, divergence, options) => {
      const theirs = (teacher as Partial<TabularPolicy>).logits
      if (theirs?.length !== table.values.length) throw new Error(`the teacher is no policy of ${world.name}`)
      const at = batch.flatMap((row) => states(row).slice(0, -1).map(rowAt))
      const between = (i: number, gradient: Float64Array | null): number =>
        divergence(
          logSoftmax(table.values, at[i]!, tree.actions),
          logSoftmax(theirs, at[i]!, tree.actions),
          gradient
        )
      const pull = (i: number): Float64Array => {
        const gradient = new Float64Array(tree.actions)
        between(i, gradient)
        return gradient
      }
      retained.keep(options?.retain === true ? { at, pull } : undefined)
      // Where a token is given and not chosen, the two agree.
      return { values: Float64Array.from(at, (from, i) => from < 0 ? 0 : between(i, null)), offsets: offsetsOf(batch) }
    },
    backward: (dTokens) => {
      const { at, pull } = retained.take()
      if (dTokens.length !== at.length) throw new Error(`${dTokens.length} gradients for ${at.length} tokens`)
      at.forEach((from, i) => {
        if (from < 0) return
        const gradient = pull(i)
        for (let a = 0; a < tree.actions; a++) table.gradient[from + a]! += dTokens[i]! * gradient[a]!
      })
    }
  }

  return {
    ...model(world, table, () => policyWeights(world, table.values.slice())),
    ...verbs,
    learn: (batch, gradientOf) => {
      const out = verbs.logprobs(batch, { retain: true })
      verbs.backward(gradientOf(out.logps, 0))
      return out
    },
    logits: table.values,
    sample: (prompts, sampling, seeds) =>
      prompts.map((prompt, i): Sampled => {
        const random = stream(seeds[i]!)
        const [completion, logps]: [Array<number>, Array<number>] = [[], []]
        let state = after(prompt)
        if (state.prompt < 0) throw new Error(`a prompt of ${world.name} is one of: ${world.prompts.join(" ")}`)
        let finished = false
        while (!finished && completion.length < sampling.maxNewTokens && state.node < tree.contexts) {
          const at = rowAt(state)
          const token = draw(distribution(table.values.subarray(at, at + tree.actions), sampling), random.next())
          completion.push(token)
          logps.push(logSoftmax(table.values, at, tree.actions)[token]!)
          finished = sampling.stop.includes(token) || sampling.ends?.(Int32Array.from(completion)) === true
          state = after(Int32Array.of(token), state)
        }
        return { completion: Int32Array.from(completion), logps: Float64Array.from(logps), finished }
      })
  }
}

const scorer = (world: World, weights: Weights): Scorer => {
  checkWorld(world, weights)
  const { states, tree } = walker(world)
  const length = world.prompts.length * tree.nodes
  const kept = weights.tensors.has("scores") ? tensorOf(weights, "scores", length) : new Float64Array(length)
  const table = parameters("scores", [length], kept)
  const retained = once<ReadonlyArray<number>>()

  return {
    ...model(world, table, () => scorerWeights(world, table.values.slice())),
    values: (batch, options) => {
      const offsets = offsetsOf(batch, 1)
      const at = batch.flatMap((row) => states(row).map((s) => s.prompt < 0 ? -1 : s.prompt * tree.nodes + s.node))
      retained.keep(options?.retain === true ? at : undefined)
      return { values: Float64Array.from(at, (index) => index < 0 ? 0 : table.values[index]!), offsets }
    },
    backward: (dValues) => {
      const at = retained.take()
      if (dValues.length !== at.length) throw new Error(`${dValues.length} gradients for ${at.length} positions`)
      at.forEach((index, i) => {
        if (index >= 0) table.gradient[index]! += dValues[i]!
      })
    }
  }
}
