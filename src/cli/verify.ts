import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { type Fields, names, UnknownVerifier, type Verdicts, verdicts, verifierOf } from "../program/verify.ts"
import { json, many, maybe } from "./options.ts"

const percent = (part: number, whole: number): string => `${(100 * part / whole).toFixed(2)} %`
const number = (n: number): string => n.toLocaleString("en")

/** Disagreements shown; more are counted. */
const most = 20

const text = (file: string, name: string, { agreement, late, rows }: Verdicts): string => {
  const passed = rows.filter(({ verdict }) => verdict === true).length
  const mean = rows.reduce((sum, { verdict }) => sum + Number(verdict), 0) / rows.length
  const never = rows.flatMap(({ problem }, i) => problem === undefined ? [] : [`row ${i + 1} ${problem}`])
  const lists = (["strict", "loose"] as const).flatMap((how) => {
    const all = rows.flatMap((row) => row[how] ?? [])
    return all.length === 0
      ? []
      : [`instructions followed, ${how}: ${percent(all.filter(Boolean).length, all.length)} of ${number(all.length)}`]
  })
  const reasons = new Map<string, number>()
  for (const { reason } of rows) {
    const kind = reason?.split(":", 1)[0]
    if (kind !== undefined) reasons.set(kind, (reasons.get(kind) ?? 0) + 1)
  }
  const sorted = [...reasons].sort(([, a], [, b]) => b - a)
  return [
    `${file}: ${number(rows.length)} rows by ${name}, ${number(passed)} pass (${percent(passed, rows.length)}), mean ${
      mean.toFixed(4)
    }`,
    ...lists,
    ...agreement.flatMap(({ agreeing, column, compared, disagreeing }) => [
      `agreement with the column "${column}": ${number(agreeing)} of ${number(compared)} (${
        percent(agreeing, compared)
      })`,
      ...disagreeing.slice(0, most).map(({ ours, row, theirs }) => `  row ${row}: ${ours} here, ${theirs} there`),
      ...(disagreeing.length > most ? [`  and ${number(disagreeing.length - most)} more`] : [])
    ]),
    ...(never.length === 0
      ? []
      : [`${number(never.length)} of ${number(rows.length)} can never pass; the first: ${never[0]}`]),
    ...sorted.slice(0, most).map(([kind, count]) => `  ${number(count)} failed by ${kind}`),
    ...(sorted.length > most ? [`  and by ${number(sorted.length - most)} more reasons`] : []),
    ...(late === 0 ? [] : [`${number(late)} comparisons were not made within their time and count as unequal`])
  ].join("\n")
}

const parsed = (name: string, params: Option.Option<string>) =>
  Effect.try({
    try: () => Option.isNone(params) ? {} : JSON.parse(params.value),
    catch: () =>
      new UnknownVerifier({
        name,
        problem: "its parameters are no JSON object",
        remedy: 'Give them as in --params \'{"marker": "####"}\'.'
      })
  })

const columns = ["prompt", "completion", "answer", "verdict"]

export const verify = Command.make(
  "verify",
  {
    file: Argument.String("file").pipe(
      Argument.withDescription("A file of rows with prompt, completion and answer: .jsonl, .json, .csv, .parquet, …")
    ),
    as: Flag.String("as").pipe(Flag.withDescription(`The verifier: ${names.join(", ")}`)),
    params: maybe(Flag.String("params"), "Its parameters as JSON"),
    field: many("field", "Where a column is, e.g. --field completion=response; may be repeated"),
    json
  },
  Effect.fn(function*({ as, field, file, json, params }) {
    const verifier = yield* verifierOf(as, yield* parsed(as, params))
    const fields = field.map((one) => one.split("=", 2))
    const wrong = fields.find(([name, column]) => !columns.includes(name!) || !column)
    if (wrong !== undefined) {
      return yield* new UnknownVerifier({
        name: `--field ${wrong.join("=")}`,
        problem: "is no column",
        remedy: `Give NAME=COLUMN, where NAME is ${columns.join(", ")}.`
      })
    }
    const found = yield* verdicts(file, verifier, Object.fromEntries(fields) as Fields)
    const said = text(file, as, found)
    if (!json) return yield* Console.log(said)
    yield* Console.log(found.rows.map((row) => JSON.stringify(row)).join("\n"))
    yield* Console.error(said)
  })
).pipe(Command.withDescription("Verify the completions in a file"))
