import type { Resource } from "../../dsl/Budget.ts"
import type { Lora, Weights } from "../engine/engine.ts"
import type { KlCap } from "../../dsl/KlCap.ts"
import type { Spent } from "../store/spent.ts"

/** A KL cap with the weights of its initial model. */
export interface OpenKlCap extends KlCap {
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
    readonly kl: ReadonlyArray<OpenKlCap>
    readonly totals?: ReadonlyArray<TotalLimit>
  }
}
