import * as fc from "fast-check"
import { Result } from "effect"
import { assert, describe, it } from "vitest"
import * as Artifact from "../../dsl/Artifact.ts"
import { Grpo, PolicyGradient, Pretrain, Source, Verifier } from "../../dsl/index.ts"
import * as Pipeline from "../../dsl/Pipeline.ts"
import { distance, meant, nearest } from "../../dsl/Spelling.ts"
import { problems } from "../../src/interpreters/check.ts"

const word = fc.string({ unit: fc.constantFrom("a", "b", "c"), maxLength: 6 })

/** By definition: the best of every way to begin. */
const slow = (a: string, b: string): number => {
  if (a === "" || b === "") return a.length + b.length
  const ways = [
    slow(a.slice(1), b) + 1,
    slow(a, b.slice(1)) + 1,
    slow(a.slice(1), b.slice(1)) + (a[0] === b[0] ? 0 : 1)
  ]
  if (a.length > 1 && b.length > 1 && a[0] === b[1] && a[1] === b[0]) ways.push(slow(a.slice(2), b.slice(2)) + 1)
  return Math.min(...ways)
}

describe("the edit distance", () => {
  it("is that of its definition", () => {
    fc.assert(fc.property(word, word, (a, b) => assert.strictEqual(distance(a, b), slow(a, b))))
  })

  it("is symmetric, and 0 for equal words alone", () => {
    fc.assert(fc.property(word, word, (a, b) => {
      assert.strictEqual(distance(a, b), distance(b, a))
      assert.strictEqual(distance(a, b) === 0, a === b)
    }))
  })
})

describe("the nearest name", () => {
  it("is the one with one wrong letter, and none for another word", () => {
    const names = ["learningRate", "batchSize", "beta"]
    for (const wrong of ["learningrate", "lerningRate", "learnigRate", "laerningRate"]) {
      assert.strictEqual(nearest(wrong, names), "learningRate")
    }
    assert.strictEqual(nearest("temperature", names), undefined)
    assert.strictEqual(meant("bta", names), ": beta was meant?")
    assert.strictEqual(meant("zzz", names), "")
    assert.strictEqual(nearest("a".repeat(1e6), names), undefined)
  })
})

const base = Pretrain.make({ text: Source.text(Source.tales({ count: 8 })) }, {
  family: "tales",
  model: { dim: 8, layers: 1, heads: 1, kvHeads: 1, ffn: 8, context: 16 },
  steps: 1,
  batchSize: 1,
  learningRate: 1e-3
})
const prompts = Source.prompts(Source.tales({ count: 8 }))
const held = Source.prompts(Source.tales({ split: "held", count: 8 }))
const grpo = Grpo.make({ init: base, reference: base, prompts, held }, {
  ...PolicyGradient.grpo,
  verifiers: [Verifier.keywords()],
  steps: 1,
  batchSize: 1,
  groupSize: 2,
  learningRate: 1e-3,
  maxNewTokens: 4
} as never)

/** The mistakes after `--set`, as `check` and as the reader of descriptions see them. */
const after = (root: Artifact.Any, path: string): ReadonlyArray<string> => {
  const changed = Result.getOrThrow(Pipeline.set(root, path, 1))
  const read = Pipeline.fromJson(Pipeline.toJson(changed))
  const found = problems(changed).map(({ problem }) => problem)
  const told = Result.isFailure(read) ? read.failure.problems : []
  const unknown = (all: ReadonlyArray<string>) => all.filter((one) => one.includes("no excess property"))
  assert.deepStrictEqual(
    unknown(told).map((one) => one.replace(/^node \S+ \S+: /u, "")),
    unknown(found),
    "check and fromJson say the same"
  )
  return unknown(found)
}

describe("an unknown key of a description", () => {
  it("is named with the nearest key of its place, at any depth", () => {
    const says = (path: string, key: string, hint: string) => {
      const [one] = after(grpo, path)
      assert.match(one ?? "", new RegExp(`\\["${key}"\\]${hint}$`, "u"), path)
    }
    says("pretrain.learningrate", "learningrate", ": learningRate was meant\\?")
    says("pretrain.stesp", "stesp", ": steps was meant\\?")
    says("pretrain.zzz", "zzz", ": leave it out")
    says("pretrain.model.kvheads", "kvheads", ": kvHeads was meant\\?")
    says("source.origin.cuont", "cuont", ": count was meant\\?")
    says("grpo.loss.agregation", "agregation", ": aggregation was meant\\?")
  })

  it("and an unknown operation likewise", () => {
    assert.match(Result.merge(Pipeline.set(grpo, "gpo.beta", 1)) as string, /: grpo was meant\?$/u)
    const json = Pipeline.toJson(base).replaceAll('"Pretrain"', '"Pretrian"')
    const read = Pipeline.fromJson(json)
    assert.match(Result.isFailure(read) ? read.failure.problems.join("\n") : "", /: Pretrain was meant\?/u)
  })
})
