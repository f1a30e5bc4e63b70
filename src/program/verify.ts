/** Verdicts of a verifier on completions in a file. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import { Check, Code, code, instructions, mathematics } from "../../dsl/Verifier.ts"
import { Unfit } from "../data/encode.ts"
import { read } from "../data/read.ts"
import type { Columns } from "../data/rows.ts"
import { late } from "../rewards/asked/ask.ts"
import { codeTested } from "../rewards/code/verdict.ts"
import { follows, instructionsOf } from "../rewards/instructions.ts"
import { Judge, layer } from "../rewards/judge.ts"
import { type Asked, unreachable } from "../rewards/verifier.ts"

export class UnknownVerifier extends Schema.TaggedError<UnknownVerifier>()("UnknownVerifier", {
  name: Schema.String,
  problem: Schema.String,
  remedy: Schema.String
}) {
  override get message(): string {
    return `${this.name}: ${this.problem}. ${this.remedy}`
  }
}

/** Those that need no implementation from outside. */
const kinds = { ...Check.cases, Code }
type Kind = Check | Code

const suites: Readonly<Record<string, Kind>> = {
  gsm8k: mathematics({ guess: false }),
  math: mathematics(),
  ifeval: instructions(),
  code: code()
}

const tags = Object.keys(kinds) as ReadonlyArray<Kind["_tag"]>
const camelCase = (tag: string): string => `${tag[0]!.toLowerCase()}${tag.slice(1)}`

/** Names that `--as` takes. */
export const names: ReadonlyArray<string> = [...new Set([...Object.keys(suites), ...tags.map(camelCase)])]

/** The verifier of a suite, or one of Keel's by its name, with its parameters. */
export const verifierOf = Effect.fnUntraced(function*(name: string, params: Columns) {
  const bad = (problem: string, remedy: string) => new UnknownVerifier({ name, problem, remedy })
  const tag = suites[name]?._tag ?? tags.find((one) => one === name || camelCase(one) === name)
  if (tag === undefined) return yield* bad("is no verifier", `Give one of ${names.join(", ")}.`)
  const { fields, makeEffect } = kinds[tag] as unknown as {
    readonly fields: object
    readonly makeEffect: (params: object) => Effect.Effect<Kind, SchemaIssue.Issue>
  }
  const example = 'Give its parameters as JSON, as in --params \'{"marker": "####"}\'.'
  const unknown = Object.keys(params).find((one) => !Object.hasOwn(fields, one))
  if (unknown !== undefined) return yield* bad(`has no parameter ${unknown}`, example)
  return yield* Effect.catch(makeEffect({ ...suites[name], ...params }), (issue) => {
    const { issues } = SchemaIssue.makeFormatterStandardSchemaV1()(issue)
    return bad(issues.map(({ message, path }) => `${path?.map(String).join(".")}: ${message}`).join("; "), example)
  })
})

/** The columns of a row, under other names where `fields` says so. */
export type Fields = Readonly<Partial<Record<"prompt" | "completion" | "answer" | "verdict", string>>>

interface Row {
  readonly asked: Asked
  readonly completion: string
  readonly verdict: unknown
}

const rowOf = (fields: Fields) => (row: Readonly<Record<string, unknown>>): Row => {
  const [prompt, completion, answer, verdict] = (["prompt", "completion", "answer", "verdict"] as const).map(
    (field) => {
      const name = fields[field] ?? field
      if (fields[field] !== undefined && !Object.hasOwn(row, name)) {
        throw new Unfit(
          `no column "${name}"; the row has ${Object.keys(row).join(", ")}`,
          `Correct --field ${field}=….`
        )
      }
      return Object.hasOwn(row, name) ? row[name] : undefined
    }
  )
  if (typeof completion !== "string") {
    throw new Unfit(
      `no text in the column "${fields.completion ?? "completion"}"; the row has ${Object.keys(row).join(", ")}`,
      "Say where the completion is, as in --field completion=response."
    )
  }
  return {
    asked: {
      prompt: typeof prompt === "string" ? prompt : "",
      ...(typeof answer === "string" || typeof answer === "number" ? { answer: String(answer) } : {}),
      ...(typeof row["ended"] === "boolean" ? { ended: row["ended"] } : {}),
      ...(typeof row["tokens"] === "number" ? { tokens: row["tokens"] } : {}),
      columns: row as Columns
    },
    completion,
    verdict
  }
}

export interface Verdict {
  /** All or nothing as a boolean, else the share. */
  readonly verdict: boolean | number
  /** Of instructions: the verdict on each. */
  readonly strict?: ReadonlyArray<boolean>
  readonly loose?: ReadonlyArray<boolean>
  /** Why the row can never pass. */
  readonly problem?: string
  /** Of code: the first failure, a kind before its words. */
  readonly reason?: string
}

export interface Verdicts {
  readonly rows: ReadonlyArray<Verdict>
  /** Comparisons with columns of verdicts; each row of an instruction column has several. */
  readonly agreement: ReadonlyArray<{
    readonly column: string
    readonly compared: number
    readonly agreeing: number
    readonly disagreeing: ReadonlyArray<{ readonly row: number; readonly ours: unknown; readonly theirs: unknown }>
  }>
  /** Comparisons that were not made in time; of code, that is the reason of a row. */
  readonly late: number
}

const verdictOf = (
  verifier: Kind,
  { asked, completion }: Row,
  { reason, score: value }: { readonly score: number; readonly reason: string | null }
): Verdict => {
  const never = unreachable(verifier, asked)
  const given = verifier._tag === "Instructions"
    ? verifier.instructions ?? instructionsOf(asked.columns ?? {})
    : undefined
  const each = (how: "strict" | "loose") => given!.map(({ id, kwargs }) => follows(id, kwargs, completion, how))
  return {
    verdict: value === 1 || value === 0 ? value === 1 : value,
    ...(given === undefined ? {} : { strict: each("strict"), loose: each("loose") }),
    ...(never === null ? {} : { problem: never.problem }),
    ...(reason === null ? {} : { reason })
  }
}

const isTruth = (value: unknown): value is boolean | 0 | 1 => typeof value === "boolean" || value === 0 || value === 1

/** The verdicts of the file's column `column`, row by row, against ours. */
const agreement = (column: string, pairs: ReadonlyArray<readonly [ours: unknown, theirs: unknown]>) => {
  const compared = pairs.flatMap(([ours, theirs], i) => {
    const [a, b] = [Array.isArray(ours) ? ours : [ours], Array.isArray(theirs) ? theirs : [theirs]]
    return a.length === b.length && b.every(isTruth)
      ? a.map((one: unknown, j) => ({ row: i + 1, ours: one === true || one === 1, theirs: Boolean(b[j]) }))
      : []
  })
  const disagreeing = compared.filter(({ ours, theirs }) => ours !== theirs)
  return { column, compared: compared.length, agreeing: compared.length - disagreeing.length, disagreeing }
}

/** Verdicts on every row of a file, and their agreement with its own. */
export const verdicts = Effect.fn("verify")(function*(path: string, verifier: Kind, fields: Fields) {
  const { rows } = yield* read({ role: null, row: rowOf(fields) })(path)
  const before = late()
  const { verifies } = yield* Judge
  const questions = rows.map(({ asked, completion }, i) => ({ ...asked, completion, row: i + 1 }))
  const values = verifier._tag === "Code"
    ? yield* codeTested(path, verifier, questions)
    : (yield* verifies(path, verifier, questions)).map((score) => ({ score, reason: null }))
  const made = rows.map((row, i) => verdictOf(verifier, row, values[i]!))
  const columns = [
    agreement(fields.verdict ?? "verdict", rows.map(({ verdict }, i) => [made[i]!.verdict, verdict] as const)),
    ...(["strict", "loose"] as const).map((how) =>
      agreement(how, rows.map(({ asked }, i) => [made[i]![how], asked.columns?.[how]] as const))
    )
  ]
  return {
    rows: made,
    agreement: columns.filter(({ compared }) => compared > 0),
    late: verifier._tag === "Code" ? 0 : late() - before
  } satisfies Verdicts
}, Effect.provide(layer()))
