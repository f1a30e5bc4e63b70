import { Result, Schema } from "effect"
import fc from "fast-check"
import { assert, describe, it } from "vitest"
import * as Artifact from "../../dsl/Artifact.ts"
import * as Checkpoint from "../../dsl/Checkpoint.ts"
import * as Gold from "../../dsl/Gold.ts"
import * as Kl from "../../dsl/Kl.ts"
import * as Pipeline from "../../dsl/Pipeline.ts"
import * as Render from "../../dsl/Render.ts"
import * as Source from "../../dsl/Source.ts"
import { definitions } from "../../dsl/Stage.ts"
import * as Evaluate from "../../dsl/stages/Evaluate.ts"
import * as Ppo from "../../dsl/stages/Ppo.ts"
import * as Reward from "../../dsl/stages/Reward.ts"
import * as Pretrain from "../../dsl/stages/Pretrain.ts"
import * as Sft from "../../dsl/stages/Sft.ts"
import example from "../../examples/01-instruct-gpt.ts"
import { problems } from "../../src/interpreters/check.ts"
import { pipelines } from "../../src/testing/pipelines/pipelines.ts"

type Json = { [key: string]: any }

const read = (json: string): Artifact.Any => Result.getOrThrow(Pipeline.fromJson(json))

/** What reading `json` is refused with. */
const refusal = (json: string): string => {
  const result = Pipeline.fromJson(json)
  assert(Result.isFailure(result), "read without complaint")
  return result.failure.message
}

/** The same JSON with the keys of every object in another order. */
const shuffled = (value: any, order: (a: string, b: string) => number): any =>
  Array.isArray(value) ?
    value.map((v) => shuffled(v, order))
    : typeof value === "object" && value !== null ?
    Object.fromEntries(
      Object.keys(value).toSorted(order).map((key) => [key, shuffled(value[key], order)])
    )
    : value
const backwards = (a: string, b: string) => (a < b ? 1 : -1)

/** Every object in a JSON value, with the path to it. */
const objectsIn = (value: any, path: ReadonlyArray<string> = []): ReadonlyArray<ReadonlyArray<string>> =>
  typeof value !== "object" || value === null ? [] : [
    ...(Array.isArray(value) ? [] : [path]),
    ...Object.entries(value).flatMap(([key, inner]) => objectsIn(inner, [...path, key]))
  ]

const at = (value: any, path: ReadonlyArray<string>): any => path.reduce((inner, key) => inner[key], value)

/** Two independent branches: editing one must leave the other alone. */
const tiny = (beta = 0.1) => {
  const base = Checkpoint.huggingFace("tales", "models/tiny")
  const demonstrations = Source.demonstrations(Source.tales({ count: 8 }))
  const sft = Sft.make({ base, demonstrations }, { batchSize: 2, learningRate: 1e-3 })
  const reward = sft as unknown as Artifact.Artifact<"RewardModel", "tales">
  const prompts = Source.prompts(Source.tales({ count: 8 }))
  const held = Source.prompts(Source.tales({ count: 8, split: "held" }))
  const ppo = Ppo.make({ init: sft, reference: sft, reward, value: reward, prompts, held }, {
    allowance: Kl.mnatsPerSequence(1000),
    beta,
    steps: 1,
    batchSize: 2,
    learningRate: 1e-4,
    maxNewTokens: 4
  })
  return { base, sft, prompts, held, ppo, root: Pipeline.cap(ppo, { kl: Kl.mnatsPerSequence(2000), from: sft }) }
}

describe("what is drawn", () => {
  it("satisfies check, reaches hundreds of nodes and shares them", () => {
    let largest = 0
    let shared = 0
    const drawn = new Set<unknown>()
    fc.assert(
      fc.property(pipelines({ steps: 400, atLeast: 300 }), ({ root }) => {
        assert.deepStrictEqual(problems(root), [])
        const nodes = Artifact.lineage(root)
        largest = Math.max(largest, nodes.length)
        shared += nodes.flatMap(({ node }) => Object.values(node.wires)).length - (nodes.length - 1)
        for (const { node } of nodes) {
          const { judge, rule, scorer, winRate } = node.params as Readonly<
            Record<string, { readonly _tag: string } | undefined>
          >
          drawn.add(rule?._tag).add(scorer?._tag)
          if ((judge ?? winRate) !== undefined) drawn.add(`${node.op} by a judge`)
        }
      }),
      { numRuns: 10, seed: 9 }
    )
    assert.isAbove(largest, 200)
    assert.isAbove(shared, 200)
    assert.includeMembers([...drawn], [
      // A comparison needs a group or an answer, which not every place of a reward has.
      ...Object.keys(Reward.Rule.cases).filter((rule) => rule !== "ByPairs"),
      "JudgeScorer",
      "RewardScorer",
      "RubricScorer",
      "Compare by a judge",
      "Evaluate by a judge",
      "Judge by a judge"
    ])
  })
})

describe("JSON", () => {
  it("invariant 42: is the same bytes after reading and writing", () => {
    fc.assert(
      fc.property(pipelines(), ({ root }) => {
        const json = Pipeline.toJson(root)
        const back = read(json)
        assert.strictEqual(Pipeline.toJson(back), json)
        assert.strictEqual(back.id, root.id)
        assert.deepStrictEqual(
          Artifact.lineage(back).map(({ node }) => node),
          Artifact.lineage(root).map(({ node }) => node)
        )
        assert.strictEqual(Render.text(back), Render.text(root))
        assert.strictEqual(Render.mermaid(back), Render.mermaid(root))
      }),
      { numRuns: 60 }
    )
  })

  it("does not depend on the order of keys", () => {
    fc.assert(
      fc.property(pipelines({ steps: 12 }), ({ root }) => {
        const json = Pipeline.toJson(root)
        assert.strictEqual(Pipeline.toJson(read(JSON.stringify(shuffled(JSON.parse(json), backwards)))), json)
      }),
      { numRuns: 40 }
    )
  })

  it("does not depend on the order in which wires and parameters are written", () => {
    const { held, prompts, sft } = tiny()
    const forth = Evaluate.make({ initial: sft, prompts: held }, { a: sft, b: sft }, {
      gold: Gold.tales,
      maxNewTokens: 4,
      seed: 1
    })
    const back = Evaluate.make({ prompts: held, initial: sft }, { b: sft, a: sft }, {
      seed: 1,
      maxNewTokens: 4,
      gold: Gold.tales
    })
    assert.strictEqual(back.id, forth.id)
    assert.strictEqual(Pipeline.toJson(back), Pipeline.toJson(forth))
    assert.strictEqual(Render.text(back), Render.text(forth))
    const other = Evaluate.make({ initial: sft, prompts }, { a: sft, b: sft }, {
      gold: Gold.tales,
      maxNewTokens: 4,
      seed: 1
    })
    assert.notStrictEqual(other.id, forth.id)
  })

  it("holds each node once, after its inputs", () => {
    fc.assert(
      fc.property(pipelines(), ({ root }) => {
        const { nodes } = JSON.parse(Pipeline.toJson(root)) as { readonly nodes: ReadonlyArray<Json> }
        const seen = new Set<string>()
        for (const { id, inputs } of nodes) {
          for (const input of Object.values(inputs as Json)) assert.isTrue(seen.has(input))
          assert.isFalse(seen.has(id))
          seen.add(id)
        }
        assert.strictEqual(nodes.at(-1)!["id"], root.id)
      }),
      { numRuns: 40 }
    )
  })

  it("refuses an unknown key at every level", () => {
    const json = JSON.parse(Pipeline.toJson(example)) as Json
    const levels = objectsIn(json)
      // A node's inputs are wires (wrong ones change its id); a file's fields may have any name.
      .filter((path) => path.at(-1) !== "inputs" && path.at(-1) !== "fields")
    assert.isAbove(levels.length, 30)
    for (const key of ["leraningRate", "__proto__", "_tag", "id2"]) {
      for (const path of levels) {
        const edited = structuredClone(json)
        const target = at(edited, path)
        if (Object.hasOwn(target, key)) continue
        Object.defineProperty(target, key, { value: path.at(-1) === "params" ? "x" : 1, enumerable: true })
        assert.include(refusal(JSON.stringify(edited)), key, `at ${path.join(".")}`)
      }
    }
  })

  it("refuses a tag among the parameters even when it is the right one", () => {
    const edited = JSON.parse(Pipeline.toJson(tiny().sft)) as Json
    for (const node of edited["nodes"]) {
      node.params._tag = node.op
      node.id = Artifact.idOf(node.op, node.params, node.inputs)
    }
    assert.include(refusal(JSON.stringify(edited)), "_tag")
  })

  it("refuses parameters that are no object, of any operation", () => {
    for (const op of Object.keys(definitions)) {
      for (const params of [null, [], "x", 1, true]) {
        const id = Artifact.idOf(op, params, {})
        const message = refusal(JSON.stringify({ keel: 1, root: id, nodes: [{ id, op, params, inputs: {} }] }))
        assert.include(message, `node ${op} ${id.slice(0, 8)}: `)
      }
    }
  })

  it("refuses an id that is not the hash of its node, and any edit under an unchanged id", () => {
    fc.assert(
      fc.property(pipelines({ steps: 8 }), fc.nat(), fc.nat({ max: 63 }), ({ root }, n, digit) => {
        const json = Pipeline.toJson(root)
        const { nodes } = JSON.parse(json) as { readonly nodes: ReadonlyArray<{ readonly id: string }> }
        const { id } = nodes[n % nodes.length]!
        const other = id.slice(0, digit) + (id[digit] === "0" ? "1" : "0") + id.slice(digit + 1)
        assert.include(refusal(json.replaceAll(id, other)), "edited by hand?")
      }),
      { numRuns: 30 }
    )
    const json = Pipeline.toJson(tiny().sft)
    assert.include(refusal(json.replace('"batchSize":2', '"batchSize":3')), "edited by hand?")
    assert.include(
      refusal(json.replace('"op":"Sft"', '"op":"Stf"')),
      "no such operation; there are Input, Cap, Outputs, Source"
    )
  })

  it("a parameter that an older description lacks has its default, and the ids of today", () => {
    const defaults = [["precision", "f32"], ["recompute", false], ["measureError", 0.1], ["measureMost", 2048]] as const
    let lacked = 0
    fc.assert(
      fc.property(pipelines({ steps: 8 }), fc.subarray([...defaults], { minLength: 1 }), ({ root }, left) => {
        const { nodes } = JSON.parse(Pipeline.toJson(root)) as { readonly nodes: ReadonlyArray<Json> }
        const ids = new Map<string, string>()
        const older = nodes.map(({ id, inputs: of, op, params: all, ...rest }) => {
          const params = { ...all }
          for (const [name, value] of left) {
            if (params[name] === value && delete params[name]) lacked++
          }
          const inputs = Object.fromEntries(Object.entries(of).map(([wire, to]) => [wire, ids.get(to as string)!]))
          ids.set(id, Artifact.idOf(op, params, inputs))
          return { ...rest, id: ids.get(id), op, params, inputs }
        })
        const json = JSON.stringify({ keel: 1, root: ids.get(root.id), nodes: older })
        assert.strictEqual(Pipeline.toJson(read(json)), Pipeline.toJson(root))
      }),
      { numRuns: 30 }
    )
    assert.isAbove(lacked, 0)
  })

  it("refuses nodes out of order, dangling inputs, other versions and what is not JSON", () => {
    const json = JSON.parse(Pipeline.toJson(tiny().sft)) as Json
    assert.include(refusal(JSON.stringify({ ...json, nodes: json["nodes"].toReversed() })), "does not stand before it")
    assert.include(refusal(JSON.stringify({ ...json, nodes: json["nodes"].slice(1) })), "does not stand before it")
    assert.include(
      refusal(JSON.stringify({ ...json, root: "f".repeat(64) })),
      "the root ffffffff is not among the nodes"
    )
    assert.include(refusal(JSON.stringify({ ...json, keel: 2 })), "keel")
    assert.include(refusal("{"), "not JSON")
  })

  it("reports every wrong parameter of every node at once", () => {
    const json = JSON.parse(Pipeline.toJson(tiny().root)) as Json
    const nodes = json["nodes"].map((node: Json) =>
      node["op"] === "Sft" ?
        { ...node, params: { ...node["params"], batchSize: 0, learningRate: -1 } }
        : node["op"] === "Ppo" ?
        { ...node, params: { ...node["params"], beta: "0.1" } }
        : node
    )
    const message = refusal(JSON.stringify({ ...json, nodes }))
    for (const part of ["batchSize", "learningRate", "beta", "must be above 0"]) assert.include(message, part)
  })
})

describe("identity", () => {
  it("invariant 42: equal descriptions have equal ids, different ones different ids", () => {
    assert.strictEqual(tiny().root.id, tiny().root.id)
    assert.notStrictEqual(tiny().root.id, tiny(0.2).root.id)
    fc.assert(
      fc.property(pipelines(), ({ root }) => {
        const byContent = new Map<string, string>()
        for (const { id, node } of Artifact.lineage(root)) {
          const wires = Object.fromEntries(Object.entries(node.wires).map(([wire, of]) => [wire, of.id]))
          const content = JSON.stringify(shuffled({ op: node.op, params: node.params, wires }, backwards))
          assert.isFalse(byContent.has(content))
          byContent.set(content, id)
        }
        assert.strictEqual(new Set(byContent.values()).size, byContent.size)
      }),
      { numRuns: 30 }
    )
  })

  it("a default written out is the default", () => {
    const source = (seed?: number) =>
      Source.prompts(Source.tales({ count: 8, ...(seed === undefined ? {} : { seed }) }))
    assert.strictEqual(source().id, source(0).id)
    assert.notStrictEqual(source().id, source(1).id)
    const { base } = tiny()
    const demonstrations = Source.demonstrations(Source.tales({ count: 8 }))
    const sft = (tag: object) => Sft.make({ base, demonstrations }, { ...tag, batchSize: 2, learningRate: 1e-3 })
    assert.strictEqual(sft({}).id, sft({ _tag: "Sft" }).id)
    assert.deepStrictEqual(problems(sft({ _tag: "Sft" })), [])
  })

  // Stored runs are found by these ids: a change here orphans them all, and must be wanted.
  it("is stable from release to release", () => {
    assert.strictEqual(
      Source.prompts(Source.tales({ count: 8 })).id,
      "d79d87386f018db87040832060742f159fbb8aae6f2c1689a1cb42de11aecedc"
    )
    assert.strictEqual(tiny().root.id, "54345fadeac4bf3a988b678e4d17ad812f886537b7d303a127215e964e082387")
  })

  it("hides nothing that could change later", () => {
    fc.assert(
      fc.property(pipelines({ steps: 8 }), ({ root }) => {
        const frozen = (value: unknown): boolean =>
          typeof value !== "object" || value === null || (Object.isFrozen(value) && Object.values(value).every(frozen))
        for (const artifact of Artifact.lineage(root)) {
          assert.isTrue(
            Object.isFrozen(artifact) && Object.isFrozen(artifact.node) && Object.isFrozen(artifact.node.wires)
          )
          assert.isTrue(frozen(artifact.node.params))
        }
      }),
      { numRuns: 10 }
    )
    const options = { gold: Gold.tales, maxNewTokens: 4 }
    const { held, sft } = tiny()
    const models: Record<string, typeof sft> = { sft }
    const report = Evaluate.make({ initial: sft, prompts: held }, models, options)
    const before = Pipeline.toJson(report)
    options.maxNewTokens = 5
    models["another"] = sft
    assert.strictEqual(Pipeline.toJson(report), before)
  })

  it("no constructor throws: mistakes wait for check", () => {
    const { base } = tiny()
    const wrong = Sft.make({ base } as never, { batchSize: -1, learningRate: Number.NaN, nonsense: 1 } as never)
    const found = problems(wrong).map(({ problem }) => problem).join("\n")
    for (const part of ["batchSize", "learningRate", "nonsense", "Sft.demonstrations is missing"]) {
      assert.include(found, part)
    }
  })
})

describe("lineage", () => {
  it("has each node once, inputs first, and the root last", () => {
    fc.assert(
      fc.property(pipelines({ steps: 60 }), ({ root }) => {
        const order = Artifact.lineage(root)
        const place = new Map(order.map(({ id }, i) => [id, i]))
        assert.strictEqual(place.size, order.length)
        for (const { id, node } of order) {
          for (const input of Object.values(node.wires)) assert.isBelow(place.get(input.id)!, place.get(id)!)
        }
        assert.strictEqual(order.at(-1), root)
        // Exactly what can be reached.
        const reached = new Set<string>()
        const reach = (of: Artifact.Any): void => {
          if (reached.has(of.id)) return
          reached.add(of.id)
          Object.values(of.node.wires).forEach(reach)
        }
        reach(root)
        assert.deepStrictEqual(new Set(place.keys()), reached)
      }),
      { numRuns: 30 }
    )
  })

  it("of several roots is their union", () => {
    const { ppo, prompts, sft } = tiny()
    const ids = Artifact.lineage(prompts, ppo, sft).map(({ id }) => id)
    assert.deepStrictEqual(ids.toSorted(), Artifact.lineage(ppo).map(({ id }) => id).toSorted())
    assert.strictEqual(ids[0], prompts.id)
  })

  it("takes a chain of ten thousand stages in its stride", () => {
    const demonstrations = Source.demonstrations(Source.tales({ count: 8 }))
    let at: Artifact.Artifact<"BaseModel" | "Policy", "tales"> = Checkpoint.huggingFace("tales", "models/tiny")
    for (let seed = 0; seed < 10_000; seed++) {
      at = Sft.make({ base: at, demonstrations }, { batchSize: 2, learningRate: 1e-3, seed }) as never
    }
    assert.strictEqual(Artifact.lineage(at).length, 10_002)
    const json = Pipeline.toJson(at)
    assert.strictEqual(Pipeline.toJson(read(json)), json)
    assert.strictEqual(Render.text(at).split("\n").filter((line) => line.startsWith("sft-")).length, 10_000)
    const changed = Result.getOrThrow(Pipeline.set(at, "sft.batchSize", 3))
    assert.notStrictEqual(changed.id, at.id)
  })
})

/** Ids of the nodes by the operation and the inputs' shape: what stays the same under an edit of parameters. */
const ids = (root: Artifact.Any) => Artifact.lineage(root).map(({ id }) => id)

describe("set and seed", () => {
  it("change what is edited and what is made from it, nothing else", () => {
    fc.assert(
      fc.property(pipelines(), fc.nat({ max: 7 }), ({ root }, n) => {
        const before = Artifact.lineage(root)
        const ops = [...new Set(before.map(({ node }) => node.op))].filter((op) => op !== "Source" && op !== "Cap")
        const op = ops[n % ops.length]!
        const edited = Result.getOrThrow(Pipeline.set(root, `${op.toLowerCase()}.edited`, 1))
        const after = new Set(ids(edited))
        for (const artifact of before) {
          const touched = Artifact.lineage(artifact).some(({ node }) => node.op === op)
          assert.strictEqual(after.has(artifact.id), !touched)
        }
        assert.strictEqual(after.size, before.length)
      }),
      { numRuns: 40 }
    )
  })

  it("set by a node's id changes that node alone and what is made from it", () => {
    const { root, sft } = tiny()
    const edited = Result.getOrThrow(Pipeline.set(root, `${sft.id.slice(0, 8)}.batchSize`, 7))
    const [before, after] = [ids(root), new Set(ids(edited))]
    assert.strictEqual(before.filter((id) => !after.has(id)).length, 3)
    assert.isFalse(after.has(sft.id))
  })

  it("set reaches into nested parameters, is idempotent, and the last one wins", () => {
    const set = (root: Artifact.Any, path: string, value: Schema.Json) =>
      Result.getOrThrow(Pipeline.set(root, path, value))
    const { root } = tiny()
    assert.strictEqual(set(root, "ppo.beta", 0.1).id, root.id)
    assert.strictEqual(set(root, "PPO.beta", 0.2).id, tiny(0.2).root.id)
    assert.strictEqual(set(set(root, "ppo.beta", 0.3), "ppo.beta", 0.2).id, tiny(0.2).root.id)
    const nested = set(root, "ppo.allowance.mnats", 500)
    assert.deepStrictEqual(
      Artifact.lineage(nested).flatMap(({ node }) => node.op === "Ppo" ? [(node.params as Json)["allowance"]] : []),
      [{ direction: "reverse", estimator: "k1", per: "sequence", against: "initial", mnats: 500 }]
    )
    const pretrained = Pretrain.make({ text: Source.text(Source.tales({ count: 8 })) }, {
      family: "tales",
      model: { dim: 4, layers: 1, heads: 1, kvHeads: 1, ffn: 4, context: 16 },
      steps: 1,
      batchSize: 1,
      learningRate: 1
    })
    const sft = Sft.make({ base: pretrained, demonstrations: Source.demonstrations(Source.tales({ count: 8 })) }, {
      batchSize: 1,
      learningRate: 1
    })
    assert.strictEqual(set(sft, "pretrain.family", "other").node.family, "other")
  })

  it("set of an unknown name lists the operations", () => {
    const { root } = tiny()
    for (const path of ["dpo.beta", "ppo", "", ".beta"]) {
      const result = Pipeline.set(root, path, 1)
      assert(Result.isFailure(result))
      assert.strictEqual(
        result.failure,
        `--set ${path}: write OPERATION.PARAMETER=VALUE; the operations here are cap, checkpoint, ppo, sft, source`
      )
    }
  })

  it("seed changes every seed by the same amount: different stages and seeds stay different, 0 changes nothing", () => {
    fc.assert(
      fc.property(pipelines({ steps: 12 }), fc.nat(10_000), fc.nat(10_000), ({ root }, a, b) => {
        const seeded = Pipeline.seed(root, a)
        const [before, after] = [Artifact.lineage(root), Artifact.lineage(seeded)]
        assert.strictEqual(after.length, before.length)
        after.forEach(({ node }, i) => {
          const own = (before[i]!.node.params as Json)["seed"]
          if (!("seed" in (definitions as Json)[node.op].schema.fields)) assert.isUndefined(own)
          else assert.strictEqual((node.params as Json)["seed"], own + 1_000_000 * a)
        })
        assert.strictEqual(Pipeline.seed(root, 0).id, root.id)
        assert.strictEqual(Pipeline.seed(seeded, b).id, Pipeline.seed(root, a + b).id)
      }),
      { numRuns: 30 }
    )
  })
})

describe("connect", () => {
  const demonstrations = Source.demonstrations(Source.tales({ count: 8 }))
  const params = { batchSize: 2, learningRate: 1e-3 }
  const open = Sft.make({ base: Pipeline.input("base", "BaseModel", "tales"), demonstrations }, params)

  it("puts an artefact where the input was, as if it had been there", () => {
    const base = Checkpoint.huggingFace("tales", "models/tiny")
    assert.strictEqual(Pipeline.connect(open, { base }).id, Sft.make({ base, demonstrations }, params).id)
  })

  it("leaves other inputs open, and check names them", () => {
    assert.strictEqual(Pipeline.connect(open, {}).id, open.id)
    assert.include(problems(open).map(({ problem }) => problem).join(), "the input base: BaseModel is open")
  })

  it("carries the family of what was connected downstream", () => {
    const base = Checkpoint.huggingFace("llama", "models/llama")
    const connected = Pipeline.connect(open as Artifact.Any, { base }) as Artifact.Any
    assert.strictEqual(connected.node.family, "llama")
    assert.strictEqual(read(Pipeline.toJson(connected)).node.family, "llama")
  })
})
