import type { Resource } from "../../dsl/Budget.ts"
import type { Lora, Weights } from "../engine/engine.ts"
import type { Spent } from "../store/spent.ts"

/** A KL cap that governs a stage, with the initial model that it is measured from. */
export interface KlLimit {
  /** Of the mean over held prompts, milli-nats per sequence. */
  readonly mnats: number
  /** Of the 95th percentile and the largest over held prompts. */
  readonly p95?: number
  readonly max?: number
  /** What happens when one is passed; `stop` when left out. */
  readonly whenSpent?: "stop" | "rollback" | "warn"
  readonly from: string
  readonly initial: Weights
}

/** A cap on what several stages spend together. */
export interface TotalLimit {
  readonly limits: Readonly<Partial<Record<Resource, number>>>
  /** What was spent on the others so far, whenever that was. */
  readonly others: () => ReadonlyArray<Spent>
}

/** Under which name and limits a stage runs. */
export interface Scope {
  /** Content hash of the stage and its limits: cache key, and the seed of all its randomness. */
  readonly key: string
  /** How logs and files call it. */
  readonly label: string
  /** What the models that it trains are trained as: adapters, or all of their weights when left out. */
  readonly lora?: Omit<Lora, "seed">
  /** In the units of `dsl/Budget.ts`; a resource without a cap is left out, or `Infinity`. */
  readonly limits: Readonly<Partial<Record<Resource, number>>> & {
    readonly kl: ReadonlyArray<KlLimit>
    readonly totals?: ReadonlyArray<TotalLimit>
  }
}
