/** Adapters in PEFT's layout: there and back, what is refused, and the logits that PEFT computes with them. */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { Effect, type FileSystem } from "effect"
import { spawnSync } from "node:child_process"
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "vitest"
import type { Lora, Weights } from "../../src/engine/engine.ts"
import { transformer } from "../../src/engine/transformer/transformer.ts"
import * as adapters from "../../src/model/adapter.ts"
import * as checkpoint from "../../src/model/checkpoint.ts"
import { reference } from "../../src/tensor/reference.ts"
import {
  largestDifference,
  randomBatch,
  randomNumbers,
  randomWeights,
  training
} from "../engine/transformer/tinyModels.ts"
import { folders } from "../store/faultyFileSystem.ts"

const folder = folders("adapter")
const run = <A, E>(effect: Effect.Effect<A, E, FileSystem.FileSystem>): Promise<A> =>
  Effect.runPromise(Effect.provide(effect, NodeFileSystem.layer))

const config = {
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  hidden_act: "silu",
  vocab_size: 13,
  hidden_size: 8,
  intermediate_size: 10,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 4,
  max_position_embeddings: 24,
  rms_norm_eps: 1e-5,
  rope_theta: 100,
  tie_word_embeddings: false,
  bos_token_id: 1,
  eos_token_id: 2,
  pad_token_id: 0
}
const lora: Lora = { rank: 2, alpha: 3, targetModules: ["q_proj", "v_proj", "gate_proj", "down_proj"], seed: "peft" }
const batch = randomBatch([[1, 5], [3, 4]], "peft")
const engine = transformer(reference())

/** In float32, as files hold them. */
const single = ({ tensors, ...rest }: Weights): Weights => ({
  ...rest,
  tensors: new Map([...tensors].map(([name, { data, shape }]) => [name, { shape, data: Float32Array.from(data) }]))
})
const base = single(randomWeights(config, "peft"))

const learned = (): Weights => {
  const policy = engine.policy(base, { lora })
  for (let n = 0; n < 3; n++) {
    policy.backward(randomNumbers(policy.logprobs(batch, { retain: true }).logps.length, `step ${n}`))
    policy.step({ ...training, learningRate: 0.1 })
  }
  return policy.weights()
}
const scored = (): Weights => {
  const scorer = engine.scorer(base, { lora })
  for (let n = 0; n < 3; n++) {
    scorer.backward(randomNumbers(scorer.values(batch, { retain: true }).values.length, `step ${n}`))
    scorer.step({ ...training, learningRate: 0.1 })
  }
  return scorer.weights()
}

const close = (a: ArrayLike<number>, b: ArrayLike<number>, tolerance: number) =>
  assert.isAtMost(largestDifference(a, b), tolerance)

describe("an adapter in PEFT's layout", () => {
  it("comes back from disk, and merged into the base it is the model that was trained", async () => {
    const [at, { adapter, tensors }] = [folder(), learned()]
    await run(adapters.save(at, adapter!))
    const back = await run(adapters.load(at))
    assert.deepStrictEqual([back.rank, back.alpha, [...back.targetModules].sort()], [
      2,
      3,
      [...lora.targetModules].sort()
    ])
    assert.sameMembers([...back.pairs.keys()], [...adapter!.pairs.keys()])
    const merged = adapters.merge(base, back)
    for (const [name, { data }] of tensors) close(merged.tensors.get(name)!.data, data, 1e-6)
  })

  it("of another method, or of another model, is refused by name", async () => {
    const [at, { adapter }] = [folder(), learned()]
    await run(adapters.save(at, adapter!))
    const path = join(at, "adapter_config.json")
    const json = JSON.parse(readFileSync(path, "utf8")) as object
    for (const other of [{ peft_type: "IA3" }, { use_dora: true }, { bias: "all" }, { r: 0 }]) {
      writeFileSync(path, JSON.stringify({ ...json, ...other }))
      const error = await run(Effect.flip(adapters.load(at)))
      assert.strictEqual(error._tag, "BadCheckpoint")
      assert.include(error.message, Object.keys(other)[0]!)
    }
    const wide = randomWeights({ ...config, intermediate_size: 12 }, "wide")
    assert.throws(() => adapters.merge(wide, adapter!), /model\.layers\.0\.mlp\.(gate|down)_proj/u)
  })
})

describe("PEFT", () => {
  const script = fileURLToPath(new URL("adapter.py", import.meta.url))
  const ids = Int32Array.of(1, 5, 3, 9, 4, 4, 11)
  /** Undefined, said in one line, where PEFT is not installed. */
  const peft = async (task: "CAUSAL_LM" | "SEQ_CLS", weights: Weights, start: Weights) => {
    const at = folder()
    mkdirSync(at, { recursive: true })
    await run(checkpoint.save(join(at, "base"), start))
    await run(adapters.save(join(at, "adapter"), weights.adapter!))
    writeFileSync(join(at, "ids.json"), JSON.stringify([...ids]))
    const ran = spawnSync("python3", [script, join(at, "base"), join(at, "adapter"), at, task], { encoding: "utf8" })
    if (ran.error !== undefined || ran.stderr.includes("No module named")) {
      console.warn("skipped: python3 with peft is not there, so PEFT's logits are not compared with")
      return undefined
    }
    assert.strictEqual(ran.status, 0, ran.stderr)
    const read = (name: string) => JSON.parse(readFileSync(join(at, name), "utf8")) as ReadonlyArray<number>
    return { logits: read("logits.json"), made: read("made.json"), adapter: await run(adapters.load(join(at, "made"))) }
  }

  it(
    "reads our adapter and computes our logits; we read the one it made and compute its",
    { timeout: 240_000 },
    async () => {
      const weights = learned()
      const theirs = await peft("CAUSAL_LM", weights, base)
      if (theirs === undefined) return
      close(engine.policy(weights).logits(ids), theirs.logits, 1e-5)
      assert.isAbove(largestDifference(engine.policy(base).logits(ids), theirs.logits), 1e-2)
      close(engine.policy(adapters.merge(base, theirs.adapter)).logits(ids), theirs.made, 1e-5)
    }
  )

  it("reads the adapter of a reward model with its head", { timeout: 240_000 }, async () => {
    const weights = scored()
    const start = engine.scorer(base).weights()
    const theirs = await peft("SEQ_CLS", weights, start)
    if (theirs === undefined) return
    const values = (of: Weights) => engine.scorer(of).values([{ prompt: ids, completion: new Int32Array(0) }]).values
    close(values(weights), theirs.logits, 1e-5)
    assert.isAbove(Math.abs(theirs.logits[0]!), 1e-3)
    close(values(adapters.merge(start, theirs.adapter)), theirs.made, 1e-5)
  })
})
