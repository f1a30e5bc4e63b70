/** Compares the caps on spending with a plan. Memory is not spent: see `fits`. */
import * as Artifact from "../../dsl/Artifact.ts"
import { type Resource } from "../../dsl/Budget.ts"
import { shown } from "../../dsl/Errors.ts"
import { label } from "../../dsl/Render.ts"
import { amountOf, nothingSpent, type Price, type Spent } from "../store/spent.ts"
import { capsIn } from "../interpreters/capsOf.ts"
import type { StagePlan } from "./plan.ts"

export interface OverCap {
  /** The stage of a cap of its own, or all planned stages that share a cap. */
  readonly stages: ReadonlyArray<string>
  readonly resource: Resource
  /** In the unit of `Budget.units`, as the cap. */
  readonly planned: number
  readonly cap: number
}

/** The plan sees only a few steps: its prompts and disk are lower bounds. */
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

/** The part of a stage's plan that is spent. */
export type Spending = Pick<
  StagePlan,
  "stage" | "generated" | "trained" | "judge" | "flops" | "seconds" | "prompts" | "disk"
>

const spentBy = ({ disk, flops, generated, judge, seconds, trained }: Spending): Spent => ({
  ...nothingSpent,
  generated,
  trained,
  asked: judge?.tokens ?? 0,
  fees: judge?.fees ?? 0,
  flops,
  disk: disk.made,
  milliseconds: Math.round(1000 * (seconds ?? 0))
})

const most = (of: ReadonlyArray<Spending>, amount: (one: Spending) => number): number => Math.max(0, ...of.map(amount))

/** The planned use of a resource by several stages together. */
const together = (resource: typeof known[number], of: ReadonlyArray<Spending>, price: Price | null): number => {
  // The stages may all use the same prompts.
  if (resource === "prompts") return most(of, ({ prompts }) => prompts)
  const spent = amountOf(resource, of.map(spentBy), price)
  // Disk in use during a stage is added for one stage at a time.
  return resource === "disk" ? spent + most(of, ({ disk }) => disk.most - disk.made) : spent
}

/** Every cap that the plan passes; caps on time and money need known costs. */
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

/** A passed cap as text, with the remedy; money is in the `currency`. */
export const overCapText = ({ cap, planned, resource, stages }: OverCap, currency?: string): string => {
  const amount = (n: number): string => shown(resource, n, currency)
  const [first] = stages
  const who = stages.length === 1 ? `${first} is` : `${first} and ${stages.length - 1} more are together`
  return `${who} planned to take ${atLeast(resource)}${amount(planned)}, and the cap is ${amount(cap)}: ` +
    `raise the cap, or ${lower(resource)}.`
}
