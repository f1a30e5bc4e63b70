/** The transformer on TensorFlow.js in plain JavaScript: what it computes, that it leaks nothing, and whole pipelines. */
import * as tf from "@tensorflow/tfjs-core"
import "@tensorflow/tfjs-backend-cpu"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import type { Batch, Engine, Tensors } from "../../../src/engine/engine.ts"
import { transformer } from "../../../src/engine/transformer/transformer.ts"
import type { Event } from "../../../src/store/runLog.ts"
import type { Backend } from "../../../src/tensor/backend.ts"
import { reference } from "../../../src/tensor/reference.ts"
import { makeBackend } from "../../../src/tensor/tfjs/backend.ts"
import { wasm } from "../../../src/tensor/wasm/wasm.ts"
import { contents, runs, succeeded, tiny } from "../../interpreters/tiny.ts"
import { folders } from "../../store/faultyFileSystem.ts"
import {
  largestDifference,
  plainSampling,
  randomBatch,
  randomNumbers,
  randomWeights,
  revealing,
  training,
  variants
} from "./tinyModels.ts"

tf.enableProdMode()
await tf.ready()

const open = (): Backend => makeBackend(tf)

/** Log-probabilities and gradients of a policy. */
const computed = (engine: Engine, raw: Readonly<Record<string, unknown>>, batch: Batch) => {
  const policy = engine.policy(randomWeights(raw, "tfjs"))
  const { entropies, logps } = policy.logprobs(batch, { retain: true })
  policy.backward(randomNumbers(logps.length, "g"))
  policy.step(revealing)
  const gradients: Tensors = policy.optimizer().tensors
  policy.dispose()
  return { logps, entropies, gradients }
}

describe("the transformer on TensorFlow.js", () => {
  let backend: Backend
  beforeAll(() => {
    backend = open()
  })
  afterAll(() => backend.dispose())

  for (const [name, raw] of Object.entries(variants)) {
    it(`computes what it does on reference: ${name}`, () => {
      const batch = randomBatch([[2, 9], [5, 4], [1, 1], [3, 12], [4, 5]], "tfjs")
      const [got, want] = [computed(transformer(backend), raw, batch), computed(transformer(reference()), raw, batch)]
      // Sums and products of float32 on numbers of about 1, some ten of them in a row.
      assert.isBelow(largestDifference(got.logps, want.logps), 2e-5)
      assert.isBelow(largestDifference(got.entropies, want.entropies), 2e-5)
      for (const [tensor, { data }] of want.gradients) {
        const scale = Math.max(1, ...data.map(Math.abs))
        assert.isBelow(largestDifference(got.gradients.get(tensor)!.data, data), 1e-4 * scale, tensor)
      }
    })
  }

  it("gives every tensor back: as many after 1,000 steps as after a few, and none at the end", () => {
    const before = tf.memory().numTensors
    const own = open()
    const engine = transformer(own)
    const raw = { ...variants["Llama, GQA, tied"]!, num_hidden_layers: 1, hidden_size: 4, intermediate_size: 4 }
    const policy = engine.policy(randomWeights(raw, "many"))
    // Of several shapes, which come back in turn.
    const shapes: ReadonlyArray<ReadonlyArray<readonly [number, number]>> = [[[1, 2], [1, 2]], [[2, 3]], [[1, 1], [
      3,
      4
    ]]]
    const batches = shapes.map((lengths, i) => randomBatch(lengths, `many/${i}`))
    const prompts = [Int32Array.of(1), Int32Array.of(2, 3)]
    let after = 0
    let bytes = 0
    for (let step = 0; step <= 1000; step++) {
      const { logps } = policy.logprobs(batches[step % 3]!, { retain: true })
      policy.backward(new Float64Array(logps.length).fill(-1 / logps.length))
      policy.step(training)
      if (step % 100 === 0) policy.sample(prompts, { ...plainSampling, maxNewTokens: 3 }, ["a", "b"])
      if (step === 100) [after, bytes] = [tf.memory().numTensors, tf.memory().numBytes]
    }
    // Step 1,000 has the shape of step 100 + 3 · 300.
    assert.deepStrictEqual([tf.memory().numTensors, tf.memory().numBytes], [after, bytes])
    policy.dispose()
    assert.strictEqual(own.memory().live, 0)
    own.dispose()
    assert.strictEqual(tf.memory().numTensors, before)
  })
})

describe("InstructGPT as small as it gets, on TensorFlow.js", () => {
  const folder = folders("tfjs")
  /** Losses, rewards and KL of every step. */
  const curves = (events: ReadonlyArray<Event>) =>
    events.flatMap((event) => event._tag === "Step" ? [{ stage: event.stage, metrics: event.metrics }] : [])

  it("has the curves of wasm, the same bits when run again, and when stopped and gone on with", async () => {
    const { root } = tiny()
    const on = async (backend: Backend, store: string, stopAt?: (event: Event) => boolean) => {
      const ran = await runs(root, store, {
        engine: transformer(backend),
        ...(stopAt === undefined ? {} : { stopAt })
      })
      backend.dispose()
      return ran
    }
    const [first, second] = [folder(), folder()]
    const ours = succeeded(await on(open(), first))
    const theirs = succeeded(await on(await wasm({ threads: 1 }), folder()))
    const [got, want] = [curves(ours.events), curves(theirs.events)]
    assert.deepStrictEqual(got.map(({ stage }) => stage), want.map(({ stage }) => stage))
    got.forEach(({ metrics, stage }, i) => {
      for (const [name, value] of Object.entries(want[i]!.metrics)) {
        if (typeof value !== "number") continue
        // Both err by 1e-6 or so in a step, and PPO's metrics are differences of log-probabilities.
        assert.approximately(
          metrics[name] as number,
          value,
          1e-3 * Math.max(1, Math.abs(value)),
          `${stage} ${i} ${name}`
        )
      }
    })
    const stopped = await on(open(), second, (event) => event._tag === "Checkpoint")
    assert.isBelow(curves(stopped.events).length, got.length)
    succeeded(await on(open(), second))
    assert.deepStrictEqual(contents(second), contents(first))
  })
})
