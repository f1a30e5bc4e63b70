import type { Weights } from "../engine/engine.ts"
import type { Dataset } from "../data/dataset.ts"
import type { Report, Sample } from "./report.ts"

/** The result of a node. */
export type Made =
  | { readonly _tag: "Model"; readonly weights: Weights }
  | { readonly _tag: "Data"; readonly dataset: Dataset }
  | { readonly _tag: "Report"; readonly report: Report; readonly samples?: ReadonlyArray<Sample> }
  /** The models of a reward, which are kept; a reward itself is not. */
  | { readonly _tag: "Reward"; readonly models: ReadonlyArray<Weights> }
  /** Several results by their names, each kept for itself. */
  | { readonly _tag: "Outputs"; readonly outputs: Readonly<Record<string, Made>> }
  /** log π of whole rows under a frozen model, nats, by the content hash of the row. */
  | {
    readonly _tag: "Logps"
    readonly logps: ReadonlyMap<string, number>
    /** The key of the stage that computed them, which has spent what they took. */
    readonly by: string
  }
