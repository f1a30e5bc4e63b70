/**
 * Budgets: what a pipeline may spend. Amounts are integers in the unit of their name. A stage's type says which dimensions it
 * spends; `Pipeline.cap` closes them. KL must be capped before a pipeline can run; the others may stay open, visibly.
 */
import { Schema } from "effect"
import { KlAmount } from "./Kl.ts"

export type Dimension = "kl" | "tokens" | "memory" | "seconds"

/** What a training or sampling stage spends. */
export type Compute = "tokens" | "memory" | "seconds"

const Amount = Schema.Natural.check(Schema.isGreaterThan(0, { message: "a cap must be above 0" }))

/**
 * Caps on the artefacts between the initial model (wire `from`) and the capped artefact.
 *
 * - `kl`: measured KL from the initial model, mean over held prompts, milli-nats per sequence.
 * - `tokens`: tokens generated plus tokens trained on, per stage.
 * - `memory`: bytes held by the engine at any one time.
 * - `seconds`: wall-clock of one stage.
 */
export class Caps extends Schema.Class<Caps>("Caps")({
  kl: Schema.optionalKey(KlAmount.check(Schema.makeFilter((kl) => kl.mnats > 0 || "a KL cap must be above 0 mnats"))),
  tokens: Schema.optionalKey(Amount),
  memory: Schema.optionalKey(Amount),
  seconds: Schema.optionalKey(Amount)
}) {}

export const KiB = (n: number): number => n * 1024
export const MiB = (n: number): number => n * 1024 ** 2
export const GiB = (n: number): number => n * 1024 ** 3
