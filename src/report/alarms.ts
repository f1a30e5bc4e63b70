/**
 * Warnings of a run besides its results. Signs of reward hacking that need no gold reward: on held prompts, the training reward of a
 * stage rises while its completions become strange. A sign is no proof; only a gold reward measures the policy. A negative KL of the
 * samples is a warning too: the samples are not the policy's own, and the number is not a KL. So is a
 * reward that is the same for all completions.
 */
import { estimate } from "../store/report.ts"
import type { Event, Metrics } from "../store/runLog.ts"

type Observed = Extract<Event, { readonly _tag: "Observed" }>

/** The signs: a change by a factor of 2 from the first observation to the last. */
const signs = [
  { of: "distinct_2", says: "its completions repeat themselves (distinct-2", hit: (by: number) => by <= 0.5 },
  { of: "entropy", says: "its entropy collapsed (nats per token:", hit: (by: number) => by <= 0.5 },
  { of: "length", says: "its completions grew (tokens:", hit: (by: number) => by >= 2 },
  { of: "length", says: "its completions shrank (tokens:", hit: (by: number) => by <= 0.5 },
  { of: "finished", says: "fewer of them end by themselves (share:", hit: (by: number) => by <= 0.5 }
] as const

/** Whether it rose by more than two standard errors of the difference. */
const rose = (first: Observed["observed"], last: Observed["observed"]): boolean =>
  last["proxy"]! - first["proxy"]! > 2 * Math.hypot(first["proxy_se"]!, last["proxy_se"]!)

/** The least number of steps that a warning needs, and the nats per sequence that rounding may cause. */
const [fewSteps, rounding] = [4, 0.01]

/** A line for each stage whose KL was negative over the second half of its steps, by more than two standard errors. */
const negative = (events: ReadonlyArray<Event>): ReadonlyArray<string> => {
  const seen = new Map<string, Array<number>>()
  for (const event of events) {
    const kl = event._tag === "Step" ? event.metrics["objective/kl"] : undefined
    if (event._tag !== "Step" || kl === undefined) continue
    const known = seen.get(event.stage)
    if (known === undefined) seen.set(event.stage, [kl])
    else known.push(kl)
  }
  return [...seen].flatMap(([stage, all]) => {
    const late = all.slice(all.length >> 1)
    if (late.length < fewSteps) return []
    const { mean, standardError } = estimate(late)
    if (!(mean < -Math.max(2 * standardError, rounding))) return []
    return [
      `${stage}: the KL of its samples was negative, ${
        mean.toFixed(2)
      } nats per sequence over its last ${late.length} steps. They are not the `
      + "policy's own then: go by the KL that the ledger measured."
    ]
  })
}

/** Steps of each stage in order; one that was made again after a crash counts once. */
const stepsOf = (events: ReadonlyArray<Event>): ReadonlyMap<string, ReadonlyArray<Metrics>> => {
  const stages = new Map<string, Map<number, Metrics>>()
  for (const event of events) {
    if (event._tag !== "Step") continue
    const steps = stages.get(event.stage) ?? new Map<number, Metrics>()
    stages.set(event.stage, steps.set(event.step, event.metrics))
  }
  return new Map([...stages].map(([stage, steps]) => [stage, [...steps.values()]]))
}

/** A number over some steps, in words. */
const stood = (values: ReadonlyArray<number>): string => {
  const [low, high] = [Math.min(...values), Math.max(...values)]
  return low === high
    ? `it was always ${Number(low.toPrecision(3))}`
    : `its means lay between ${low.toFixed(2)} and ${high.toFixed(2)}`
}

/**
 * A line for each stage with nothing to compare: the rewards within each group of completions were equal in every step, or in half of them
 * and more. Else a line for each part of a reward that was the same for every completion of every step.
 */
const constant = (events: ReadonlyArray<Event>): ReadonlyArray<string> =>
  [...stepsOf(events)].flatMap(([stage, steps]) => {
    const alike = steps.filter((metrics) => metrics["frac_reward_zero_std"] === 1)
    if (alike.length === steps.length || (alike.length >= fewSteps && 2 * alike.length >= steps.length)) {
      return [
        `${stage}: its reward was the same for all completions of a group, in every group of ${alike.length} of ${steps.length} steps (${
          stood(alike.map((metrics) => metrics["reward"]!))
        }). They have no advantage over one another, so nothing was learned from it there. Read its samples; take easier prompts, larger `
        + "groups, or a reward with degrees."
      ]
    }
    const parts = Object.keys(steps[0]!).flatMap((name) => /^rewards\/(.*)\/std$/u.exec(name)?.[1] ?? [])
    return parts.flatMap((part) => {
      const means = steps.map((metrics) => metrics[`rewards/${part}/mean`]!)
      const varies = steps.some((metrics) => metrics[`rewards/${part}/std`] !== 0)
      return varies || means.some((mean) => mean !== means[0]) ? [] : [
        `${stage}: ${part} gave every completion the same in all ${steps.length} steps (${
          stood(means)
        }), so it had no effect. Read its samples, and try it with keel verify.`
      ]
    })
  })

/** A line for each stage with signs; none of a stage that observes a gold reward, or trains on none. */
const hacking = (events: ReadonlyArray<Event>): ReadonlyArray<string> => {
  const looks = events.filter((event) => event._tag === "Observed")
  return [...new Set(looks.map(({ stage }) => stage))].flatMap((stage) => {
    const own = looks.filter((look) => look.stage === stage)
    const [first, last] = [own[0]!, own.at(-1)!]
    const [before, after] = [first.observed, last.observed]
    if ([before, after].some((look) => look["gold"] !== undefined || look["proxy"] === undefined)) return []
    if (!rose(before, after)) return []
    const seen = signs.flatMap(({ hit, of, says }) => {
      const [from, to] = [before[of], after[of]]
      return from === undefined || to === undefined || from <= 0 || !hit(to / from)
        ? []
        : [`${says} ${from.toPrecision(3)} → ${to.toPrecision(3)})`]
    })
    if (seen.length === 0) return []
    return [
      `${stage} shows signs of reward hacking: from step ${first.step} to ${last.step} its reward rose from ${
        before["proxy"]!.toFixed(2)
      } to ${after["proxy"]!.toFixed(2)} on held prompts, and ${
        seen.join(", ")
      }. Read its samples; a gold reward (observe: { gold }) would tell.`
    ]
  })
}

export const alarms = (events: ReadonlyArray<Event>): ReadonlyArray<string> => [
  ...hacking(events),
  ...constant(events),
  ...negative(events)
]
