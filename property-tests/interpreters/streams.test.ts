import { Result } from "effect"
import fc from "fast-check"
import { assert, describe, it } from "vitest"
import * as Artifact from "../../dsl/Artifact.ts"
import {
  Budget,
  Checkpoint,
  Evaluate,
  Gold,
  Grpo,
  Kl,
  Pipeline,
  Sample,
  Sft,
  Source,
  Verifier
} from "../../dsl/index.ts"
import { fieldsOf } from "../../dsl/Stage.ts"
import { aroundEngine, unchanged } from "../../src/engine/around.ts"
import { streamsIn } from "../../src/interpreters/streams.ts"
import { pipelines } from "../../src/testing/pipelines/pipelines.ts"
import { folders } from "../store/faultyFileSystem.ts"
import { engine, runs, succeeded, tiny } from "./tiny.ts"

const folder = folders("streams")

/** The streams of a pipeline. A set: nodes that differ in a parameter alone become one when it is set. */
const all = (root: Artifact.Any): ReadonlySet<string> => {
  const streams = streamsIn(root)
  return new Set(Artifact.lineage(root).filter(({ node }) => node.op !== "Cap").map(streams))
}

/** Sets a parameter of every operation that has it. */
const everywhere = (root: Artifact.Any, name: string, value: never): Artifact.Any =>
  [...new Set(Artifact.lineage(root).filter(({ node }) => Object.hasOwn(node.params as object, name)))].reduce(
    (root, { node }) => Result.getOrThrow(Pipeline.set(root, `${node.op.toLowerCase()}.${name}`, value)),
    root
  )

describe("streams", () => {
  it("are those of the seed and the place: no other parameter and no cap has a part in them, and every seed has", () => {
    const changes = fc.constantFrom<readonly [string, unknown]>(
      ["learningRate", 1e-5],
      ["beta", 0.7],
      ["checkpointEvery", 3],
      ["measureEvery", 2],
      ["allowance", { mnats: 3, per: "sequence", direction: "reverse" }],
      ["maxNewTokens", 7],
      ["batchSize", 3],
      ["epochs", 2],
      ["origin", Source.file("other.jsonl")],
      ["gold", Gold.tales],
      ["kl", { mnats: 77, per: "sequence", direction: "reverse" }]
    )
    fc.assert(
      fc.property(
        pipelines({ steps: 12 }),
        changes,
        fc.integer({ min: 1, max: 1000 }),
        ({ root }, [name, to], seed) => {
          assert.deepStrictEqual(all(everywhere(root, name, to as never)), all(root), name)
          assert.deepStrictEqual(all(Pipeline.cap(root, { tokens: Budget.tokens(1e9) })), all(root))
          const [own, other] = [streamsIn(root), all(Pipeline.seed(root, seed))]
          for (const artifact of Artifact.lineage(root)) {
            if (fieldsOf(artifact).seed !== undefined) assert.isFalse(other.has(own(artifact)), artifact.node.op)
          }
        }
      ),
      { numRuns: 60 }
    )
  })

  it("are one for each place", () => {
    const base = Checkpoint.huggingFace("llama", "base")
    const demonstrations = Source.demonstrations(Source.file("a.jsonl"))
    const [prompts, held] = [Source.prompts(Source.file("p.jsonl")), Source.prompts(Source.file("h.jsonl"))]
    const rate = { batchSize: 2, learningRate: 1e-3 }
    const once = Sft.make({ base, demonstrations }, rate)
    const twice = Sft.make({ base: once, demonstrations }, rate)
    const moving = { allowance: Kl.mnatsPerSequence(1), maxNewTokens: 4, steps: 1, groupSize: 2, ...rate }
    const verifiers = [Verifier.lastNumber()]
    const free = Grpo.make({ init: once, prompts, held }, { ...moving, beta: 0, verifiers })
    const anchored = Grpo.make({ init: once, reference: base, prompts, held }, { ...moving, beta: 0.1, verifiers })
    const asked = (policy: Artifact.Any) =>
      Sample.make({ policy: policy as typeof once, prompts }, {
        completionsPerPrompt: 2,
        maxNewTokens: 4,
        batchSize: 2
      })
    const judged = (policy: Artifact.Any) =>
      Evaluate.make({ initial: once, prompts: held }, { policy: policy as typeof once }, {
        gold: Gold.tales,
        maxNewTokens: 4
      })
    const stream = (of: Artifact.Any) => streamsIn(of)(of)
    // A round is another place than the round before; a variant of it is the same, and so is a cap.
    assert.strictEqual(new Set([base, once, twice, asked(once), asked(twice)].map(stream)).size, 5)
    assert.strictEqual(stream(free), stream(anchored))
    assert.strictEqual(stream(asked(free)), stream(asked(Pipeline.cap(anchored, { tokens: 10 }))))
    assert.strictEqual(stream(judged(free)), stream(judged(twice)))
    // The members of an ensemble differ in their seed, with any seed of the run.
    const members = [0, 1].map((seed) => Sft.make({ base, demonstrations }, { ...rate, seed }))
    assert.strictEqual(new Set(members.map((one) => Pipeline.seed(one, 3)).map(stream)).size, 2)
  })

  it("give a variant with another rate, β or cap the same prompts and noise, on the transformer", async () => {
    const asked = async (root: Artifact.Any) => {
      const calls: Array<unknown> = []
      const recording = aroundEngine(engine(), {
        model: () => ({
          ...unchanged,
          sample: (own) => (prompts, sampling, seeds) => {
            calls.push([prompts.map((prompt) => [...prompt]), seeds])
            return own(prompts, sampling, seeds)
          }
        })
      })
      succeeded(await runs(root, folder(), { engine: recording }))
      return calls
    }
    const variant = tiny({ learningRate: 1e-4, beta: 0.5, cap: 90_000 }).root
    const before = await asked(tiny().root)
    assert.isAbove(before.length, 8)
    assert.deepStrictEqual(await asked(Result.getOrThrow(Pipeline.set(variant, "sft.learningRate", 2e-3))), before)
    assert.notDeepEqual(await asked(Pipeline.seed(variant, 1)), before)
  })
})
