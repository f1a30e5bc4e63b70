import { stream } from "../../sampling/random.ts"

/** Ends a completion. */
export const END = "</s>"

/** A world as JSON; with the family's rule for the gold reward it is complete. */
export interface WorldSpec {
  readonly name: string
  /** One token each. */
  readonly prompts: ReadonlyArray<string>
  /** Completion tokens; the last is `</s>`. */
  readonly vocabulary: ReadonlyArray<string>
  /** Longest completion in tokens, `</s>` included. */
  readonly horizon: number
}

/**
 * A finite world: every prompt, every completion and the true worth of every pair are known, so policies, KL, optima
 * and gradients can be computed exactly (exact.ts). A completion is at most `horizon` tokens and ends with the first
 * `</s>`; a completion of `horizon` tokens without it is cut off, as at a real model's length limit. Texts are token
 * names joined by spaces and do not show `</s>`: a text shorter than the horizon has ended.
 */
export interface World extends WorldSpec {
  /** The true reward. Pure and total. */
  readonly gold: (prompt: string, completion: string) => number
  /** The key of every random choice about this world. */
  readonly seed: string
}

/** a, b, … z, then a1, b1, … */
const letter = (i: number): string => String.fromCharCode(97 + i % 26) + (i < 26 ? "" : String(Math.floor(i / 26)))

/**
 * The built-in family. Per prompt, each token has a worth that depends on the prompt and on its place, and each pair of
 * neighbours an interaction (so the best completion is not the best token at each place); being cut off costs 1. All
 * worths are drawn from the seed, independently of the world's language (`language` in checkpoint.ts): the reward can
 * be learned only from demonstrations, preferences or rewards.
 *
 * `prompts` prompts, `vocab` completion tokens (`</s>` included, so at least 2), `horizon` tokens at most. There are
 * (L^(horizon + 1) − 1) / (L − 1) completions of a prompt for L = vocab − 1: keep it in the thousands.
 */
export const world = (options: {
  readonly prompts: number
  readonly vocab: number
  readonly horizon: number
  readonly seed: string
}): World => {
  const { horizon, seed } = options
  const letters = options.vocab - 1
  if (!(options.prompts >= 1 && letters >= 1 && horizon >= 1)) {
    throw new Error("a world needs at least 1 prompt, a vocab of 2 (one token and </s>) and a horizon of 1")
  }
  const prompts = Array.from({ length: options.prompts }, (_, i) => `p${i}`)
  const names = Array.from({ length: letters }, (_, i) => letter(i))
  const random = stream(`${seed}/gold`)
  const draws = (length: number): Float64Array => Float64Array.from({ length }, () => random.normal())
  const worth = draws(options.prompts * horizon * letters)
  const pair = draws(options.prompts * letters * letters)

  const gold = (prompt: string, completion: string): number => {
    const p = prompts.indexOf(prompt)
    const tokens = completion === "" ? [] : completion.split(" ").map((name) => names.indexOf(name))
    if (p < 0 || tokens.includes(-1) || tokens.length > horizon) {
      throw new Error(`not a prompt and a completion of this world: ${JSON.stringify([prompt, completion])}`)
    }
    let reward = tokens.length === horizon ? -1 : 0
    tokens.forEach((token, t) => {
      reward += 0.5 * worth[(p * horizon + t) * letters + token]!
      if (t > 0) reward += 0.5 * pair[(p * letters + tokens[t - 1]!) * letters + token]!
    })
    return reward
  }
  const name = `world-${options.prompts}-${options.vocab}-${horizon}-${seed}`
  return { name, prompts, vocabulary: [...names, END], horizon, seed, gold }
}
