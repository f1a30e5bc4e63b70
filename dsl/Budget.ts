/**
 * Budgets limit the spending of a pipeline. Amounts are integers with their unit in the type (`Amount.ts`). A stage's
 * type names its dimensions; `Pipeline.cap` closes them. KL must be capped before a pipeline can run; the others may
 * stay open.
 */
import * as Schema from "effect/Schema"
import type { Amount, Money, Unit } from "./Amount.ts"
import { KlAmount, measured } from "./Kl.ts"

export * from "./Amount.ts"

/** The resources, all of which a training or sampling stage spends. Written out, so that an editor shows the name of the union. */
export type Compute = "tokens" | "generated" | "trained" | "prompts" | "flops" | "memory" | "disk" | "seconds" | "money"

export type Resource = Compute

/** The unit that each resource is counted in. */
export const units = {
  tokens: "tokens",
  generated: "tokens",
  trained: "tokens",
  prompts: "prompts",
  flops: "flops",
  memory: "bytes",
  disk: "bytes",
  seconds: "seconds",
  money: "money"
} as const satisfies Readonly<Record<Resource, Unit>>

export const resources = Object.keys(units) as ReadonlyArray<Resource>

export type Dimension = "kl" | Resource

// ── as you write them ────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * Caps on resources. A bare number is enough where the name is the unit; bytes and money have to say theirs.
 *
 * A stage that passes a cap ends with `BudgetExceeded` and keeps what it made. A stage that trains passes it by one step at most. A stage
 * that makes rows or a report works in chunks: tokens and prompts pass a cap by the completions of one prompt at most, other resources by
 * one chunk. The next attempt counts what was spent.
 */
export interface Resources {
  /** Tokens generated and trained on, written by environments, and read and written by the endpoints of judges. */
  readonly tokens?: Amount<"tokens"> | number
  /** Tokens of sampled completions, including samples for measuring KL and for evaluation. */
  readonly generated?: Amount<"tokens"> | number
  /** Completion tokens with a gradient, of any model, each time that they have one. */
  readonly trained?: Amount<"tokens"> | number
  /** Different prompts used. */
  readonly prompts?: Amount<"prompts"> | number
  /** Floating-point operations, as `keel plan` counts them. */
  readonly flops?: Amount<"flops"> | number
  /** Held by the backend at any one time. The process takes more: `keel plan` shows both. */
  readonly memory?: Amount<"bytes">
  /** Checkpoints and results written and kept. */
  readonly disk?: Amount<"bytes">
  /** Wall-clock. */
  readonly seconds?: Amount<"seconds"> | number
  /** Device time at the prices given to `plan` and `run`. */
  readonly money?: Money
}

/** Memory is held and not spent: it has no total. */
export type Totals = Omit<Resources, "memory">

/** The same with any unit anywhere: `Fitting` names the mistakes. */
export type Loose =
  & {
    readonly [R in Resource]?: number | Amount<Unit>
  }
  & { readonly total?: { readonly [R in Resource]?: number | Amount<Unit> } }

/** How an amount of each unit is written. */
type Written = {
  readonly bytes: "Budget.GiB(…), Budget.MiB(…) or Budget.bytes(…)"
  readonly flops: "Budget.petaflops(…), Budget.teraflops(…) or Budget.flops(…)"
  readonly tokens: "Budget.tokens(…) or a number"
  readonly prompts: "Budget.prompts(…) or a number"
  readonly seconds: "Budget.hours(…), Budget.minutes(…) or a number of seconds"
  readonly money: 'Budget.dollars(…), Budget.cents(…) or Budget.money("EUR", …)'
}

/** In place of an amount that does not fit. An object, because a number that is also a text would be `never`, without a word. */
export interface Advice<out A extends string> {
  readonly advice: A
}

type Names =
  "there is no such budget; there are kl, tokens, generated, trained, prompts, flops, memory, disk, seconds, money and total"

type Advised<R extends Resource, Of extends object, Given> = Given extends NonNullable<Of[R & keyof Of]> ? unknown
  : Advice<`${R} is counted in ${typeof units[R]}: write ${Written[typeof units[R]]}`>

type Total<L> = {
  readonly [K in keyof L]: K extends keyof Totals ? Advised<K, Totals, NonNullable<L[K]>>
    : K extends "memory" ? Advice<"memory is held and not spent, so it has no total: cap it beside total">
    : Advice<Names>
}

/** The type that the caps `L` must have, with advice in place of each mistake. `Others` are unknown resource names. */
export type Fitting<L, Others extends PropertyKey> = {
  readonly [K in keyof L]: K extends Resource ? Advised<K, Resources, NonNullable<L[K]>>
    : K extends "total" ? Total<NonNullable<L[K]>>
    : K extends Others ? unknown
    : Advice<Names>
}

type Capped<L> = keyof L | (L extends { readonly total: infer T } ? keyof T : never)

/** The dimensions that the caps `L` close. A cap on all tokens is one on each kind, and caps on both kinds are one on all. */
export type Closed<L> =
  | Capped<L>
  | ("tokens" extends Capped<L> ? "generated" | "trained" : never)
  | ("generated" extends Capped<L> ? "trained" extends Capped<L> ? "tokens" : never : never)

/** Caps as in a description: integers in the unit of each resource. Other units are left for `check` to report. */
export const plain = (caps: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> =>
  Object.fromEntries(
    Object.entries(caps).map(([name, given]) => {
      if (name === "total" && typeof given === "object" && given !== null) return [name, plain({ ...given })]
      const { amount, currency, unit } = (given ?? {}) as Partial<Money>
      if (!Object.hasOwn(units, name) || unit !== units[name as Resource]) return [name, given]
      return [name, unit === "money" ? { currency, micros: amount } : amount]
    })
  )

// ── as they are in a description ─────────────────────────────────────────────────────────────────────────────────────

const whole = (unit: string) =>
  Schema.Finite.check(
    Schema.makeFilter((n) =>
      (Number.isInteger(n) && n > 0) || `a cap must be a whole number of ${unit} above 0, not ${n}`
    )
  )

const MoneyAmount = Schema.Struct({
  currency: Schema.String.check(
    Schema.makeFilter((code) =>
      /^[A-Z]{3}$/u.test(code) || `a currency is three capital letters, e.g. USD, not ${code}`
    )
  ),
  micros: whole("millionths of its currency")
})

const spent = {
  tokens: Schema.optionalKey(whole("tokens")),
  generated: Schema.optionalKey(whole("tokens")),
  trained: Schema.optionalKey(whole("tokens")),
  prompts: Schema.optionalKey(whole("prompts")),
  flops: Schema.optionalKey(whole("floating-point operations")),
  disk: Schema.optionalKey(whole("bytes")),
  seconds: Schema.optionalKey(whole("seconds")),
  money: Schema.optionalKey(MoneyAmount)
}

const Distance = KlAmount.check(Schema.makeFilter((kl) => kl.mnats > 0 || "a KL cap must be above 0 mnats"))

/**
 * The consequence of passing a KL cap. `stop`: the stage fails with `KlBudgetExceeded`. `rollback`: it ends with the
 * last policy measured within its caps. `warn`: it continues with a warning. (For a KL target in training:
 * `KlControl.ts`.)
 */
export const WhenSpent = Schema.Literals(["stop", "rollback", "warn"])
export type WhenSpent = typeof WhenSpent.Type

/**
 * Caps on the artefacts between the initial model (wire `from`) and the capped artefact.
 *
 * - `kl`: measured KL from the initial model, mean over held prompts, milli-nats per sequence; `measured` is no cap.
 * - `klP95`, `klMax`: the 95th percentile and the maximum over held prompts, of the mean of each prompt's samples (4 or
 *   more, until the deciding prompts are clear of the cap). These estimates are biased upwards, so the caps are safe.
 * - `whenSpent`: the consequence of passing one of them (default `stop`).
 * - resources: of each stage, see `Resources`; under `total`, of all these stages together, in any run.
 */
export class Caps extends Schema.Class<Caps>("Caps")({
  kl: Schema.optionalKey(Schema.Union([Distance, Schema.Literal(measured)])),
  klP95: Schema.optionalKey(Distance),
  klMax: Schema.optionalKey(Distance),
  whenSpent: Schema.optionalKey(WhenSpent),
  memory: Schema.optionalKey(whole("bytes")),
  ...spent,
  total: Schema.optionalKey(Schema.Struct(spent))
}) {}
