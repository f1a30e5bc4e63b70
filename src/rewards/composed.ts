/**
 * The meaning of a reward made of rewards (`dsl/stages/Reward.ts`). A reward is a tree whose leaves are reward models and verifiers. The
 * numbers of the leaves are asked for first (`leaves.ts`), one by one; `combined` makes the reward of them, all at once, because `whiten`
 * reads all completions of a step. It is pure.
 */
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import { type BudgetExceeded, type JudgeFailed, UnusableData } from "../../dsl/Errors.ts"
import type { ByJudge, ByPairs, Condition, Rule } from "../../dsl/stages/Reward.ts"
import type { Weights } from "../engine/engine.ts"
import { groupAdvantages } from "../losses/advantages.ts"
import { whiten } from "../losses/whiten.ts"
import type { Verifier } from "../../dsl/Verifier.ts"
import type { Question } from "./verifier.ts"

/** A judge, an endpoint or a policy; `ask` is there once it is open, and gives rewards. */
export interface JudgeLeaf {
  readonly _tag: "Judge"
  readonly how: ByJudge | ByPairs
  readonly policy: Weights | undefined
  readonly ask:
    | ((
      questions: ReadonlyArray<Question>
    ) => Effect.Effect<ReadonlyArray<number>, BudgetExceeded | JudgeFailed | UnusableData>)
    | null
}

/** A leaf: a reward model `M`, a verifier, or a judge. The same leaf may stand in several places, and is asked once. Another source is a case here, and in `numbersOf`. */
export type Leaf<M> =
  | JudgeLeaf
  | { readonly _tag: "Model"; readonly model: M; readonly after: string | null }
  | { readonly _tag: "Verify"; readonly verifier: Verifier }

/** A rule with the parts on its wires, by their names (`of`, `parts.NAME`, `when.NAME`). */
export interface Ruled<M> {
  readonly _tag: "Ruled"
  readonly rule: Exclude<Rule, { readonly _tag: "Verify" | "ByJudge" | "ByPairs" | "Of" }>
  readonly parts: Readonly<Record<string, Composed<M>>>
}

export type Composed<M> = Leaf<M> | Ruled<M>

/** The reward model itself. */
export const plain = <M>(model: M): Leaf<M> => ({ _tag: "Model", model, after: null })

/** The leaves of a reward, each once, in a fixed order. */
export const leavesOf = <M>(reward: Composed<M>): ReadonlyArray<Leaf<M>> => [
  ...new Set(reward._tag === "Ruled" ? Object.values(reward.parts).flatMap(leavesOf) : [reward])
]

/** Whether a leaf compares the completions of a prompt with each other, so that it has to see all of them at once. */
export const compares = <M>(leaf: Leaf<M>): boolean =>
  leaf._tag === "Judge" && leaf.how._tag === "ByPairs" && leaf.how.against === "group"

/** The steps from which parts of a reward count. */
export const turnsOf = <M>(reward: Composed<M>): ReadonlyArray<number> =>
  reward._tag !== "Ruled" ? [] : [
    ...reward.rule._tag === "From" ? [reward.rule.step] : [],
    ...Object.values(reward.parts).flatMap(turnsOf)
  ]

/** The same reward with other models; a leaf stays one leaf. */
export const withModels = <A, B>(
  reward: Composed<A>,
  of: (model: A) => B,
  judge: (leaf: JudgeLeaf) => JudgeLeaf = (leaf) => leaf
): Composed<B> => {
  const known = new Map<Composed<A>, Composed<B>>()
  const change = (one: Composed<A>): Composed<B> => {
    const found = known.get(one)
    if (found !== undefined) return found
    const made: Composed<B> = one._tag === "Verify"
      ? one
      : one._tag === "Judge"
      ? judge(one)
      : one._tag === "Model"
      ? { ...one, model: of(one.model) }
      : { ...one, parts: Object.fromEntries(Object.entries(one.parts).map(([name, part]) => [name, change(part)])) }
    known.set(one, made)
    return made
  }
  return change(reward)
}

/** The kind of a row: its column, or where there is none, as a judge without columns says (`simulate`). */
export type KindOf = (
  row: Pick<Question, "columns" | "prompt">,
  column: string,
  kinds: ReadonlyArray<string>
) => unknown

export const kindOf: KindOf = ({ columns }, column) => columns?.[column]

/** Where and when a reward is asked for. */
export interface Moment {
  /** Steps that were made before; Infinity in a stage without steps. */
  readonly step: number
  readonly kindOf: KindOf
}

const kindsIn = <M>({ parts }: Ruled<M>): ReadonlyArray<string> =>
  Object.keys(parts).map((name) => name.replace(/^parts\./u, ""))

/** Whether a condition holds, as far as it is known without asking a reward; undefined where it is not. */
const known = (when: Condition, row: Question, { kindOf }: Moment): boolean | undefined => {
  if (when._tag === "Below") return undefined
  if (when._tag === "KindIs") return kindOf(row, when.column, [when.kind, ""]) === when.kind
  const each = when.of.map((one) => known(one, row, { step: 0, kindOf }))
  return each.includes(true) ? true : each.includes(undefined) ? undefined : false
}

/** The rows that each leaf has to be asked for: none of another kind, none before its step. `without` is told of rows without a reward. */
export const asked = <M>(
  reward: Composed<M>,
  questions: ReadonlyArray<Question>,
  moment: Moment,
  without: (row: number, column: string, kind: unknown, kinds: ReadonlyArray<string>) => void = () => {}
): ReadonlyMap<Leaf<M>, ReadonlyArray<number>> => {
  const rows = new Map<Leaf<M>, Set<number>>()
  const visit = (one: Composed<M>, at: ReadonlyArray<number>): void => {
    if (at.length === 0) return
    if (one._tag !== "Ruled") {
      const before = rows.get(one) ?? new Set()
      for (const row of at) before.add(row)
      rows.set(one, before)
      return
    }
    const { parts, rule } = one
    if (rule._tag === "From" && moment.step < rule.step) return
    if (rule._tag === "ByKind") {
      const kinds = kindsIn(one)
      const own = at.map((row) => moment.kindOf(questions[row]!, rule.column, kinds))
      for (const kind of kinds) visit(parts[`parts.${kind}`]!, at.filter((_, i) => own[i] === kind))
      own.forEach((kind, i) => {
        if (!kinds.some((one) => one === kind)) without(at[i]!, rule.column, kind, kinds)
      })
    } else if (rule._tag === "Gate") {
      const holds = (row: number) => known(rule.when, questions[row]!, moment)
      for (const [wire, part] of Object.entries(parts)) {
        visit(
          part,
          at.filter((row) =>
            wire === "parts.then"
              ? holds(row) !== false
              : wire === "parts.otherwise"
              ? holds(row) !== true
              : holds(row) === undefined
          )
        )
      }
    } else for (const part of Object.values(parts)) visit(part, at)
  }
  visit(reward, questions.map((_, i) => i))
  return new Map([...rows].map(([leaf, at]) => [leaf, [...at].sort((a, b) => a - b)]))
}

/** Count, mean and Σ(r − mean)² of all completions so far, for each `whiten(r, { over: "run" })`, by its place in the tree. */
export type Running = Readonly<Record<string, readonly [n: number, mean: number, squares: number]>>

/** From the JSON of a checkpoint. */
export const runningOf = (state: Schema.Json): Running => (state as { readonly reward?: Running } | null)?.reward ?? {}

/** As JSON for a checkpoint; nothing where no reward is whitened over the run. */
export const runningState = (running: Running) => Object.keys(running).length === 0 ? {} : { reward: running }

export interface Combined {
  readonly scores: Float64Array
  /** The rewards of each part by its name, of the completions that it judged, before they were whitened. */
  readonly parts: Readonly<Record<string, Float64Array>>
  readonly running: Running
}

const mapped = (values: Float64Array, f: (value: number) => number): Float64Array => values.map(f)

/** A probability is kept so far from 0 and 1. */
const edge = 1e-6

/**
 * The rewards of completions, given the numbers of each leaf for the rows that it was asked. Not `whitened`, numbers stay as they are where
 * the reward says `whiten`.
 */
export const combined = <M>(
  ...given: Parameters<typeof combining<M>>
): Effect.Effect<Combined, UnusableData> =>
  Effect.try({
    try: () => combining(...given),
    catch: (error) => {
      if (error instanceof UnusableData) return error
      throw error
    }
  })

const combining = <M>(
  stage: string,
  reward: Composed<M>,
  numbers: ReadonlyMap<Leaf<M>, ArrayLike<number | null>>,
  questions: ReadonlyArray<Question>,
  moment: Moment,
  { running = {}, whitened = true }: { readonly running?: Running; readonly whitened?: boolean } = {}
): Combined => {
  const parts: Record<string, Float64Array> = {}
  const next: Record<string, Running[string]> = { ...running }
  /** `name` of the nearest part, `place` of the node in the tree. */
  const value = (one: Composed<M>, at: ReadonlyArray<number>, name: string, place: string): Float64Array => {
    if (one._tag !== "Ruled") {
      const of = numbers.get(one)!
      const weight = one._tag === "Verify" ? one.verifier.weight : 1
      return Float64Array.from(at, (row) => weight * (of[row] ?? 0))
    }
    const { rule } = one
    const inside = (wire: string, rows = at, called = name) => value(one.parts[wire]!, rows, called, `${place}/${wire}`)
    const part = (wire: string, own: string, rows = at): Float64Array => {
      const called = name === "" ? own : `${name}.${own}`
      const values = inside(wire, rows, called)
      if (values.length > 0) parts[called] ??= values
      return values
    }
    switch (rule._tag) {
      case "Sum": {
        const sum = new Float64Array(at.length)
        for (const term of kindsIn(one)) {
          const weight = rule.weights[term] ?? 1
          part(`parts.${term}`, term).forEach((x, i) => (sum[i]! += weight * x))
        }
        return sum
      }
      case "ByKind": {
        const kinds = kindsIn(one)
        const own = at.map((row) => moment.kindOf(questions[row]!, rule.column, kinds))
        return scattered(
          at,
          kinds.map((kind) => {
            const rows = at.filter((_, i) => own[i] === kind)
            return [rows, part(`parts.${kind}`, kind, rows)]
          })
        )
      }
      case "Gate": {
        const open = at.filter((row) => known(rule.when, questions[row]!, moment) === undefined)
        const read = new Map<string, ReadonlyMap<number, number>>()
        for (const wire of Object.keys(one.parts)) {
          if (!wire.startsWith("when.")) continue
          const values = inside(wire, open)
          read.set(wire.slice("when.".length), new Map(open.map((row, i) => [row, values[i]!])))
        }
        const holds = (when: Condition, row: number): boolean =>
          when._tag === "Either"
            ? when.of.some((each) => holds(each, row))
            : when._tag === "KindIs"
            ? known(when, questions[row]!, moment)!
            : (read.get(when.name)!.get(row) ?? Infinity) < when.bound
        const yes = at.filter((row) => holds(rule.when, row))
        const passed = new Set(yes)
        const no = at.filter((row) => !passed.has(row))
        return scattered(at, [[yes, part("parts.then", "then", yes)], [no, part("parts.otherwise", "otherwise", no)]])
      }
      case "Sigmoid":
        return mapped(inside("of"), (x) => 1 / (1 + Math.exp(-x)))
      case "Logit":
        return mapped(inside("of"), (p) => {
          if (!(p >= 0 && p <= 1)) {
            throw new UnusableData({
              stage,
              problem: `Reward.logit takes a probability, and a reward is ${p}`,
              remedy: "Put Reward.sigmoid before it where the reward is a reward model's log-odds."
            })
          }
          const within = Math.min(1 - edge, Math.max(edge, p))
          return Math.log(within / (1 - within))
        })
      case "Clip":
        return mapped(inside("of"), (x) => Math.min(rule.max, Math.max(rule.min, x)))
      case "From":
        return moment.step < rule.step ? new Float64Array(at.length) : inside("of")
      case "Whiten": {
        const values = inside("of")
        // Its own mean is always 0: a part is told as it was before.
        if (name !== "" && values.length > 0) parts[name] ??= values
        if (!whitened || values.length === 0) return values
        if (rule.over === "step") return values.every((x) => x === values[0]) ? mapped(values, () => 0) : whiten(values)
        if (rule.over === "group") return grouped(values, at.map((row) => questions[row]!.prompt))
        next[place] = added(next[place] ?? [0, 0, 0], values)
        const [n, mean, squares] = next[place]
        return mapped(values, (x) => (x - mean) / Math.sqrt(squares / n + 1e-8))
      }
    }
  }
  const all = questions.map((_, i) => i)
  const scores = value(reward, all, "", "")
  return { scores, parts, running: next }
}

/** Values of some of the rows `at` each, in the order of `at`. */
const scattered = (
  at: ReadonlyArray<number>,
  some: ReadonlyArray<readonly [rows: ReadonlyArray<number>, values: Float64Array]>
): Float64Array => {
  const of = new Map(some.flatMap(([rows, values]) => rows.map((row, i) => [row, values[i]!] as const)))
  return Float64Array.from(at, (row) => of.get(row) ?? 0)
}

/** GRPO's advantage within each group of the same prompt: (r − mean) / (standard deviation + 10⁻⁴). */
const grouped = (values: Float64Array, prompts: ReadonlyArray<string>): Float64Array => {
  const groups = new Map<string, Array<number>>()
  prompts.forEach((prompt, i) => groups.set(prompt, [...groups.get(prompt) ?? [], i]))
  const made = new Float64Array(values.length)
  for (const rows of groups.values()) {
    const own = Float64Array.from(rows, (row) => values[row]!)
    groupAdvantages({ _tag: "GroupStd", ddof: 1, epsilon: 1e-4 }, own, own.length).forEach((
      x,
      i
    ) => (made[rows[i]!] = x))
  }
  return made
}

/** Count, mean and squares with more numbers (Chan, Golub and LeVeque 1983). */
const added = ([n, mean, squares]: Running[string], values: Float64Array): Running[string] => {
  let [count, m, s] = [n, mean, squares]
  for (const x of values) {
    count++
    const from = x - m
    m += from / count
    s += from * (x - m)
  }
  return [count, m, s]
}
