import type * as Effect from "effect/Effect"
import * as Context from "effect/Context"
import type { Origin } from "../../dsl/Source.ts"
import type { About } from "./about.ts"
import type { BadData } from "./badData.ts"
import type { Chat } from "./messages.ts"
import type * as rows from "./rows.ts"

/** A loaded data set; of one that was read from files, what was read. */
export type Dataset =
  & { readonly about?: About }
  & (
    | {
      readonly role: "Text"
      readonly rows: ReadonlyArray<rows.TextRow>
      /** Words that a tokenizer made from this text must have, besides those in it. */
      readonly vocabulary: ReadonlyArray<string>
    }
    | { readonly role: "Prompts"; readonly rows: ReadonlyArray<rows.PromptRow> }
    | { readonly role: "Demonstrations"; readonly rows: ReadonlyArray<rows.DemonstrationRow> }
    | { readonly role: "Preferences"; readonly rows: ReadonlyArray<rows.PreferenceRow> }
    | { readonly role: "Rankings"; readonly rows: ReadonlyArray<rows.RankingRow> }
    | { readonly role: "Stepwise"; readonly rows: ReadonlyArray<rows.StepwiseRow> }
    | { readonly role: "UnpairedPreferences"; readonly rows: ReadonlyArray<rows.UnpairedPreferenceRow> }
    | { readonly role: "Completions"; readonly rows: ReadonlyArray<rows.CompletionRow> }
    | { readonly role: "ScoredCompletions"; readonly rows: ReadonlyArray<rows.ScoredRow> }
  )

export type Role = Dataset["role"]

/** The rows of a role. */
export type RowsOf<R extends Dataset["role"]> = Extract<Dataset, { readonly role: R }>["rows"]

/** Where the rows of a `Source` come from: files and built-in tasks in `run`, the tabular world in `simulate`. */
export class Datasets extends Context.Service<Datasets, {
  /** `chat` renders the conversations of a data set that has them, with the template of the model that will read it. */
  readonly load: (role: Role, origin: Origin, chat: Chat) => Effect.Effect<Dataset, BadData>
}>()("keel/Datasets") {}
