/**
 * A mixture of rows of one kind: everything (`whole`), so many of each part (`counts`), so many passes over each (`epochs`), or so many in
 * all by weight (`weights`) or by size (`temperature`), or so many of each prompt over all parts (`perPrompt`). Drawn without replacement from a fresh shuffle; a part that is asked for more rows
 * than it has is passed over again: its metric `passes/NAME` says how often. Done by `src/data/mix.ts`.
 */
import * as Schema from "effect/Schema"
import type * as Artifact from "../Artifact.ts"
import { type Computed, rows } from "../Data.ts"
import { build, define } from "../Definition.ts"
import { Count, or, Positive, Seed } from "../Training.ts"
import { type CheckedWire, type Given, grouped, groupOf, type Judged, wiresOf } from "../Wires.ts"

export class Whole extends Schema.TaggedClass<Whole>()("Whole", {}) {}
export class Counts extends Schema.TaggedClass<Counts>()("Counts", { counts: Schema.Record(Schema.String, Count) }) {}
export class Weights extends Schema.TaggedClass<Weights>()("Weights", {
  /** Relative: 3 and 1 are three quarters and one quarter. */
  weights: Schema.Record(Schema.String, Positive),
  /** Rows in all. Parts get their share of it, rounded by largest remainder. */
  count: Count
}) {}

/** Passes over each part: 2 is every row twice, 0.5 is half of the rows. */
export class Epochs
  extends Schema.TaggedClass<Epochs>()("Epochs", { epochs: Schema.Record(Schema.String, Positive) })
{}

/**
 * Part i of n_i rows gets the share n_i^(1/T) / Σ_j n_j^(1/T) (Raffel et al. 2020, arXiv 1910.10683, section 3.5.2): at T = 1 in proportion
 * to its size, at larger T closer to equal. Their limit K is `atMost`.
 */
export class Temperature extends Schema.TaggedClass<Temperature>()("Temperature", {
  temperature: Positive,
  /** Rows in all. */
  count: Count
}) {}

/** So many rows of each prompt, at random out of those of all parts: four of 22 models' answers (Tülu 3, arXiv 2411.15124). */
export class PerPrompt extends Schema.TaggedClass<PerPrompt>()("PerPrompt", { perPrompt: Count }) {}

export const Take = Schema.Union([Whole, Counts, Weights, Epochs, Temperature, PerPrompt]).pipe(
  Schema.toTaggedUnion("_tag")
)
export type Take = typeof Take.Type

export class Mix extends Schema.TaggedClass<Mix>()("Mix", {
  take: or(Take, new Whole()),
  /** Rows of a part that are used at most, drawn from it: the part is as if it had no more. */
  atMost: Schema.optionalKey(Schema.Record(Schema.String, Count)),
  /** Of prompts: a column that says which part a row is from, e.g. `kind`, by which `Reward.byKind` rewards it. */
  column: Schema.optionalKey(Schema.NonEmptyString),
  seed: Seed
}) {}

const part = rows("rows to mix, e.g. Source.demonstrations(…)")

const sum = (of: Readonly<Record<string, number>>): number => Object.values(of).reduce((total, n) => total + n, 0)

/** The parts that are named by a mixture which names them. */
const sharesIn = (take: Take): Readonly<Record<string, number>> | undefined =>
  take._tag === "Counts"
    ? take.counts
    : take._tag === "Weights"
    ? take.weights
    : take._tag === "Epochs"
    ? take.epochs
    : undefined

/** Rows of so many passes over `rows` rows: at least one. */
export const rowsOf = (rows: number, epochs: number): number => rows === 0 ? 0 : Math.max(1, Math.round(rows * epochs))

export const definition = define(Mix, {}, {
  wiresOf: (connected) => wiresOf("parts", connected, part),
  mistakes: ({ atMost = {}, column, take }, connected) => {
    const parts = groupOf("parts", connected)
    const [names, kinds] = [Object.keys(parts), new Set(Object.values(parts).map(({ node }) => node.kind))]
    const shares = sharesIn(take) ?? parts
    return [
      names.length === 0 && "it has nothing to mix",
      take._tag === "PerPrompt" && kinds.has("Text") && "perPrompt needs rows with prompts, and text has none",
      column !== undefined && !kinds.has("Prompts") &&
      `column is of prompts, and these are ${[...kinds].join(", ")}: leave it out`,
      kinds.size > 1 && `its parts are of different kinds: ${[...kinds].sort().join(", ")}`,
      ...names.filter((name) => !Object.hasOwn(shares, name)).map((name) => `no share is given for its part ${name}`),
      ...[...new Set([...Object.keys(shares), ...Object.keys(atMost)])]
        .filter((name) => !Object.hasOwn(parts, name))
        .map((name) => `it has no part ${name}; its parts are ${names.join(", ")}`)
    ]
  },
  makes: (_, wires) => ({ kind: Object.values(wires)[0]?.node.kind ?? "Prompts", family: "" }),
  rows: ({ atMost = {}, take }, on) => {
    if (take._tag === "Weights" || take._tag === "Temperature") return take.count
    if (take._tag === "Counts") return sum(take.counts)
    return Object.entries<number>(on).reduce((total, [wire, rows]) => {
      const name = wire.slice("parts.".length)
      const pool = Math.min(rows, atMost[name] ?? Infinity)
      return total + (take._tag === "Epochs" ? rowsOf(pool, take.epochs[name] ?? 1) : pool)
    }, 0)
  },
  candidates: ({ take }, on) => Math.min(sum(on), take._tag === "PerPrompt" ? take.perPrompt : Infinity)
})

type IsUnion<A, B = A> = [A] extends [never] ? false : A extends unknown ? ([B] extends [A] ? false : true) : never

type Mixable<M> = IsUnion<Artifact.KindOf<M[keyof M]>> extends true
  ? `Mix.parts must be of one kind, not ${Artifact.KindOf<M[keyof M]>}`
  : {
    readonly [K in keyof M]: CheckedWire<"Mix", `parts.${K & string}`, typeof part, never, M[K]>
  }

type Shares<M, N> = { readonly [K in keyof M]: N }

/** All rows of all parts, or the shares that `take` says. */
export const make = <M extends Given>(
  parts: Judged<M, Mixable<M>>,
  params: {
    readonly take?:
      | Whole
      | { readonly counts: Shares<NoInfer<M>, number> }
      | { readonly weights: Shares<NoInfer<M>, number>; readonly count: number }
      | { readonly epochs: Shares<NoInfer<M>, number> }
      | { readonly temperature: number; readonly count: number }
      | { readonly perPrompt: number }
    readonly atMost?: Partial<Shares<NoInfer<M>, number>>
    readonly column?: string
    readonly seed?: number
  } = {}
): Computed<M, Artifact.KindOf<M[keyof M]>> => {
  const { take = new Whole(), ...rest } = params
  const tagged = "weights" in take
    ? { _tag: "Weights", ...take }
    : "counts" in take
    ? { _tag: "Counts", ...take }
    : "epochs" in take
    ? { _tag: "Epochs", ...take }
    : "temperature" in take
    ? { _tag: "Temperature", ...take }
    : "perPrompt" in take
    ? { _tag: "PerPrompt", ...take }
    : take
  return build(definition, grouped("parts", parts), { ...rest, take: tagged })
}
