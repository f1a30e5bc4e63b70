/** Every member of every model, through everything that wraps an engine. */
import { Effect } from "effect"
import { assert, describe, it } from "vitest"
import { type HostWork, watchedEngine } from "../../src/planning/cost/hostWork.ts"
import { aroundEngine, policyVerbs, scorerVerbs, unchanged, type Verbs } from "../../src/engine/around.ts"
import type { Batch, Engine, Policy, Scorer, Weights } from "../../src/engine/engine.ts"
import { interruptible } from "../../src/engine/interruptible.ts"
import { Abandoned } from "../../src/model/foreign.ts"
import { metering } from "../../src/engine/metering.ts"
import { opening } from "../../src/engine/microBatches.ts"
import { tabular } from "../../src/engine/tabular/tabular.ts"
import { world } from "../../src/engine/tabular/world.ts"
import { countedEngine } from "../../src/planning/countedEngine.ts"
import { transformer } from "../../src/engine/transformer/transformer.ts"
import { reference } from "../../src/tensor/reference.ts"
import { movable } from "../../src/training/reference.ts"
import { randomPolicy } from "./tabularWorlds.ts"

const of = world({ prompts: 1, vocab: 3, horizon: 2, seed: "around" })
const weights = randomPolicy(of, "around")
const shape = { dim: 8, layers: 1, heads: 2, kvHeads: 1, ffn: 8, context: 8, words: ["a", "b"], seed: "around" }
type Model = Policy | Scorer
const kindsOf = (model: Model): Readonly<Record<string, keyof Verbs | null>> =>
  "sample" in model ? policyVerbs : scorerVerbs

const row: Batch = [{ prompt: Int32Array.of(1, 2), completion: Int32Array.of(3, 4, 5) }]
const offsets = Int32Array.of(0, 3)
/** What each verb is asked, and what a model answers that only notes it. */
const asked: Readonly<Record<string, readonly [args: ReadonlyArray<unknown>, answer: unknown]>> = {
  logprobs: [[row, { retain: true }], { offsets }],
  values: [[row, { retain: true }], { offsets }],
  divergences: [[row, null, () => 0, { retain: true }], { offsets }],
  learn: [[row, () => []], { offsets }],
  backward: [[new Float64Array(3)], undefined],
  step: [[{ learningRate: 1 }], 1],
  sample: [[[Int32Array.of(1, 2)], {}, ["seed"]], [{ completion: Int32Array.of(3, 4) }]],
  weights: [[], weights],
  follow: [[null, 0.5], undefined],
  optimizer: [[], null],
  restore: [[null], undefined],
  dispose: [[], undefined]
}
const called = (model: Model, name: string): unknown =>
  (model[name as keyof Model] as (...args: ReadonlyArray<unknown>) => unknown)(...asked[name]![0])

/** An engine whose models note what they are asked. */
const noting = (notes: Array<readonly [name: string, args: ReadonlyArray<unknown>]>): Engine => {
  const model = (kinds: Readonly<Record<string, unknown>>, by = "") =>
    Object.fromEntries(
      Object.entries(kinds).map(([name, kind]) => [
        name,
        kind === null ? 7 : (...args: ReadonlyArray<unknown>) => {
          notes.push([by + name, args])
          return asked[name]![1]
        }
      ])
    )
  return {
    ...tabular(of),
    policy: ({ config }: Weights) => model(policyVerbs, (config["by"] ?? "") as string) as unknown as Policy,
    scorer: () => model(scorerVerbs) as unknown as Scorer
  }
}
const models = (engine: Engine): ReadonlyArray<Model> => [engine.policy(weights), engine.scorer(weights)]

describe("the list of verbs", () => {
  it("is all that the models of every engine have, but for the two that are not the interface's", () => {
    for (const engine of [tabular(of), transformer(reference()), countedEngine().engine]) {
      const initial = engine.initial(shape)
      for (const model of [engine.policy(initial), engine.scorer(initial)]) {
        const kinds = kindsOf(model)
        assert.includeMembers(["logits", "opened", ...Object.keys(kinds)], Object.keys(model))
        for (const [name, kind] of Object.entries(kinds)) {
          assert.strictEqual(typeof model[name as keyof Model], kind === null ? "number" : "function", name)
        }
        model.dispose()
      }
    }
  })
})

describe("each verb, through everything that wraps an engine", () => {
  const watching = (seen: Array<HostWork>) => (engine: Engine) =>
    watchedEngine(engine, {
      during: (what, work, amount) => {
        const value = work()
        amount(value)
        seen.push(what)
        return value
      },
      effect: (_, work) => work
    })
  const wrappers: Readonly<Record<string, (engine: Engine) => Engine>> = {
    "nothing around": (engine) => aroundEngine(engine, { model: () => unchanged }),
    "counting": (engine) => metering(engine, () => {}).engine,
    "timing": watching([]),
    "micro-batches": (engine) => opening(engine, { slots: 1 }),
    "Ctrl-C": (engine) => Effect.runSync(Effect.scoped(interruptible(engine))).engine
  }

  for (const [name, wrap] of Object.entries(wrappers)) {
    it(`${name}: comes through with its arguments and its answer`, () => {
      const notes: Array<readonly [string, ReadonlyArray<unknown>]> = []
      for (const model of models(wrap(noting(notes)))) {
        assert.sameMembers(Object.keys(model), Object.keys(kindsOf(model)))
        for (const [verb, kind] of Object.entries(kindsOf(model))) {
          if (kind === null) {
            assert.strictEqual(model[verb as keyof Model] as unknown, 7)
            continue
          }
          const [args, answer] = asked[verb]!
          assert.strictEqual(called(model, verb), answer)
          const [noted, got] = notes.pop()!
          assert.strictEqual(noted, verb)
          // A divergence is counted inside.
          args.forEach((arg, i) => typeof arg === "function" || assert.strictEqual(got[i], arg, verb))
        }
      }
      assert.deepStrictEqual(notes, [])
    })
  }

  it("Ctrl-C ends it, and afterwards nothing of the engine answers but that it is closed", () => {
    for (const first of [...Object.keys(policyVerbs), ...Object.keys(scorerVerbs)]) {
      const kind = { ...policyVerbs, ...scorerVerbs }[first as keyof Policy | keyof Scorer]
      if (kind === null || kind === "state" || kind === "dispose") continue
      Effect.runSync(Effect.scoped(Effect.gen(function*() {
        const { engine } = yield* interruptible(noting([]))
        const all = models(engine)
        process.listeners("SIGINT").at(-1)!("SIGINT")
        assert.throws(() => called(all.find((model) => first in model)!, first), Abandoned)
        for (const model of all) {
          for (const [verb, kind] of Object.entries(kindsOf(model))) {
            if (kind === null) continue
            if (kind === "dispose") assert.doesNotThrow(() => called(model, verb))
            else assert.throws(() => called(model, verb), Abandoned, undefined, verb)
          }
        }
        assert.throws(() => engine.policy(weights), Abandoned)
        assert.throws(() => engine.initial(shape), Abandoned)
      })))
    }
  })

  it("is counted: tokens with a gradient, tokens sampled", () => {
    const { counts, engine } = metering(noting([]), () => {})
    for (const model of models(engine)) {
      for (const [verb, kind] of Object.entries(kindsOf(model))) {
        const before = counts()
        if (kind !== null) called(model, verb)
        const learns = kind === "pass" || kind === "compare" || kind === "learn"
        assert.strictEqual(counts().trained - before.trained, learns ? 3 : 0, verb)
        assert.strictEqual(counts().generated - before.generated, kind === "sample" ? 2 : 0, verb)
      }
    }
  })

  it("is timed, but for weights that are read", () => {
    const seen: Array<HostWork> = []
    for (const model of models(watching(seen)(noting([])))) {
      for (const [verb, kind] of Object.entries(kindsOf(model))) {
        seen.length = 0
        if (kind !== null) called(model, verb)
        assert.lengthOf(seen, kind === null || kind === "state" || kind === "dispose" ? 0 : 1, verb)
      }
    }
  })

  it("of a reference that moved is the new one's", () => {
    const notes: Array<readonly [string, ReadonlyArray<unknown>]> = []
    const by = (name: string): Weights => ({ ...weights, config: { by: name } })
    const model = movable(noting(notes).policy)(by("old "))
    model.moveTo(by("new "))
    assert.deepStrictEqual(notes.splice(0), [["old dispose", []]])
    for (const [verb, kind] of Object.entries(policyVerbs)) {
      if (kind === null) continue
      assert.strictEqual(called(model, verb), asked[verb]![1])
      assert.strictEqual(notes.pop()![0], `new ${verb}`)
    }
  })
})
