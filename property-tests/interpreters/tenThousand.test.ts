/** Pipelines of ten thousand nodes: no step overflows the call stack, and twice the nodes take twice the work, counted. */
import fc from "fast-check"
import { Effect, Result } from "effect"
import { assert, describe, it } from "vitest"
import * as Artifact from "../../dsl/Artifact.ts"
import {
  Checkpoint,
  Compare,
  Decontaminate,
  Filter,
  Gold,
  Grpo,
  Kl,
  Merge,
  MergeMethod,
  Pipeline,
  Pretrain,
  Sample,
  Sft,
  Source,
  Verifier
} from "../../dsl/index.ts"
import { mermaid, text } from "../../dsl/Render.ts"
import { initialOf, parentsOf } from "../../dsl/Stage.ts"
import { problems } from "../../src/interpreters/check.ts"
import { capsIn, klAllotted, klSpenders, measuresItself, measuresKl } from "../../src/interpreters/capsOf.ts"
import { plan } from "../../src/program/index.ts"
import { likenesses } from "../../src/planning/sameShape.ts"
import { pipelines } from "../../src/testing/index.ts"

const base = Checkpoint.huggingFace("tales", "base") as Artifact.Any
const demonstrations = Source.demonstrations(Source.tales({ count: 6 }))
const prompts = Source.prompts(Source.tales({ split: "train", count: 8 }))
const held = Source.prompts(Source.tales({ split: "held", count: 4 }))

const grpo = (init: Artifact.Any, seed: number): Artifact.Any =>
  Grpo.make({ init, prompts, held } as never, {
    allowance: Kl.mnatsPerSequence<number>(1),
    beta: 0,
    steps: 1,
    batchSize: 1,
    groupSize: 2,
    verifiers: [Verifier.format(["a"])],
    learningRate: 1e-3,
    maxNewTokens: 4,
    seed
  } as never)
const cap = (of: Artifact.Any, from: Artifact.Any, mnats: number): Artifact.Any =>
  Pipeline.cap(
    of as never,
    { kl: Kl.mnatsPerSequence<number>(mnats), tokens: 1e9, total: { flops: 1e18 }, from } as never
  )
const chain = (n: number, next: (before: Artifact.Any, i: number) => Artifact.Any, start = base): Artifact.Any => {
  let at = start
  for (let i = 0; i < n; i++) at = next(at, i)
  return at
}

/** Pipelines of about `n` nodes without a mistake. */
const shapes: Readonly<Record<string, (n: number) => Artifact.Any>> = {
  "caps around caps": (n) => chain(n, (of) => cap(of, base, 1e6), grpo(base, 0)),
  "rounds, each with its own cap": (n) => chain(n / 2, (before, i) => cap(grpo(before, i), before, 1e6)),
  "rounds, each capped from the first model": (n) => chain(n / 2, (before, i) => cap(grpo(before, i), base, 1e8)),
  "stages under one cap": (n) => cap(chain(n, grpo), base, 1e8),
  "stages measured on the prompts of another, each with its own cap": (n) =>
    chain(n / 2, (before, seed) =>
      cap(
        Sft.make({ base: before, demonstrations } as never, { batchSize: 2, learningRate: 1e-3, seed }) as Artifact.Any,
        base,
        1e8
      ), grpo(base, 0)),
  "operations on data": (n) =>
    Sft.make({
      base,
      demonstrations: chain(n, (of, i) =>
        i % 50 === 49
          ? Decontaminate.make({ of, against: held } as never, { ngram: 8 } as never) as Artifact.Any
          : Filter.make({ of } as never, { maxWords: 1000 + i }) as Artifact.Any, demonstrations)
    } as never, { batchSize: 1, learningRate: 1e-3 }),
  "merges of merges": (n) =>
    chain(n / 2, (a, seed) =>
      Merge.make(
        { held } as never,
        { a, b: Sft.make({ base: a, demonstrations } as never, { batchSize: 2, learningRate: 1e-3, seed }) } as never,
        { method: MergeMethod.linear({ a: 0.5, b: 0.5 }), maxNewTokens: 4 } as never
      ))
}

/** Methods that look at one element, and methods that look at all. */
const [one, all] = [
  [
    [Map.prototype, ["get", "has", "set"]],
    [Set.prototype, ["has", "add"]],
    [WeakMap.prototype, ["get", "has", "set"]],
    [Array.prototype, ["push", "pop", "at"]]
  ],
  [[Array.prototype, ["map", "filter", "flatMap", "reduce", "some", "every", "find"]]]
] as const

/** How many elements of collections `work` looks at. */
const visits = (work: () => void): number => {
  let count = 0
  const restore: Array<() => void> = []
  for (const counted of [one, all]) {
    for (const [prototype, names] of counted) {
      for (const name of names) {
        const of = prototype as unknown as Record<string, (...args: Array<unknown>) => unknown>
        const own = of[name]!
        of[name] = function(this: { readonly length: number }, ...args: Array<unknown>) {
          count += counted === one ? 1 : this.length
          return own.apply(this, args)
        }
        restore.push(() => of[name] = own)
      }
    }
  }
  try {
    work()
  } finally {
    for (const undo of restore) undo()
  }
  return count
}

it.each(["caps around caps", "operations on data"])(
  "ten thousand nodes, %s, are checked, drawn, written and read back",
  (name) => {
    const root = shapes[name]!(10_000)
    assert.deepStrictEqual(problems(root).slice(0, 2), [])
    assert.isAbove(text(root).length + mermaid(root).length, 1e6)
    const back = Result.getOrThrow(Pipeline.fromJson(Pipeline.toJson(root)))
    assert.strictEqual(back.id, root.id)
  },
  60_000
)

it.each(Object.entries(shapes))("twice the nodes take twice the work to check: %s", (_, shape) => {
  const of = (root: Artifact.Any) => visits(() => assert.deepStrictEqual(problems(root), []))
  const [half, whole] = [shape(400), shape(800)]
  // What is computed once for a process is not counted.
  of(shape(50))
  assert.isBelow(of(whole), 2.4 * of(half))
})

/** Numbers and texts of caps, as a naive reading of the definition has them. */
const naive = (root: Artifact.Any, artifact: Artifact.Any) => {
  const ids = (of: Artifact.Any | undefined) =>
    new Set(of === undefined ? [] : Artifact.lineage(of).map(({ id }) => id))
  const descends = (at: Artifact.Any, from: Artifact.Any): boolean =>
    at.id === from.id || parentsOf(at).some((parent) => descends(parent, from))
  const caps = Artifact.lineage(root).filter(({ node: { op, wires } }) =>
    op === "Cap" && ids(wires["of"]).has(artifact.id) && !ids(wires["from"]).has(artifact.id)
  )
  const params = caps.map(({ node }) => node.params as { readonly [name: string]: any })
  return {
    tokens: Math.min(Infinity, ...params.map(({ tokens = Infinity }) => tokens as number)),
    memory: Math.min(Infinity, ...params.map(({ memory = Infinity }) => memory as number)),
    totals: caps.filter((_, i) => params[i]!["total"] !== undefined).map(({ id }) => id),
    // Each of them once.
    kl: !measuresKl(artifact) ? [] : caps.flatMap(({ node: { wires } }, i) => {
      const { kl } = params[i]!
      if (kl === undefined || wires["from"] === undefined) return []
      const from = initialOf(wires["from"])
      return descends(artifact, from) ? [[from.id, kl.mnats as number] as const] : []
    }).filter(([from, mnats], i, all) => all.findIndex(([of, other]) => of === from && other === mnats) === i)
  }
}

/** The held-out prompts of the first cap that measures an artefact, or of the stage under it with the longest line of such stages. */
const borrowedBy = (root: Artifact.Any, artifact: Artifact.Any): Artifact.Any | undefined => {
  if (!measuresKl(artifact) || measuresItself(artifact)) return undefined
  const before = (at: Artifact.Any | undefined) => at === undefined ? [] : Artifact.lineage(at)
  const has = (all: ReadonlyArray<Artifact.Any>, { id }: Artifact.Any) => all.some((one) => one.id === id)
  for (const { node: { op, params, wires: { from, held, of } } } of Artifact.lineage(root)) {
    if (op !== "Cap" || (params as { readonly kl?: unknown }).kl === undefined || from === undefined) continue
    if (!has(before(of), artifact) || has(before(from), artifact)) continue
    if (!has(weightsBefore(artifact), initialOf(from))) continue
    if (held !== undefined) return held
    const found = before(of).filter((at) =>
      measuresItself(at) && at.node.wires["held"] !== undefined && at.id !== initialOf(from).id &&
      has(weightsBefore(at), initialOf(from))
    )
    const line = (at: Artifact.Any): number =>
      1 + Math.max(-1, ...found.filter((one) => one.id !== at.id && has(before(at), one)).map(line))
    const longest = Math.max(...found.map(line))
    const last = found.filter((at) => line(at) === longest)
    // Of several lines of equal length any: their prompts are compared.
    if (last.length > 0) return last.at(-1)!.node.wires["held"]
  }
  return undefined
}
const weightsBefore = (artifact: Artifact.Any): ReadonlyArray<Artifact.Any> => [
  artifact,
  ...parentsOf(artifact).flatMap(weightsBefore)
]

/** Caps put around caps, stages and data of a drawn pipeline, from models before them. */
const recapped = (root: Artifact.Any, draws: ReadonlyArray<readonly [number, number, number]>): Artifact.Any => {
  const all = Artifact.lineage(root).filter(({ node }) => node.op !== "Source")
  const caps = draws.map(([at, of, mnats]) => {
    const inner = all[at % all.length]!
    const history = Artifact.lineage(inner).filter(({ node: { kind } }) => kind === "BaseModel" || kind === "Policy")
    const from = history[of % Math.max(1, history.length)]
    const kl = from === undefined ? {} : { kl: Kl.mnatsPerSequence<number>(mnats), from }
    const capped = Pipeline.cap(
      inner as never,
      { ...kl, tokens: mnats, total: { tokens: mnats } } as never
    ) as Artifact.Any
    all.push(capped)
    return capped
  })
  return Artifact.make({
    op: "Evaluate",
    kind: "Evaluation",
    family: "",
    params: {},
    wires: Object.fromEntries([root, ...caps].map((of, i) => [`models.${i}`, of]))
  })
}

it("caps govern as their definition says, in any pipeline with any caps around any of its nodes", () => {
  const draw = fc.tuple(fc.nat(100), fc.nat(100), fc.integer({ min: 1, max: 5 }))
  let [held, borrowed] = [0, 0]
  fc.assert(
    fc.property(pipelines(), fc.array(draw, { maxLength: 8 }), (drawn, draws) => {
      const root = recapped(drawn.root as Artifact.Any, draws)
      const limits = capsIn(root)
      for (const artifact of Artifact.lineage(root)) {
        const { kl, measured, memory, tokens, totals } = limits(artifact)
        if (kl.length > 0 && !measuresItself(artifact)) borrowed += Number(measured !== undefined)
        assert.strictEqual(measured?.held.id, borrowedBy(root, artifact)?.id)
        const found = {
          tokens,
          memory,
          totals: totals.map(({ id }) => id),
          kl: kl.map(({ from, mnats }) => [from.id, mnats!] as const)
        }
        assert.deepStrictEqual(found, naive(root, artifact))
        assert.strictEqual(limits.kl(artifact), kl.length > 0)
        held += kl.length
        for (const { from } of kl) {
          const sum = klSpenders(artifact, from).reduce((sum, { mnats }) => sum + mnats, 0)
          assert.strictEqual(klAllotted(artifact, from), sum)
        }
        for (const { of } of totals) assert.isTrue(of.has(artifact.id))
      }
    }),
    { numRuns: 60 }
  )
  assert.isAbove(held, 100)
  assert.isAbove(borrowed, 5)
})

it("stages ten thousand deep are compared for a plan", () => {
  const root = shapes["operations on data"]!(10_000)
  assert.isAbove(likenesses(capsIn(root))(root).length, 10)
})

it("ten thousand caps from one model are planned", async () => {
  const made = Pretrain.make({ text: Source.text(Source.tales({ count: 12 })) }, {
    family: "tales",
    model: { dim: 16, layers: 1, heads: 2, kvHeads: 1, ffn: 24, context: 96 },
    steps: 2,
    batchSize: 2,
    learningRate: 1e-3
  }) as Artifact.Any
  // Each measured by itself would take minutes.
  const { stages, unplanned } = await Effect.runPromise(plan(chain(10_000, (of) => cap(of, made, 1e6), grpo(made, 0))))
  assert.deepStrictEqual(unplanned, [])
  assert.lengthOf(stages, 2)
}, 60_000)

describe("a number that no machine holds", () => {
  const many = 1_000_000_000
  const shape = { dim: 16, layers: 1, heads: 2, kvHeads: 1, ffn: 24, context: 96 }
  const text = Source.text(Source.tales({ count: 12 }))
  const pretrained = (model: object, more: object = {}) =>
    Pretrain.make({ text }, {
      family: "tales",
      model: { ...shape, ...model },
      steps: 2,
      batchSize: 2,
      learningRate: 1e-3,
      ...more
    })
  const sft = (more: object, data: Artifact.Any = demonstrations) =>
    Sft.make({ base, demonstrations: data } as never, { batchSize: 2, learningRate: 1e-3, ...more } as never)
  const sampled = (completionsPerPrompt: number, count: number, maxNewTokens = 4) =>
    Sample.make({ policy: base, prompts: Source.prompts(Source.tales({ count })) } as never, {
      completionsPerPrompt,
      maxNewTokens
    })

  it.each<readonly [field: string, of: unknown]>([
    ["origin.count", sft({}, Source.demonstrations(Source.tales({ count: many })))],
    ["epochs", sft({ epochs: many })],
    ["lora.rank", sft({ lora: { rank: many, alpha: 1, targetModules: ["q_proj"] } })],
    ["batchSize", sft({ batchSize: many }, Source.demonstrations(Source.file("rows.jsonl")))],
    ["steps", pretrained({}, { steps: many })],
    ...Object.keys(shape).map((name) => [`model.${name}`, pretrained({ [name]: many })] as const),
    ["completionsPerPrompt", sampled(many, 8)],
    ["completionsPerPrompt", sampled(100_000, 100_000)],
    ["maxNewTokens", sampled(2, 8, many)],
    [
      "completionsPerPrompt",
      Compare.make({ policy: base, prompts } as never, {
        gold: Gold.tales,
        completionsPerPrompt: many,
        maxNewTokens: 4
      })
    ]
  ])("of %s is refused in a line", (field, of) => {
    const lines = problems(of as Artifact.Any).map(({ problem }) => problem)
    assert.lengthOf(lines.filter((line) => line.includes(field) && /at most \d+/u.test(line)), 1, lines.join("; "))
    for (const line of lines) assert.notInclude(line, "\n")
  })

  it("of a limit or an interval is none", () => {
    const file = Source.file("rows.jsonl", { limit: many })
    assert.deepStrictEqual(
      problems(sft({ checkpointEvery: many, maxLength: many, truncate: "end" }, Source.demonstrations(file))).filter((
        { problem }
      ) => /at most/u.test(problem)),
      []
    )
  })
})
