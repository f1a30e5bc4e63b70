/**
 * Judges: a language model reads a completion and says how good it is (Zheng et al. 2023, arXiv 2306.05685). A judge is a policy of the
 * pipeline, of any family because it reads text, or an OpenAI-compatible endpoint. Its verdicts are a *proxy*: they may be trained on, and
 * they are wrong in known ways. The preference for the answer that is shown first is cancelled by asking in both orders, and reported.
 *
 * An endpoint answers in words, and its verdict is read from them. Of a policy the verdict is exact: the mean of the values of all
 * verdicts under its probabilities of these verdicts, without sampling. Code: `src/rewards/question.ts`, `src/training/asking.ts`.
 * In `simulate` every judge sees the world's gold reward g: a score is the point σ(g) of its scale, a preference σ(g(A) − g(B)).
 */
import * as Schema from "effect/Schema"
import type * as Artifact from "./Artifact.ts"
import { file, type Origin } from "./Source.ts"
import { Count, NonNegative, or, Positive } from "./Training.ts"
import { optional, reader } from "./Wires.ts"

/** Why `url` is no base URL of an endpoint, or true. */
const isBase = (text: string): true | string => {
  const example = "such as https://api.openai.com/v1 or http://localhost:11434/v1"
  if (!URL.canParse(text)) return `must be the base URL of an OpenAI-compatible endpoint, ${example}`
  const { hash, password, pathname, protocol, search, username } = new URL(text)
  if (protocol !== "https:" && protocol !== "http:") return `must begin with https:// or http://, ${example}`
  if (username !== "" || password !== "" || search !== "" || hash !== "") {
    return `must be a bare URL, ${example}: the name of the environment variable with the key is \`key\``
  }
  return !pathname.endsWith("/completions") || `must end before /chat/completions, ${example}`
}

/** How an endpoint is asked: it changes no answer. */
export const manners = {
  /** Per million tokens, in whole units of the currency. Without a price, the endpoint is free. */
  price: Schema.optionalKey(Schema.Struct({
    /** ISO 4217, e.g. `USD`. */
    currency: Schema.String.check(
      Schema.isPattern(/^[A-Z]{3}$/u, { message: "a currency is three capital letters, e.g. USD" })
    ),
    /** Of the questions. */
    read: NonNegative,
    /** Of the answers. */
    written: NonNegative
  })),
  /** Questions asked at the same time. */
  concurrency: or(Count, 8),
  requestsPerMinute: Schema.optionalKey(Positive),
  /** Seconds until an answer must be there. */
  timeout: or(Positive, 120),
  /** How often a question is asked again that got no answer, after waits of 1, 2, 4, … seconds, or as `Retry-After` says. */
  retries: or(Schema.Natural, 6)
}

/** An OpenAI-compatible endpoint (`POST url/chat/completions`): vLLM, Ollama, llama.cpp, or a hosted service. */
export class Endpoint extends Schema.TaggedClass<Endpoint>()("Endpoint", {
  url: Schema.String.check(Schema.makeFilter(isBase)),
  /** As the endpoint calls it. */
  model: Schema.NonEmptyString,
  /** The name of the environment variable that has the key; the key itself is never in a description. */
  key: Schema.optionalKey(Schema.String.check(
    Schema.makeFilter((name: string) =>
      /^[A-Z][A-Z0-9_]*$/u.test(name) ||
      "must be the name of an environment variable such as OPENAI_API_KEY, not the key"
    )
  )),
  temperature: or(NonNegative, 0),
  /** Longest answer, tokens. */
  maxTokens: or(Count, 1024),
  /** Further fields of each request, such as `reasoning_effort`; null leaves a field out. */
  fields: or(Schema.Record(Schema.String, Schema.Json), {}),
  ...manners
}) {}

/** A property that is judged by itself. */
export const Criterion = Schema.Struct({
  name: Schema.NonEmptyString,
  /** What the judge is asked to look at, in words. */
  asks: Schema.NonEmptyString,
  weight: or(Positive, 1)
})

/** Each criterion gets a whole number on the scale; the score is their weighted mean, on the same scale. */
export class Rubric extends Schema.TaggedClass<Rubric>()("Rubric", {
  criteria: Schema.Array(Criterion).check(
    Schema.isMinLength(1, { message: "needs at least one criterion" }),
    Schema.makeFilter((all) => new Set(all.map(({ name }) => name)).size === all.length || "each needs its own name")
  ),
  /** The worst and the best score. */
  scale: or(
    Schema.Struct({ min: Schema.Int, max: Schema.Int }).check(
      Schema.makeFilter(({ max, min }) =>
        max > min && max - min <= 100 || "must go from a whole number to a larger one, in at most 100 steps"
      )
    ),
    { min: 1, max: 10 }
  ),
  /** Show the judge the row's `answer`, as the answer of a reference. */
  reference: or(Schema.Boolean, false),
  /** How often an endpoint is asked each question, with different seeds: the mean counts, and the agreement is reported. */
  times: or(Count, 1)
}) {}

/** How two completions are compared. */
export const comparing = {
  /** What the judge is asked to look at, in words. */
  asks: or(Schema.NonEmptyString, "Helpfulness, relevance, accuracy, depth and level of detail."),
  reference: or(Schema.Boolean, false),
  /** Left out where a policy on the wire `judge` is asked. */
  endpoint: Schema.optionalKey(Endpoint)
}

/** Which of two completions is better: asked in both orders. */
export class Pairwise extends Schema.TaggedClass<Pairwise>()("Pairwise", comparing) {}

/**
 * People who judge (Christiano et al. 2017, arXiv 1706.03741), by a name. Where it runs, their verdicts are rows that they gave; in `simulate`
 * they see the world's gold reward as every judge does; a plan counts the rows.
 */
export interface People {
  readonly _tag: "People"
  readonly name: string
  readonly verdicts: Origin | Artifact.Any
}

/**
 * `verdicts`: a file, another origin of rows, or an input of the pipeline that has them. Of completions by themselves: `prompt`, `completion`, `score`; several verdicts on one
 * completion count by their mean. Of pairs: `prompt`, `chosen`, `rejected`, and `margin` if they said how much better.
 */
export const people = (
  name: string,
  { rows, verdicts }: {
    readonly verdicts: string | Origin | Artifact.Of<"Preferences" | "ScoredCompletions">
    readonly rows?: number
  }
): People => ({
  _tag: "People",
  name,
  verdicts: typeof verdicts === "string" ? file(verdicts, rows === undefined ? {} : { rows }) : verdicts
})

/** How often the answers of a model are preferred to those of a reference; a tie, or a contradiction of the judge, is half a win. */
export class WinRate extends Schema.TaggedClass<WinRate>()("WinRate", {
  /** The name of one of the models, or `answer`: the column of the prompts. */
  against: or(Schema.NonEmptyString, "answer"),
  ...comparing
}) {}

const unchecked = { disableChecks: true } as const
type Given<S extends { readonly "~type.make.in": unknown }, Names extends string = never> = Omit<
  Exclude<S["~type.make.in"], void>,
  "_tag" | Names
>

/** A model behind a URL, e.g. `Judge.endpoint("http://localhost:8000/v1", "Qwen/Qwen3-32B")`. */
export const endpoint = (
  url: string,
  model: string,
  options: Given<typeof Endpoint, "url" | "model"> = {}
): Endpoint => new Endpoint({ url, model, ...options }, unchecked)

/** A rubric of one criterion in words, or of several with weights. */
export const rubric = (
  criteria: string | ReadonlyArray<typeof Criterion["~type.make.in"]>,
  options: Given<typeof Rubric, "criteria"> = {}
): Rubric =>
  new Rubric({
    criteria: typeof criteria === "string" ? [{ name: "quality", asks: criteria }] : criteria,
    ...options
  }, unchecked)

/** How pairs are compared, with defaults. */
export type Comparing = { readonly [K in "asks" | "reference" | "endpoint"]?: Pairwise[K] | undefined }

export const pairwise = (options: Comparing): Pairwise =>
  new Pairwise(Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)), unchecked)

export const winRate = (options: Given<typeof WinRate> = {}): WinRate => new WinRate(options, unchecked)

/** The wire of a judge that is a policy of the pipeline. */
export const wire = optional(reader(["BaseModel", "Policy"], "a policy that judges; it may be of another family"))

/** The mistake in who is asked, if there is one: an endpoint, or a policy on the wire `judge`. */
export const whoMistake = (op: string, endpoint: Endpoint | undefined, policy: unknown): string | false =>
  endpoint === undefined && policy === undefined
    ? `${op} has no judge: connect a policy as judge, or give an endpoint, Judge.endpoint(url, model)`
    : endpoint !== undefined && policy !== undefined && `${op} has two judges, a policy and an endpoint: leave one out`
