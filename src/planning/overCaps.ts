/** Caps on what is spent, held against a plan. Memory, which is held and not spent, has its own answer: `fits`. */
import * as Artifact from "../../dsl/Artifact.ts"
import { type Resource } from "../../dsl/Budget.ts"
import { shown } from "../../dsl/Errors.ts"
import { label } from "../../dsl/Render.ts"
import { amountOf, nothingSpent, type Price, type Spent } from "../store/spent.ts"
import { capsIn } from "../interpreters/capsOf.ts"
import type { StagePlan } from "./plan.ts"

export interface OverCap {
  /** One where the cap is its own, all that were planned where they share it. */
  readonly stages: ReadonlyArray<string>
  readonly resource: Resource
  /** In the unit of `Budget.units`, as the cap. */
  readonly planned: number
  readonly cap: number
}

/** Of prompts and disk at least so much: it sees a few steps, and no rows. */
const known = [
  "tokens",
  "generated",
  "trained",
  "flops",
  "seconds",
  "money",
  "prompts",
  "disk"
] as const satisfies ReadonlyArray<Resource>

/** What a plan says of a stage that is spent. */
export type Spending = Pick<StagePlan, "stage" | "generated" | "trained" | "flops" | "seconds" | "prompts" | "disk">

const spentBy = ({ disk, flops, generated, seconds, trained }: Spending): Spent => ({
  ...nothingSpent,
  generated,
  trained,
  flops,
  disk: disk.made,
  milliseconds: Math.round(1000 * (seconds ?? 0))
})

const most = (of: ReadonlyArray<Spending>, amount: (one: Spending) => number): number => Math.max(0, ...of.map(amount))

/** How much of a resource several stages are planned to spend together. */
const together = (resource: typeof known[number], of: ReadonlyArray<Spending>, price: Price | null): number => {
  // They may all be the same ones.
  if (resource === "prompts") return most(of, ({ prompts }) => prompts)
  const spent = amountOf(resource, of.map(spentBy), price)
  // Besides what is made, what one stage at a time has while it is being made.
  return resource === "disk" ? spent + most(of, ({ disk }) => disk.most - disk.made) : spent
}

/** Every cap that is passed by what is planned; of time and money only where somebody says what work costs. */
export const overCaps = (
  root: Artifact.Any,
  stages: ReadonlyArray<Spending>,
  price: Price | null
): ReadonlyArray<OverCap> => {
  const limits = capsIn(root)
  const plans = new Map(stages.map((stage) => [stage.stage, stage]))
  const planned = Artifact.lineage(root).flatMap((artifact) => {
    const plan = plans.get(label(artifact))
    return plan === undefined ? [] : [{ id: artifact.id, limits: limits(artifact), plan }]
  })
  const over = (of: ReadonlyArray<Spending>, caps: Readonly<Partial<Record<Resource, number>>>) =>
    known.flatMap((resource): ReadonlyArray<OverCap> => {
      const cap = caps[resource] ?? Infinity
      const amount = cap === Infinity ? 0 : Math.ceil(together(resource, of, price))
      return amount <= cap ? [] : [{ stages: of.map(({ stage }) => stage), resource, planned: amount, cap }]
    })
  const totals = new Map(planned.flatMap(({ limits }) => limits.totals.map((total) => [total.id, total])))
  return [
    ...planned.flatMap(({ limits, plan }) => over([plan], limits)),
    ...[...totals.values()].flatMap(({ limits, of }) =>
      over(planned.filter(({ id }) => of.has(id)).map(({ plan }) => plan), limits)
    )
  ]
}

const atLeast = (resource: Resource): string => resource === "prompts" || resource === "disk" ? "at least " : ""

const lower = (resource: Resource): string => {
  switch (resource) {
    case "disk":
      return "make no checkpoint on the way, which holds the optimiser's moments too (checkpointEvery not below the steps)"
    case "prompts":
      return "take fewer steps or prompts"
    default:
      return "take fewer steps, rows or new tokens"
  }
}

/** In words, with the remedy. */
export const overCapText = ({ cap, planned, resource, stages }: OverCap, price: Price | null): string => {
  const amount = (n: number): string => shown(resource, n, price?.currency)
  const [first] = stages
  const who = stages.length === 1 ? `${first} is` : `${first} and ${stages.length - 1} more are together`
  return `${who} planned to take ${atLeast(resource)}${amount(planned)}, and the cap is ${amount(cap)}: ` +
    `raise the cap, or ${lower(resource)}.`
}
