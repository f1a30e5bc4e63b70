/**
 * Where data comes from: a file in one of TRL's dataset formats, a published data set, or a task that Keel makes itself. `simulate` does
 * not read any: it takes the rows of the same role from its tabular world.
 *
 * Data stands in the description by name and parameters. `run` reads the SHA-256 of a file: it is part of the key of everything made of it,
 * and the file's name is not.
 */
import * as Schema from "effect/Schema"
import * as Artifact from "./Artifact.ts"
import { build, define } from "./Definition.ts"
import { Count, Fraction, or, Seed } from "./Training.ts"

/** Mean tokens of a row: of Text its `text`, of Prompts the `prompt`, of all others the prompt and an answer. */
const Tokens = Schema.Struct({
  text: Schema.optionalKey(Count),
  prompt: Schema.optionalKey(Count),
  completion: Schema.optionalKey(Count),
  /** Answers of a ranking, steps of an answer in steps; of completions, answers of each prompt: 1 if left out. */
  completions: Schema.optionalKey(Count)
})

const reading = {
  /** Which of the file's fields holds which of TRL's, e.g. `{ prompt: "question", completion: "answer" }`. */
  fields: or(Schema.Record(Schema.String, Schema.String), {}),
  /** Skips this many rows first. */
  offset: or(Schema.Natural, 0),
  /** Reads at most this many rows. */
  limit: Schema.optionalKey(Count),
  /** A row that cannot be used is an error; with `"skip"` it is left out, and the run says how many were. */
  onBadRow: Schema.optionalKey(Schema.Literals(["fail", "skip"])),
  /** Of prompts: the text around columns of the row, `"Question: {{question}}\nAnswer:"`, instead of the field `prompt`. */
  template: Schema.optionalKey(Schema.NonEmptyString),
  /** Of prompts: each text is a user's message, which the model's chat template puts into a conversation. */
  chat: Schema.optionalKey(Schema.Boolean),
  /** The rows of the whole data set, before `offset` and `limit`: another number is an error, unless `limit` ends the reading earlier. */
  rows: Schema.optionalKey(Count),
  /** With `rows`, `keel plan` takes rows of these lengths and does not read or fetch the files. */
  tokens: Schema.optionalKey(Tokens)
}

/** Names of files: a path, a list of paths, or a pattern of the shell, whose files are read in the order of their names. */
const Paths = Schema.Union([Schema.NonEmptyString, Schema.NonEmptyArray(Schema.NonEmptyString)])

/**
 * Files of rows: `.jsonl`, `.json` (a list of objects), `.csv`, `.tsv`, `.txt` (a text a line), each plain, `.gz` or `.zst`; `.parquet`.
 * Relative paths are relative to the working directory: `"a.jsonl"`, `["a.csv", "b.csv"]`, `"data/*.parquet"`.
 */
export class File extends Schema.TaggedClass<File>()("File", { path: Paths, ...reading }) {}

/**
 * A split of a data set of the Hugging Face hub. Its files are fetched once into the cache; a branch or tag is resolved to a commit then,
 * which the run says, and again by `keel fetch`.
 */
export class Hub extends Schema.TaggedClass<Hub>()("Hub", {
  /** `owner/name`. */
  name: Schema.NonEmptyString,
  /** A commit, a branch or a tag. */
  revision: or(Schema.NonEmptyString, "main"),
  /** The configuration (subset) of a data set that has several. */
  config: Schema.optionalKey(Schema.NonEmptyString),
  split: or(Schema.NonEmptyString, "train"),
  ...reading
}) {}

/** The files of rows: their paths or pattern, or a name of the hub. */
export const namedBy = (origin: Origin): string | ReadonlyArray<string> | undefined => {
  if (origin._tag !== "Hub") return "path" in origin ? origin.path : undefined
  const { config, name, revision, split } = origin
  const asked = [...(config === undefined ? [] : [["config", config]]), ["split", split]]
  const query = asked.map(([key, value]) => `${key}=${encodeURIComponent(value!)}`).join("&")
  return `hf://datasets/${name}@${encodeURIComponent(revision)}?${query}`
}

/**
 * `tales`: tiny stories written to order, made by Keel. A grammar of about 150 words, instructions, mediocre demonstrations,
 * and a checker of good stories (`src/data/tales`, `src/data/tales/gold.ts`).
 */
export class Tales extends Schema.TaggedClass<Tales>()("Tales", {
  /** Instructions of `train` and `held` never overlap. */
  split: or(Schema.Literals(["train", "held"]), "train"),
  count: Count,
  seed: Seed
}) {}

/**
 * Puzzles with answers that a program can check, made by Keel (`src/data/puzzles`): `letters` counts a letter in a word of six, with its
 * columns `word` and `letter` (`Verifier.letterCount`); `countdown` reaches a number with three others by + and −, with its columns
 * `numbers` and `target` (`Verifier.countdown`). As text, as prompts, and as demonstrations.
 */
export class Puzzles extends Schema.TaggedClass<Puzzles>()("Puzzles", {
  task: Schema.Literals(["letters", "countdown"]),
  /** Puzzles of `train` and `held` never overlap. */
  split: or(Schema.Literals(["train", "held"]), "train"),
  count: Count,
  /** Expected share of the answers that are right; the others have one slip. */
  right: or(Fraction, 1),
  seed: Seed
}) {}

/**
 * The openings of stories in a file (fields as for `File`), cut after `words` words: prompts for continuation, or, as
 * demonstrations, the opening with the rest of its story.
 */
export class Openings extends Schema.TaggedClass<Openings>()("Openings", {
  path: Schema.NonEmptyString,
  words: Count,
  /** Demonstrations stop at the end of the sentence that reaches this many words. */
  continuation: or(Count, 60),
  offset: or(Schema.Natural, 0),
  limit: Schema.optionalKey(Count)
}) {}

/** Rows that stand in the description itself: a small set, or a set that a program makes. In the formats of a `File`. */
export class Rows extends Schema.TaggedClass<Rows>()("Rows", {
  rows: Schema.NonEmptyArray(Schema.Record(Schema.String, Schema.Json))
}) {}

/** A data set that was never published, by its size: it is planned and simulated, and `run` asks for its rows. */
export class Described extends Schema.TaggedClass<Described>()("Described", {
  name: Schema.NonEmptyString,
  rows: Count,
  tokens: Tokens
}) {}

export const Origin = Schema.Union([File, Hub, Tales, Puzzles, Openings, Rows, Described])
export type Origin = typeof Origin.Type

/** Rows of the whole data set, as far as the description says. */
const allRows = (origin: Origin): number => {
  if ("count" in origin) return origin.count
  if (origin._tag === "Rows") return origin.rows.length
  return "rows" in origin ? origin.rows ?? Infinity : Infinity
}

const limitOf = (origin: Origin): number => "limit" in origin ? origin.limit ?? Infinity : Infinity

/** Rows that are read; `Infinity` where the description does not say how many there are. */
export const rowsIn = (origin: Origin): number => {
  const left = Math.max(0, allRows(origin) - ("offset" in origin ? origin.offset : 0))
  return left === Infinity ? Infinity : Math.min(left, limitOf(origin))
}

/** What the description says of the rows of a data set, where it says enough to plan with them. */
export const describedIn = (origin: Origin): Pick<Described, "rows" | "tokens"> | undefined =>
  (origin._tag === "Described" || origin._tag === "File" || origin._tag === "Hub") &&
    origin.rows !== undefined && origin.tokens !== undefined
    ? { rows: rowsIn(origin), tokens: origin.tokens }
    : undefined

const Role = Schema.Literals(Artifact.rowKinds)

/** The means that the rows of a role have. */
const tokensOf = (role: typeof Role.Type): ReadonlyArray<keyof typeof Tokens.Type> =>
  role === "Text"
    ? ["text"]
    : role === "Prompts"
    ? ["prompt"]
    : role === "Rankings" || role === "Stepwise"
    ? ["prompt", "completion", "completions"]
    : ["prompt", "completion"]

/** The operation that stands for a data set. */
export class Source extends Schema.TaggedClass<Source>()("Source", { role: Role, origin: Origin }) {}

export const definition = define(Source, {}, {
  mistakes: ({ origin, role }) => [
    (origin._tag === "File" || origin._tag === "Hub") && role !== "Prompts" &&
    (origin.template ?? origin.chat) !== undefined &&
    `template and chat make prompts, and these are ${role}: leave them out`,
    ...("tokens" in origin && origin.tokens !== undefined
      ? [
        origin.rows === undefined && "tokens is there to plan with, which needs the number of rows too: give rows",
        String(
            Object.keys(origin.tokens).filter((name) => name !== "completions" || !role.endsWith("Completions")).sort()
          ) !==
          String([...tokensOf(role)].sort()) &&
        `tokens of ${role} are ${tokensOf(role).join(", ")}, not ${Object.keys(origin.tokens).join(", ") || "none"}`
      ]
      : []),
    (origin._tag === "File" || origin._tag === "Hub") && rowsIn(origin) === 0 &&
    `offset ${origin.offset} leaves none of its ${origin.rows} rows`
  ],
  makes: (params) => ({ kind: params["role"] as Artifact.Kind, family: "" }),
  rows: ({ origin }) => Math.min(rowsIn(origin), limitOf(origin))
})

/** Rows of a role: `of("Prompts")` is `prompts`. */
export const of = <K extends typeof Role.Type>(role: K) => (origin: Origin): Artifact.Artifact<K, ""> =>
  build(definition, {}, { role, origin })

/** Plain text (`text`), one document a row. */
export const text = of("Text")
/** Instructions (`prompt`). */
export const prompts = of("Prompts")
/** Instructions with an answer (`prompt`, `completion`). */
export const demonstrations = of("Demonstrations")
/** Pairs of answers (`prompt`, `chosen`, `rejected`, optional `margin`). */
export const preferences = of("Preferences")
/** Several answers to a prompt, best first or with `scores` (`prompt`, `completions`). */
export const rankings = of("Rankings")
/** Answers labelled one by one (`prompt`, `completion`, `label`: true for a right or desirable one). */
export const unpairedPreferences = of("UnpairedPreferences")
/** Answers in steps, each of them judged (`prompt`, `completions`, `labels`). */
export const stepwise = of("Stepwise")
/** Answers that other models wrote (`prompt`, `completion`): text, so their tokenizers do not matter. */
export const completions = of("Completions")
/** The same, each with a `score`. */
export const scoredCompletions = of("ScoredCompletions")

export const file = (
  path: string | readonly [string, ...Array<string>],
  options: Omit<typeof File["~type.make.in"], "path"> = {}
): File => new File({ path, ...options }, { disableChecks: true })
/** A split (`train`) of a data set of the Hugging Face hub, e.g. `Source.hub("trl-lib/ultrafeedback_binarized")`. */
export const hub = (name: string, options: Omit<typeof Hub["~type.make.in"], "name"> = {}): Hub =>
  new Hub({ name, ...options }, { disableChecks: true })
/** A data set by its size alone, e.g. `Source.described("InstructGPT prompts", { rows: 31_144, tokens: { prompt: 160 } })`. */
export const described = (name: string, options: Omit<typeof Described["~type.make.in"], "name">): Described =>
  new Described({ name, ...options }, { disableChecks: true })
export const tales = (options: typeof Tales["~type.make.in"]): Tales => new Tales(options, { disableChecks: true })
export const puzzles = (options: typeof Puzzles["~type.make.in"]): Puzzles =>
  new Puzzles(options, { disableChecks: true })
export const openings = (path: string, options: Omit<typeof Openings["~type.make.in"], "path">): Openings =>
  new Openings({ path, ...options }, { disableChecks: true })
export const rows = (rows: ReadonlyArray<Readonly<Record<string, Schema.Json>>>): Rows =>
  new Rows({ rows: rows as unknown as Rows["rows"] }, { disableChecks: true })
