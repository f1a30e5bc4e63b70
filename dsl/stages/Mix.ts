/**
 * A mixture of rows of one kind: everything (`whole`), so many of each part (`counts`), or so many in all by weight (`weights`). Drawn
 * without replacement from a fresh shuffle; a part that is asked for more rows than it has is passed over again. Done by
 * `src/data/mix.ts`.
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

export const Take = Schema.Union([Whole, Counts, Weights]).pipe(Schema.toTaggedUnion("_tag"))
export type Take = typeof Take.Type

export class Mix extends Schema.TaggedClass<Mix>()("Mix", { take: or(Take, new Whole()), seed: Seed }) {}

const part = rows("rows to mix, e.g. Source.demonstrations(…)")

const sum = (of: Readonly<Record<string, number>>): number => Object.values(of).reduce((total, n) => total + n, 0)

export const definition = define(Mix, {}, {
  wiresOf: (connected) => wiresOf("parts", connected, part),
  mistakes: ({ take }, connected) => {
    const parts = groupOf("parts", connected)
    const [names, kinds] = [Object.keys(parts), new Set(Object.values(parts).map(({ node }) => node.kind))]
    const shares = take._tag === "Counts" ? take.counts : take._tag === "Weights" ? take.weights : parts
    return [
      names.length === 0 && "it has nothing to mix",
      kinds.size > 1 && `its parts are of different kinds: ${[...kinds].sort().join(", ")}`,
      ...names.filter((name) => !Object.hasOwn(shares, name)).map((name) => `no share is given for its part ${name}`),
      ...Object.keys(shares).filter((name) => !Object.hasOwn(parts, name)).map((name) =>
        `it has no part ${name}; its parts are ${names.join(", ")}`
      )
    ]
  },
  makes: (_, wires) => ({ kind: Object.values(wires)[0]?.node.kind ?? "Prompts", family: "" }),
  rows: ({ take }, on) => take._tag === "Weights" ? take.count : sum(take._tag === "Counts" ? take.counts : on),
  candidates: (_, on) => sum(on)
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
    readonly seed?: number
  } = {}
): Computed<M, Artifact.KindOf<M[keyof M]>> => {
  const { take = new Whole(), ...rest } = params
  const tagged = "weights" in take
    ? { _tag: "Weights", ...take }
    : "counts" in take
    ? { _tag: "Counts", ...take }
    : take
  return build(definition, grouped("parts", parts), { ...rest, take: tagged })
}
