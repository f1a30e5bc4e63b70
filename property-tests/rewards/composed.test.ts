/** Laws of rewards made of rewards, on arbitrary trees and numbers; `property-tests/interpreters/reward.test.ts` holds stages to them. */
import { Effect, Exit } from "effect"
import fc from "fast-check"
import { assert, describe, it } from "vitest"
import { Verifier } from "../../dsl/index.ts"
import * as R from "../../dsl/stages/Reward.ts"
import {
  asked,
  combined,
  type Composed,
  kindOf,
  type Leaf,
  leavesOf,
  plain,
  type Ruled,
  type Running
} from "../../src/rewards/composed.ts"
import type { Question } from "../../src/rewards/verifier.ts"

type Tree = Composed<string>

const ruled = (rule: Ruled<string>["rule"], parts: Readonly<Record<string, Tree>>): Tree => ({
  _tag: "Ruled",
  rule,
  parts
})
const [a, b] = [plain("a"), plain("b")]
const v: Leaf<string> = { _tag: "Verify", verifier: Verifier.lastNumber({ weight: 2 }) }
const sum = (parts: Readonly<Record<string, Tree>>, weights: Readonly<Record<string, number>> = {}): Tree =>
  ruled(new R.Sum({ weights }), Object.fromEntries(Object.entries(parts).map(([name, of]) => [`parts.${name}`, of])))
const byKind = (parts: Readonly<Record<string, Tree>>): Tree =>
  ruled(new R.ByKind({}), Object.fromEntries(Object.entries(parts).map(([name, of]) => [`parts.${name}`, of])))
const gate = (when: R.Condition, then: Tree, otherwise: Tree, reads: Readonly<Record<string, Tree>> = {}): Tree =>
  ruled(new R.Gate({ when }), {
    "parts.then": then,
    "parts.otherwise": otherwise,
    ...Object.fromEntries(Object.entries(reads).map(([name, of]) => [`when.${name}`, of]))
  })
const one = (rule: Ruled<string>["rule"], of: Tree): Tree => ruled(rule, { of })
const whiten = (of: Tree, over: "step" | "group" | "run" = "step") => one(new R.Whiten({ over }), of)

/** Rows of two prompts and two kinds, and a number of each leaf. */
const rows = fc.array(
  fc.record({
    prompt: fc.constantFrom("p", "q"),
    kind: fc.constantFrom("x", "y"),
    a: fc.double({ min: -10, max: 10, noNaN: true }),
    b: fc.double({ min: -10, max: 10, noNaN: true }),
    v: fc.double({ min: 0, max: 1, noNaN: true })
  }),
  { minLength: 1, maxLength: 12 }
)
type Rows = ReadonlyArray<{ prompt: string; kind: string; a: number; b: number; v: number }>

const questionsOf = (of: Rows) =>
  of.map(({ kind, prompt }, i): Question => ({ prompt, completion: "", columns: { kind }, row: i + 1 }))
const numbersOf = (of: Rows) =>
  new Map<Leaf<string>, ReadonlyArray<number>>([
    [a, of.map(({ a }) => a)],
    [b, of.map(({ b }) => b)],
    [v, of.map(({ v }) => v)]
  ])
const at = (step: number) => ({ step, kindOf })
const made = (tree: Tree, of: Rows, step = Infinity, running: Running = {}) =>
  Effect.runSync(combined("here", tree, numbersOf(of), questionsOf(of), at(step), { running }))
const scores = (tree: Tree, of: Rows, step?: number) => [...made(tree, of, step).scores]

const leaf = fc.constantFrom<Tree>(a, b, v)
const trees = fc.letrec<{ tree: Tree }>((tie) => ({
  tree: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    leaf,
    fc.record({ x: tie("tree"), y: tie("tree"), weight: fc.double({ min: -3, max: 3, noNaN: true }) }).map(
      ({ weight, x, y }) => sum({ x, y }, { x: weight })
    ),
    fc.record({ x: tie("tree"), y: tie("tree") }).map(byKind),
    fc.record({ c: tie("tree"), x: tie("tree"), y: tie("tree"), bound: fc.double({ min: -3, max: 3, noNaN: true }) })
      .map(
        ({ bound, c, x, y }) =>
          gate(new R.Either({ of: [new R.KindIs({ kind: "x" }), new R.Below({ name: "c", bound })] }), x, y, { c })
      ),
    tie("tree").map((of) => one(new R.Logit({}), one(new R.Sigmoid({}), of))),
    tie("tree").map((of) => one(new R.Clip({ min: -1, max: 2 }), of)),
    fc.record({ of: tie("tree"), over: fc.constantFrom("step", "group", "run") } as const).map(({ of, over }) =>
      whiten(of, over)
    ),
    fc.record({ of: tie("tree"), step: fc.nat(3) }).map(({ of, step }) => one(new R.From({ step }), of))
  )
})).tree

const near = (x: ReadonlyArray<number>, y: ReadonlyArray<number>, within = 1e-9) => {
  assert.lengthOf(x, y.length)
  x.forEach((value, i) => assert.closeTo(value, y[i]!, within * Math.max(1, Math.abs(y[i]!))))
}

describe("a reward made of rewards", () => {
  it("is pure and total: a finite number for every completion, the same twice, and asks each leaf that it reads", () => {
    fc.assert(
      fc.property(trees, rows, fc.nat(4), (tree, of, step) => {
        const first = made(tree, of, step)
        assert.deepStrictEqual(made(tree, of, step), first)
        assert.isTrue(
          [...first.scores, ...Object.values(first.parts).flatMap((part) => [...part])].every(Number.isFinite)
        )
        // Numbers of leaves that were not asked have no effect.
        const wanted = asked(tree, questionsOf(of), at(step))
        const less = new Map(
          [...numbersOf(of)].map(([leaf, values]) => {
            const asked = new Set(wanted.get(leaf))
            return [leaf, values.map((value, i) => asked.has(i) ? value : null)] as const
          })
        )
        assert.includeMembers(leavesOf(tree) as Array<Leaf<string>>, [...wanted.keys()])
        assert.deepStrictEqual(Effect.runSync(combined("here", tree, less, questionsOf(of), at(step))), first)
      }),
      { numRuns: 400 }
    )
  })

  it("sum is linear in its weights and its parts", () => {
    fc.assert(fc.property(trees, trees, rows, fc.double({ min: -3, max: 3, noNaN: true }), (x, y, of, weight) => {
      const [sx, sy] = [scores(x, of), scores(y, of)]
      near(scores(sum({ x, y }, { y: weight }), of), sx.map((value, i) => value + weight * sy[i]!))
      near(scores(sum({ x: sum({ x, y }), y }), of), sx.map((value, i) => value + 2 * sy[i]!))
    }))
  })

  it("gate and byKind give each completion exactly one of their rewards", () => {
    fc.assert(fc.property(rows, fc.double({ min: -3, max: 3, noNaN: true }), (of, bound) => {
      const below = new R.Below({ name: "c", bound })
      const either = new R.Either({ of: [new R.KindIs({ kind: "y" }), below] })
      assert.deepStrictEqual(
        scores(gate(below, a, b, { c: v }), of),
        of.map((row) => 2 * row.v < bound ? row.a : row.b)
      )
      assert.deepStrictEqual(
        scores(gate(either, a, b, { c: v }), of),
        of.map((row) => row.kind === "y" || 2 * row.v < bound ? row.a : row.b)
      )
      assert.deepStrictEqual(scores(byKind({ x: a, y: b }), of), of.map(({ a, b, kind }) => kind === "x" ? a : b))
      const { parts } = made(byKind({ x: a, y: b }), of)
      assert.deepStrictEqual([...parts["x"] ?? []], of.filter(({ kind }) => kind === "x").map(({ a }) => a))
      // One kind is not asked for the other's reward.
      const wanted = asked(byKind({ x: a, y: b }), questionsOf(of), at(0)).get(a) ?? []
      assert.deepStrictEqual(wanted, of.flatMap(({ kind }, i) => kind === "x" ? [i] : []))
    }))
  })

  it("whiten has mean 0 and standard deviation 1 over the step, each group, and the run; equal rewards become 0", () => {
    const moments = (values: ReadonlyArray<number>, ddof: number) => {
      const mean = values.reduce((sum, x) => sum + x, 0) / values.length
      return [mean, Math.sqrt(values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / (values.length - ddof))] as const
    }
    const spread = rows.filter((of) => of.length > 1 && moments(of.map(({ a }) => a), 1)[1] > 0.1)
    fc.assert(fc.property(spread, (of) => {
      const [mean, deviation] = moments(scores(whiten(a), of), 1)
      assert.closeTo(mean, 0, 1e-9)
      assert.closeTo(deviation, 1, 1e-5)
      for (const prompt of ["p", "q"]) {
        const own = scores(whiten(a, "group"), of).filter((_, i) => of[i]!.prompt === prompt)
        const raw = of.filter((row) => row.prompt === prompt).map(({ a }) => a)
        if (own.length < 2 || moments(raw, 1)[1] < 0.1) continue
        const [mean, deviation] = moments(own, 1)
        assert.closeTo(mean, 0, 1e-9)
        assert.closeTo(deviation, 1, 2e-3)
      }
    }))
    fc.assert(fc.property(spread, spread, (first, second) => {
      const tree = whiten(a, "run")
      const { running } = made(tree, first, 0)
      const all = [...first, ...second]
      const [mean, deviation] = moments(all.map(({ a }) => a), 0)
      near([...made(tree, second, 1, running).scores], second.map(({ a }) => (a - mean) / deviation), 1e-4)
      assert.strictEqual(Object.values(made(tree, second, 1, running).running)[0]![0], all.length)
    }))
    const same = [1, 2, 3].map(() => ({ prompt: "p", kind: "x", a: 0.1, b: 0, v: 0 }))
    for (const over of ["step", "group"] as const) assert.deepStrictEqual(scores(whiten(a, over), same), [0, 0, 0])
  })

  it("clip, sigmoid, logit and from are what they say; logit refuses what is no probability", () => {
    fc.assert(fc.property(rows, (of) => {
      const clipped = one(new R.Clip({ min: -1, max: 2 }), a)
      assert.deepStrictEqual(scores(clipped, of), of.map(({ a }) => Math.min(2, Math.max(-1, a))))
      near(scores(one(new R.Logit({}), one(new R.Sigmoid({}), a)), of), of.map(({ a }) => a), 1e-6)
      const later = one(new R.From({ step: 3 }), a)
      assert.deepStrictEqual(scores(later, of, 2), of.map(() => 0))
      assert.deepStrictEqual(scores(later, of, 3), of.map(({ a }) => a))
      assert.strictEqual(asked(later, questionsOf(of), at(2)).size, 0)
    }))
    const wrong = [{ prompt: "p", kind: "x", a: 1.5, b: 0, v: 0 }]
    const exit = Effect.runSyncExit(
      combined("here", one(new R.Logit({}), a), numbersOf(wrong), questionsOf(wrong), at(0))
    )
    assert.match(
      String(Exit.isFailure(exit) && exit.cause),
      /takes a probability, and a reward is 1\.5.*Reward\.sigmoid/u
    )
    const edges = [0, 1].map((a) => ({ prompt: "p", kind: "x", a, b: 0, v: 0 }))
    const [low, high] = scores(one(new R.Logit({}), a), edges)
    assert.closeTo(low!, -high!, 1e-6)
    assert.closeTo(high!, Math.log(1e6), 1e-5)
  })
})
