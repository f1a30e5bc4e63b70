import { NodeServices } from "@effect/platform-node"
import { Effect } from "effect"
import { execFileSync, spawnSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import type { Batch, Update } from "../../../src/engine/engine.ts"
import { transformer } from "../../../src/engine/transformer/transformer.ts"
import { load, save } from "../../../src/model/checkpoint.ts"
import { withHead } from "../../../src/model/config.ts"
import { kinds, open } from "./backends.ts"
import { largestDifference, randomBatch, randomWeights, variants } from "./tinyModels.ts"

const oracle = spawnSync("python3", ["-c", "import torch, transformers"], { stdio: "ignore" }).status === 0
if (!oracle) console.warn("skipped: python3 with torch and transformers is not there, so PyTorch is not compared with")

const folder = mkdtempSync(join(tmpdir(), "keel-pytorch-"))
const run = <A, E>(effect: Effect.Effect<A, E, NodeServices.NodeServices>): Promise<A> =>
  Effect.runPromise(Effect.provide(effect, NodeServices.layer))

const base = {
  vocab_size: 97,
  hidden_size: 32,
  intermediate_size: 56,
  num_hidden_layers: 3,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  max_position_embeddings: 64,
  bos_token_id: 1,
  eos_token_id: 2,
  pad_token_id: null,
  tie_word_embeddings: false
}

const configs: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  llama: { ...base, model_type: "llama", tie_word_embeddings: true },
  "llama, biases, llama3 rope": {
    ...base,
    model_type: "llama",
    attention_bias: true,
    mlp_bias: true,
    rope_parameters: {
      rope_type: "llama3",
      rope_theta: 10000,
      factor: 4,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 16
    }
  },
  mistral: { ...base, model_type: "mistral", sliding_window: 5, num_key_value_heads: 1 },
  qwen2: { ...base, model_type: "qwen2", tie_word_embeddings: true },
  qwen3: { ...base, model_type: "qwen3", head_dim: 16 }
}

const update: Update = {
  learningRate: 1e-3,
  betas: [0.9, 0.95],
  eps: 1e-8,
  weightDecay: 0.1,
  maxGradNorm: Infinity
}
const updates: ReadonlyArray<Update> = [update, { ...update, maxGradNorm: 1 }]
const tasks = Object.entries(configs).map(([name, config], k) => ({
  name,
  config,
  spread: 0.15,
  newTokens: 20,
  ids: [...randomBatch([[12, 0]], `ids/${name}`, 97)[0]!.prompt],
  batches: Array.from({ length: 6 }, (_, i) => randomBatch([[1, 20], [1, 9], [1, 33]], `${k}/${i % 3}`, 97))
}))
const scorers = Object.entries(variants).filter(([name]) => !/window|one head/.test(name)).map(([name, raw]) => ({
  name: `score ${name}`,
  // transformers derives the head size of Qwen2, so this one has the derived size.
  raw: raw["model_type"] === "qwen2" ? { ...raw, head_dim: 2 } : raw,
  row: randomBatch([[3, 9]], name)[0]!
})).concat([{}, { pad_token_id: 2 }].map((given, i) => ({
  // The first is made from a policy whose padding token is its end, the second was saved so by somebody else.
  name: `score, padding is the end ${i}`,
  raw: { ...withHead({ ...variants["Llama, GQA, tied"]!, pad_token_id: 2 }, "score"), ...given },
  row: { prompt: Int32Array.of(1, 5, 3), completion: Int32Array.of(4, 2) }
})))

interface Answer {
  readonly models: Record<
    string,
    {
      logits: Array<Array<number>>
      greedy: Array<number>
      runs: Array<{ losses: Array<number>; norms: Array<number> }>
    }
  >
  readonly scores: Record<string, { score: Array<number>; missing: Array<string> }>
}

describe.skipIf(!oracle)("PyTorch and transformers agree", () => {
  let answer: Answer
  beforeAll(async () => {
    for (const { name, raw } of scorers) {
      await run(save(join(folder, name), randomWeights(raw, name, "score")))
    }
    const models = tasks.map((task) => ({
      ...task,
      batches: task.batches.map((rows) => rows.map(({ completion, prompt }) => [...prompt, ...completion]))
    }))
    const scores = scorers.map(({ name, row }) => ({ name, ids: [...row.prompt, ...row.completion] }))
    // Infinity becomes null in JSON, which the oracle takes for no limit.
    writeFileSync(join(folder, "request.json"), JSON.stringify({ models, scores, optimizers: updates }))
    execFileSync("python3", [join(import.meta.dirname, "pytorch.py"), folder], { stdio: "pipe" })
    answer = JSON.parse(readFileSync(join(folder, "answer.json"), "utf8")) as Answer
  })
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  describe.each(kinds)("%s", (kind) => {
    const close = kind === "reference" ? 1e-11 : 1e-5

    it.each(tasks)("a model made by transformers: $name", async ({ batches, ids, name, newTokens }) => {
      const backend = await open(kind)
      const weights = await run(load(join(folder, name)))
      const engine = transformer(backend)
      const policy = engine.policy(weights)
      const expected = answer.models[name]!
      const prompt = Int32Array.from(ids)
      expected.logits.forEach((row, t) => {
        assert.isAtMost(largestDifference(policy.logits(prompt.subarray(0, t + 1)), row), close)
      })
      const sampling = { maxNewTokens: newTokens, temperature: 0, topK: 0, topP: 1, stop: [] }
      assert.deepStrictEqual([...policy.sample([prompt], sampling, ["a"])[0]!.completion], expected.greedy)

      updates.forEach((optimizer, k) => {
        const { losses, norms } = expected.runs[k]!
        const model = engine.policy(weights)
        batches.forEach((batch: Batch, i) => {
          const { logps } = model.logprobs(batch, { retain: true })
          const loss = -logps.reduce((sum, logp) => sum + logp, 0) / logps.length
          assert.closeTo(loss, losses[i]!, 1e-4, `loss of step ${i}`)
          model.backward(logps.map(() => -1 / logps.length))
          assert.closeTo(model.step(optimizer) / norms[i]!, 1, 1e-4, `norm of step ${i}`)
        })
        assert.isBelow(losses.at(-1)!, losses[0]! - 0.1, "the model must have learnt something")
        model.dispose()
      })
      policy.dispose()
      backend.dispose()
    })

    it.each(scorers)("a scorer saved by Keel: $name", async ({ name, row }) => {
      const backend = await open(kind)
      const scorer = transformer(backend).scorer(await run(load(join(folder, name))))
      const expected = answer.scores[name]!
      assert.deepStrictEqual(expected.missing, [])
      assert.strictEqual(expected.score.length, 1)
      assert.closeTo(scorer.values([row]).values.at(-1)!, expected.score[0]!, close)
      backend.dispose()
    })
  })
})
