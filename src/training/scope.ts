import type { Resource } from "../../dsl/Budget.ts"
import type { Lora, Weights } from "../engine/engine.ts"
import type { KlCap } from "../../dsl/KlCap.ts"
import type { Measurement } from "../store/runLog.ts"
import type { Measuring } from "../../dsl/KlSpending.ts"
import type { PromptRow } from "../data/rows.ts"
import type { Spent } from "../store/spent.ts"

/** A KL cap with the weights of its initial model, and their key. */
export interface OpenKlCap extends KlCap {
  readonly initial: Weights
  readonly key: string
}

/** A cap on the total spending of several stages. */
export interface TotalLimit {
  readonly limits: Readonly<Partial<Record<Resource, number>>>
  /** Spending of the other stages so far, in any run. */
  readonly others: () => ReadonlyArray<Spent>
}

/** The name and limits of a running stage. */
export interface Scope {
  /** The key of its checkpoints in the store: a digest of everything that decides its weights. */
  readonly key: string
  /** Seeds all its randomness, as `${stream}/${step}/${sample}`; equal in variants of a pipeline (`interpreters/streams.ts`). */
  readonly stream: string
  /** The name of the stage in logs and files. */
  readonly label: string
  /** Takes the KL measurements of the stage, those of its earlier processes too; `from` is the key of the initial model. */
  readonly measured?: Array<Measurement>
  /** Adapters that the stage trains; all weights are trained when left out. */
  readonly lora?: Omit<Lora, "seed">
  /** In the units of `dsl/Budget.ts`; a resource without a cap is left out, or `Infinity`. */
  readonly limits: Readonly<Partial<Record<Resource, number>>> & {
    readonly kl: ReadonlyArray<OpenKlCap>
    /** How KL is measured in a stage under a cap that has no held prompts of its own. */
    readonly measured?: Measuring & { readonly held: ReadonlyArray<PromptRow> }
    readonly totals?: ReadonlyArray<TotalLimit>
  }
}
