import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { count, told } from "../data/about.ts"
import { dataset, type Described } from "../program/dataset.ts"
import { lengthPlot } from "../report/lengths.ts"
import { markdown } from "../report/markdown.ts"
import { svg } from "../report/plots.ts"
import { writeFileAtomic } from "../store/sealed.ts"
import { BadPipelineFile } from "./pipelineFile.ts"
import { json, many, maybe } from "./options.ts"

const roles = {
  Text: "plain text (Source.text)",
  Prompts: "prompts (Source.prompts)",
  Demonstrations: "prompts and completions (Source.demonstrations)",
  Preferences: "pairs of a better and a worse answer (Source.preferences)",
  Rankings: "ranked answers (Source.rankings)",
  UnpairedPreferences: "answers with a label each (Source.unpairedPreferences)",
  Stepwise: "answers in labelled steps (Source.stepwise)",
  Completions: "prompts and completions (Source.completions)",
  ScoredCompletions: "scored completions (Source.scoredCompletions)"
} as const

const shares = [0.5, 0.9, 0.99] as const
const at = (sorted: ReadonlyArray<number>, share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)]!

const text = (path: string, { about, columns, duplicates, lengths, role, rows, shared }: Described): string => {
  const lines = [`${path}: ${count(rows)} row${rows === 1 ? "" : "s"}`, ""]
  lines.push(markdown([
    ["column", "values", "example"],
    ...columns.map(({ example, kinds, name }) => [
      name,
      Object.entries(kinds).map(([kind, n]) => `${count(n)} ${kind}`).join(", "),
      example
    ])
  ]))
  if (role === null || about === null || lengths === null || duplicates === null) {
    return [...lines, "", "No role was recognised: name the columns, e.g. --field prompt=question."].join("\n")
  }
  lines.push("", `The rows are ${roles[role]}.`, ...told(about))
  const table = (["prompts", "answers"] as const).flatMap((of) => {
    const all = lengths[of]
    if (all.length === 0) return []
    const mean = all.reduce((sum, n) => sum + n, 0) / all.length
    const [name, numbers] = [role === "Text" ? "texts" : of, [...shares.map((share) => at(all, share)), all.at(-1)!]]
    return [[name, count(all.length), mean.toFixed(1), ...numbers.map(count)]]
  })
  lines.push("", markdown([[lengths.unit, "number", "mean", "median", "90 %", "99 %", "most"], ...table]), "")
  lines.push(
    `Repeated: ${count(duplicates.rows)} rows, ${count(duplicates.prompts)} prompts; ${
      count(duplicates.near)
    } more rows are nearly another (Deduplicate.make).`
  )
  if (shared !== null) {
    lines.push(
      `Shared with ${shared.against}: the prompts of ${
        count(shared.rows)
      } rows, a run of ${shared.ngram} words or all of them (Decontaminate.make).`
    )
  }
  return lines.join("\n")
}

export const data = Command.make(
  "data",
  {
    file: Argument.String("file").pipe(
      Argument.withDescription(
        "A file of rows, or a pattern: .jsonl, .json, .csv, .tsv, .parquet, .txt, also .gz and .zst"
      )
    ),
    field: many("field", "Where a column is, e.g. --field prompt=question; may be repeated"),
    tokenizer: maybe(
      Flag.String("tokenizer"),
      "A model folder: lengths in its tokens, conversations by its chat template"
    ),
    against: maybe(Flag.String("against"), "Another file, e.g. of an evaluation, whose prompts are looked for"),
    picture: maybe(Flag.String("picture"), "Draw the lengths into this .svg file"),
    json
  },
  Effect.fn(function*({ against, field, file, json, picture, tokenizer }) {
    const fields = field.map((one) => one.split("=", 2))
    const wrong = fields.find(([name, column]) => !name || !column)
    if (wrong !== undefined) {
      return yield* new BadPipelineFile({
        path: `--field ${wrong.join("=")}`,
        problem: "it is not NAME=COLUMN",
        remedy: "Write it as in --field prompt=question."
      })
    }
    const found = yield* dataset(file, {
      ...(fields.length === 0 ? {} : { fields: Object.fromEntries(fields) }),
      ...Option.match(tokenizer, { onNone: () => ({}), onSome: (tokenizer) => ({ tokenizer }) }),
      ...Option.match(against, { onNone: () => ({}), onSome: (against) => ({ against }) })
    })
    if (Option.isSome(picture) && found.lengths !== null) {
      const drawn = yield* Effect.promise(() => svg(lengthPlot(file, found.lengths!)))
      yield* writeFileAtomic(picture.value, drawn)
    }
    if (Option.isSome(picture) && found.lengths === null) {
      yield* Console.error(`${picture.value} is not drawn: without a role there are no lengths.`)
    }
    yield* Console.log(json ? JSON.stringify(found) : text(file, found))
  })
).pipe(
  Command.withDescription("Describe a file of data: columns, role, lengths, duplicates, overlap with another file")
)
