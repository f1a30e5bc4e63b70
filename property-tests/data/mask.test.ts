/** Tokens that a stage does not learn: those that the chat template wrote. */
import { Effect } from "effect"
import fc from "fast-check"
import { assert, describe, it } from "vitest"
import type * as Artifact from "../../dsl/Artifact.ts"
import {
  Checkpoint,
  Distill,
  Distillation,
  Dpo,
  Kl,
  Kto,
  Pipeline,
  PreferenceLoss,
  Sft,
  Source
} from "../../dsl/index.ts"
import { demonstrations, pairs } from "../../src/data/encode.ts"
import { masked } from "../../src/data/encodeSft.ts"
import { offsetsOf, type Row, type Weights } from "../../src/engine/engine.ts"
import { tabular } from "../../src/engine/tabular/tabular.ts"
import { world as makeWorld } from "../../src/engine/tabular/world.ts"
import { problems } from "../../src/interpreters/check.ts"
import { rowId } from "../../src/training/referenceLogps.ts"
import { randomPolicy } from "../engine/tabularWorlds.ts"
import { making } from "../interpreters/worldly.ts"

const world = makeWorld({ prompts: 2, vocab: 3, horizon: 4, seed: "mask" })
const engine = tabular(world)
const weights = randomPolicy(world, "mask")
const codec = engine.codec(weights)
const text = fc.array(fc.constantFrom("a", "b"), { minLength: 1, maxLength: 2 }).map((words) => words.join(" "))
const row = fc.record({ prompt: fc.constantFrom(...world.prompts), chosen: text, rejected: text })
const whole = (of: Row): Row => ({ prompt: of.prompt, completion: of.completion })

describe("mask: template", () => {
  it("leaves out the log-probability and the gradient of the token that ends an answer, and of no other", () => {
    fc.assert(
      fc.property(row, (one) => {
        const policy = engine.policy(weights)
        const [plain, of] = [pairs(codec).encode(one), pairs(codec, "template").encode(one)]
        for (const side of ["chosen", "rejected"] as const) {
          assert.deepStrictEqual(whole(of[side]), plain[side])
          const all = policy.logprobs([plain[side]]).logps
          assert.deepStrictEqual(policy.logprobs([of[side]]).logps, all.slice(0, -1))
          assert.notStrictEqual(rowId(of[side]), rowId(plain[side]))
        }
        // The gradient of Σ log π is that of the tokens that are left: finite differences over the table.
        const rows = [of.chosen, of.rejected]
        const sum = (at: Weights): number => engine.policy(at).logprobs(rows).logps.reduce((sum, x) => sum + x, 0)
        policy.logprobs(rows, { retain: true })
        policy.backward(new Float64Array(offsetsOf(rows).at(-1)!).fill(1))
        policy.step({ learningRate: 1e-3, betas: [0, 0], eps: 1e-12, weightDecay: 0, maxGradNorm: Infinity })
        const [name, { data, shape }] = [...weights.tensors][0]!
        const now = policy.weights().tensors.get(name)!.data
        data.forEach((x, i) => {
          const moved = (by: number) =>
            sum({ ...weights, tensors: new Map([[name, { shape, data: data.map((y, k) => k === i ? y + by : y) }]]) })
          const slope = (moved(1e-5) - moved(-1e-5)) / 2e-5
          // Adam without averages moves by the sign of the gradient.
          if (Math.abs(slope) < 1e-7) assert.strictEqual(now[i], x)
          else assert.strictEqual(Math.sign(x - now[i]!), Math.sign(slope))
        })
      }),
      { numRuns: 10 }
    )
  })

  it("gives it no weight in Sft, stays with its token in a cut, and leaves an answer of nothing else as it is", () => {
    const one = { prompt: world.prompts[0]!, completion: "a b" }
    assert.deepStrictEqual([...masked(codec, "completion", "template").encode(one).mask], [1, 1, 0])
    assert.deepStrictEqual([...masked(codec, "completion", "none").encode(one).mask], [1, 1, 1])
    const encoding = demonstrations(codec, "template")
    const encoded = encoding.encode(one)
    assert.deepStrictEqual([...encoding.cut(encoded, encoded.prompt.length + 2, "keep-start").given!], [0, 0])
    assert.deepStrictEqual([...encoding.cut(encoded, 2, "keep-end").given!], [1])
    assert.isUndefined(encoding.encode({ ...one, completion: "" }).given)
  })

  const base = Checkpoint.huggingFace("tales", "base")
  const held = Source.prompts(Source.tales({ split: "held", count: 8 }))
  const rows = Source.demonstrations(Source.tales({ count: 12 }))
  const preferences = Source.preferences(Source.file("pairs.jsonl"))
  type Masked = { readonly mask?: "none" | "template" }
  const how = { batchSize: 4, learningRate: 0.1, steps: 2 }
  const moved = { allowance: Kl.mnatsPerSequence(1), maxNewTokens: 4, measureEvery: 1000, measureSamples: 8 }
  const cap = { kl: Kl.mnatsPerSequence(1_000_000), from: base }
  const stages: Readonly<Record<string, (of: Masked) => Artifact.Any>> = {
    sft: (of) => Sft.make({ base, demonstrations: rows }, { ...how, ...of }),
    distill: (of) =>
      Distill.make({ student: base, teacher: base, demonstrations: rows }, {
        ...how,
        ...of,
        objective: new Distillation.SequenceLevel()
      }),
    dpo: (of) =>
      Pipeline.cap(
        Dpo.make({ init: base, reference: base, preferences, held }, {
          ...how,
          ...moved,
          ...of,
          loss: PreferenceLoss.dpo()
        }),
        cap
      ),
    kto: (of) =>
      Pipeline.cap(Kto.make({ init: base, reference: base, preferences, held }, { ...how, ...moved, ...of }), cap)
  }
  it.each(Object.entries(stages))("is heard by %s, and none is as if it were not there", async (_, stage) => {
    const made = async (of: Masked) => {
      const { weights } = await Effect.runPromise(making(stage(of), { world, repeated: 4 })) as {
        readonly weights: Weights
      }
      return [...[...weights.tensors.values()][0]!.data]
    }
    assert.deepStrictEqual(await made({ mask: "none" }), await made({}))
    assert.notDeepEqual(await made({ mask: "template" }), await made({}))
  })

  it("is refused where prompts are learnt, or the teacher answers", () => {
    const said = (root: Artifact.Any) => problems(root).map(({ problem }) => problem).join("\n")
    assert.include(
      said(Sft.make({ base, demonstrations: rows }, { ...how, mask: "template", loss: "all" })),
      'mask "template" is about answers'
    )
    assert.include(
      said(Distill.make({ student: base, teacher: base, prompts: held }, {
        ...how,
        mask: "template",
        maxNewTokens: 4,
        objective: new Distillation.SequenceLevel()
      })),
      'mask "template" is about demonstrations'
    )
  })
})
