import { draw } from "../../sampling/draw.ts"
import { type Random, stream } from "../../sampling/random.ts"
import type { Weights } from "../engine.ts"
import { language } from "./checkpoint.ts"
import { completions, logDistribution, rewardTable, type Table } from "./exact.ts"
import type { World } from "./world.ts"

/**
 * A world's data, drawn from exact distributions. Row i depends on the world, the role, `seed` and i alone: further
 * rows leave the earlier rows unchanged. All completions in data are finished (a text cannot show that it was cut off).
 */
export interface DataOptions {
  readonly count: number
  readonly seed: string
  /** The policy of the completions; default: the world's language. */
  readonly policy?: Weights
}

export interface Demonstration {
  readonly prompt: string
  readonly completion: string
}

export interface Preference {
  readonly prompt: string
  readonly chosen: string
  readonly rejected: string
}

/** Whether a completion is better than its prompt's mean: the verdict of verifiers in a world without words. */
export const passesChecks = (world: World): (prompt: string, completion: string) => boolean => {
  const means = rewardTable(world).map((of) => of.reduce((sum, r) => sum + r, 0) / of.length)
  return (prompt, completion) => world.gold(prompt, completion) > means[world.prompts.indexOf(prompt)]!
}

/** exp of a log-probability table, on finished completions only; not normalised. */
export const finishedMass = (world: World, logps: Table): Table => {
  const all = completions(world)
  return logps.map((of) => of.map((logp, n) => all[n]!.finished ? Math.exp(logp) : 0))
}

/** An index drawn in proportion to `mass`. */
export const pick = (mass: Float64Array, u: number): number => {
  const total = mass.reduce((sum, x) => sum + x, 0)
  if (!(total > 0)) throw new Error("the world has too few completions: give it a larger vocab or horizon")
  return draw(mass.map((x) => x / total), u)
}

/** Row i from the number of its prompt and a stream of its own. */
export const rows = <A>(
  world: World,
  role: string,
  { count, seed }: DataOptions,
  row: (prompt: number, random: Random) => A
): ReadonlyArray<A> =>
  Array.from({ length: count }, (_, i) => {
    const random = stream(`${world.seed}/${role}/${seed}/${i}`)
    return row(random.int(world.prompts.length), random)
  })

export const prompts = (world: World): ReadonlyArray<string> => world.prompts

/** Every prompt with its best completion, as the answer for a verifier. */
export const answered = (world: World): ReadonlyArray<{ readonly prompt: string; readonly answer: string }> => {
  const texts = completions(world).map(({ text }) => text)
  return rewardTable(world).map((of, p) => ({ prompt: world.prompts[p]!, answer: texts[of.indexOf(Math.max(...of))]! }))
}

/** Texts for pretraining, `"p0 a b"`: a prompt and the policy's completion. */
export const text = (world: World, options: DataOptions): ReadonlyArray<string> => {
  const mass = finishedMass(world, logDistribution(world, options.policy ?? language(world)))
  const all = completions(world)
  return rows(world, "text", options, (p, random) => {
    const completion = all[pick(mass[p]!, random.next())]!.text
    return completion === "" ? world.prompts[p]! : `${world.prompts[p]} ${completion}`
  })
}

/**
 * Texts of a careful writer: completions from policy · exp(gold / temperature), so better than the policy's own and not
 * yet the best. Lower `temperature`, better demonstrations.
 */
export const demonstrations = (
  world: World,
  options: DataOptions & { readonly temperature?: number }
): ReadonlyArray<Demonstration> => {
  const gold = rewardTable(world)
  const base = logDistribution(world, options.policy ?? language(world))
  const mass = finishedMass(world, base.map((of, p) => of.map((x, n) => x + gold[p]![n]! / (options.temperature ?? 1))))
  const all = completions(world)
  return rows(world, "demonstrations", options, (p, random) => ({
    prompt: world.prompts[p]!,
    completion: all[pick(mass[p]!, random.next())]!.text
  }))
}

/**
 * Two different completions of the policy, compared by a labeler who follows Bradley–Terry with the gold reward:
 * P(first chosen) = σ((gold₁ − gold₂) / temperature). Lower `temperature`, fewer mistakes.
 */
export const preferences = (
  world: World,
  options: DataOptions & { readonly temperature?: number }
): ReadonlyArray<Preference> => {
  const gold = rewardTable(world)
  const mass = finishedMass(world, logDistribution(world, options.policy ?? language(world)))
  const all = completions(world)
  return rows(world, "preferences", options, (p, random) => {
    const first = pick(mass[p]!, random.next())
    const second = pick(mass[p]!.map((x, n) => n === first ? 0 : x), random.next())
    const logit = (gold[p]![first]! - gold[p]![second]!) / (options.temperature ?? 1)
    const [chosen, rejected] = random.next() < 1 / (1 + Math.exp(-logit)) ? [first, second] : [second, first]
    return { prompt: world.prompts[p]!, chosen: all[chosen]!.text, rejected: all[rejected]!.text }
  })
}
