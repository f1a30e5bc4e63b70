import type { Effect } from "effect"
import { Context } from "effect"
import type { Origin } from "../../dsl/Source.ts"
import type { BadData } from "./badData.ts"
import type { Chat } from "./formats.ts"
import type {
  DemonstrationRow,
  PreferenceRow,
  PromptRow,
  RankingRow,
  StepwiseRow,
  TextRow,
  UnpairedRow
} from "./rows.ts"

/** A loaded data set. */
export type Dataset =
  | {
    readonly role: "Text"
    readonly rows: ReadonlyArray<TextRow>
    /** Words that a tokenizer made from this text must have, besides those in it. */
    readonly vocabulary: ReadonlyArray<string>
  }
  | { readonly role: "Prompts"; readonly rows: ReadonlyArray<PromptRow> }
  | { readonly role: "Demonstrations"; readonly rows: ReadonlyArray<DemonstrationRow> }
  | { readonly role: "Preferences"; readonly rows: ReadonlyArray<PreferenceRow> }
  | { readonly role: "Rankings"; readonly rows: ReadonlyArray<RankingRow> }
  | { readonly role: "UnpairedPreferences"; readonly rows: ReadonlyArray<UnpairedRow> }
  | { readonly role: "Stepwise"; readonly rows: ReadonlyArray<StepwiseRow> }

export type Role = Dataset["role"]

/** Where the rows of a `Source` come from: files and built-in tasks in `run`, the tabular world in `simulate`. */
export class Datasets extends Context.Service<Datasets, {
  /** `chat` renders the conversations of a data set that has them, with the template of the model that will read it. */
  readonly load: (role: Role, origin: Origin, chat: Chat) => Effect.Effect<Dataset, BadData>
}>()("keel/Datasets") {}
