import type { Random } from "../../sampling/random.ts"
import { language } from "./checkpoint.ts"
import { type DataOptions, finishedMass, pick, rows } from "./data.ts"
import { completions, logDistribution, rewardTable } from "./exact.ts"
import type { World } from "./world.ts"

/**
 * Judged answers of a world, drawn from exact distributions as in `data.ts`: the judge sees the gold reward and follows
 * the models that the losses assume. All completions are finished and not empty.
 */
const judged = <A>(
  world: World,
  role: string,
  options: DataOptions,
  row: (prompt: number, another: () => number, random: Random) => A
): ReadonlyArray<A> => {
  const all = completions(world)
  const mass = finishedMass(world, logDistribution(world, options.policy ?? language(world)))
    .map((of) => of.map((x, n) => all[n]!.text === "" ? 0 : x))
  if (mass.some((of) => !(of.reduce((sum, x) => sum + x, 0) > 0))) {
    throw new Error("the world has too few completions: give it a longer horizon")
  }
  return rows(world, role, options, (p, random) => row(p, () => pick(mass[p]!, random.next()), random))
}

/** `size` completions of each prompt (default 4), ranked by Plackett–Luce with the gold reward: by gold + Gumbel noise (Yellott 1977). */
export const rankings = (world: World, options: DataOptions & { readonly size?: number }) => {
  const [all, gold] = [completions(world), rewardTable(world)]
  return judged(world, "rankings", options, (p, another, random) => {
    const ranked = Array.from({ length: options.size ?? 4 }, () => {
      const n = another()
      return { n, strength: gold[p]![n]! - Math.log(-Math.log(1 - random.next())) }
    }).sort((a, b) => b.strength - a.strength)
    return {
      prompt: world.prompts[p]!,
      completions: ranked.map(({ n }) => all[n]!.text),
      ranks: ranked.map((_, i) => i + 1)
    }
  })
}

/** One completion of each prompt, right with probability σ(gold): the log-odds of being right are the gold reward. */
export const unpaired = (world: World, options: DataOptions) => {
  const [all, gold] = [completions(world), rewardTable(world)]
  return judged(world, "unpaired", options, (p, another, random) => {
    const n = another()
    return {
      prompt: world.prompts[p]!,
      completion: all[n]!.text,
      label: random.next() < 1 / (1 + Math.exp(-gold[p]![n]!))
    }
  })
}

/** Every letter is a step; a step is right when it does not lower the gold reward of the text so far. */
export const stepwise = (world: World, options: DataOptions) => {
  const all = completions(world)
  return judged(world, "stepwise", options, (p, another) => {
    const prompt = world.prompts[p]!
    const steps = all[another()]!.text.split(" ")
    const upTo = (n: number): number => world.gold(prompt, steps.slice(0, n).join(" "))
    return { prompt, completions: steps, labels: steps.map((_, i) => upTo(i + 1) >= upTo(i)) }
  })
}
