/**
 * Signs of reward hacking that can be seen without a gold reward: on held prompts the reward that a stage trains on rises while its
 * completions become strange. A sign is not a proof: what the policy is worth only a gold reward says.
 */
import type { Event } from "../store/runLog.ts"

type Observed = Extract<Event, { readonly _tag: "Observed" }>

/** What becomes strange: by a factor of 2 from the first look to the last. */
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

/** A line for each stage with signs; none of a stage that observes a gold reward, or trains on none. */
export const alarms = (events: ReadonlyArray<Event>): ReadonlyArray<string> => {
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
