/** The common part of operations on data, which turn rows of any kind into rows of the same kind. */
import * as Artifact from "./Artifact.ts"
import type { Compute } from "./Budget.ts"
import type { BudgetExceeded, UnusableData } from "./Errors.ts"
import type { Connected, Given, Wire } from "./Wires.ts"

/** A wire that takes rows of any kind. */
export const rows = <const N extends string>(needs: N) =>
  ({ kinds: Artifact.rowKinds, needs, model: false, optional: false }) as const satisfies Wire

/** An operation that makes rows of the kind that came in on `of`, no more than these. */
export const kept = {
  makes: (_: unknown, { of }: Connected) => ({ kind: of?.node.kind ?? "Prompts", family: "" }),
  rows: "of",
  candidates: "of"
} as const

/** The errors of sampling, scoring and choosing. */
export type DataError = UnusableData | BudgetExceeded

/** The result of an operation on data with the wires `W`: rows, or a report. `X` is needed from outside; `E` are further errors. */
export type Computed<W, K extends Artifact.Kind, X extends string = never, E = never> = Artifact.Output<
  W,
  K,
  "",
  Compute,
  0,
  DataError | E,
  X
>

/** The type of rows of the kind that came in on `of`. */
export type SameAs<W extends Given> = Computed<W, Artifact.KindOf<W["of"]>>
