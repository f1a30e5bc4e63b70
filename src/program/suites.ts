/** Suites of an evaluation: how rows of a file become prompts, and which verifiers judge the completions. No suite comes with its data. */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Schema from "effect/Schema"
import { Count } from "../../dsl/Training.ts"
import { instructions, mathematics, Verifier } from "../../dsl/Verifier.ts"
import type { Columns } from "../data/rows.ts"
import { textOf } from "../model/regularFile.ts"
import { verifierOf } from "./verify.ts"

const isVerifier = Schema.is(Verifier)

export class BadSuite extends Schema.TaggedError<BadSuite>()("BadSuite", {
  name: Schema.String,
  problem: Schema.String,
  remedy: Schema.String
}) {
  override get message(): string {
    return `${this.name}: ${this.problem}. ${this.remedy}`
  }
}

const list = Schema.Array(Schema.NonEmptyString).pipe(Schema.withDecodingDefaultKey(Effect.succeed([])))

/** A suite as it is written. */
const Described = Schema.Struct({
  /** Part of file names. */
  name: Schema.String.check(
    Schema.isPattern(/^[\w.-]+$/u, { message: "must consist of letters, digits and the signs - _ ." })
  ),
  /** The data file, where --data names none; and where to get it. */
  data: Schema.optionalKey(Schema.NonEmptyString),
  from: Schema.optionalKey(Schema.String),
  /** Which column holds the `prompt` and the `answer`, where they have other names. */
  fields: Schema.Record(Schema.String, Schema.String).pipe(Schema.withDecodingDefaultKey(Effect.succeed({}))),
  /** The prompt as text around columns: `"Question: {{question}}\\nAnswer:"`. */
  template: Schema.optionalKey(Schema.NonEmptyString),
  /** Verifiers, or their names as `keel verify` takes them; or the name as `_tag` with parameters. */
  verifiers: Schema.NonEmptyArray(Schema.Unknown),
  /** The names of the verifiers' scores in lm-evaluation-harness; default: the verifiers' own. */
  metrics: list,
  stop: list,
  /** Longest completion, tokens. */
  maxNewTokens: Count
})

export interface Suite extends Omit<typeof Described.Type, "verifiers"> {
  readonly verifiers: ReadonlyArray<Verifier>
}

/** Prompts and stop texts of lm-evaluation-harness, tasks gsm8k, minerva_math and ifeval. */
export const suites: Readonly<Record<string, Suite>> = {
  gsm8k: {
    name: "gsm8k",
    from: "github.com/openai/grade-school-math: grade_school_math/data/test.jsonl",
    fields: {},
    template: "Question: {{question}}\nAnswer:",
    verifiers: [mathematics()],
    metrics: ["exact_match"],
    stop: ["Question:"],
    maxNewTokens: 512
  },
  math500: {
    name: "math500",
    from: "huggingface.co/datasets/HuggingFaceH4/MATH-500: test.jsonl",
    fields: {},
    template: "Problem:\n{{problem}}\n\nSolution:",
    verifiers: [mathematics()],
    metrics: ["exact_match"],
    stop: ["Problem:"],
    maxNewTokens: 2048
  },
  ifeval: {
    name: "ifeval",
    from: "huggingface.co/datasets/google/IFEval: ifeval_input_data.jsonl",
    fields: {},
    verifiers: [instructions(), instructions({ loose: true })],
    metrics: ["prompt_level_strict_acc", "prompt_level_loose_acc"],
    stop: [],
    maxNewTokens: 1280
  }
}

/** The suite that measures a text instead of completions. */
export const perplexity = "perplexity"

const example =
  'It takes a name, verifiers and maxNewTokens, as in { "name": "mine", "template": "{{question}}", "verifiers": ["lastNumber"], "maxNewTokens": 64 }.'

/** A suite from the contents of the file `path`. */
export const suiteFrom = Effect.fnUntraced(function*(path: string, value: unknown) {
  const wrong = (problem: string) => new BadSuite({ name: path, problem, remedy: example })
  const described = yield* Effect.mapError(
    Schema.decodeUnknownEffect(Described)(value, { errors: "all", onExcessProperty: "error" }),
    (error) => wrong(`it describes no suite: ${error.message.replaceAll(/\s*\n\s*/gu, " ")}`)
  )
  const verifiers: Array<Verifier> = []
  for (const one of described.verifiers) {
    if (isVerifier(one)) verifiers.push(one)
    else if (typeof one === "string") verifiers.push(yield* verifierOf(one, {}))
    else if (typeof one === "object" && one !== null && "_tag" in one) {
      const { _tag, ...params } = one
      verifiers.push(yield* verifierOf(String(_tag), params as Columns))
    } else return yield* wrong(`${JSON.stringify(one)} is no verifier`)
  }
  return { ...described, verifiers } satisfies Suite as Suite
})

/** One of Keel's suites by its name, or the suite that a `.json` file describes. */
export const suiteOf = Effect.fnUntraced(function*(name: string) {
  const fs = yield* FileSystem.FileSystem
  if (Object.hasOwn(suites, name)) return suites[name]!
  if (!(yield* fs.exists(name))) {
    return yield* new BadSuite({
      name,
      problem: "there is no such suite, and no such file",
      remedy: `Give ${[...Object.keys(suites), perplexity].join(", ")}, or a .json or .ts file that describes a suite.`
    })
  }
  const text = yield* textOf(name)
  const parsed = yield* Effect.try({
    try: (): unknown => JSON.parse(text),
    catch: () => new BadSuite({ name, problem: "it is not JSON", remedy: example })
  })
  return yield* suiteFrom(name, parsed)
})
