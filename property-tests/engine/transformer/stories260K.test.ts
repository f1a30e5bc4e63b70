import { NodeServices } from "@effect/platform-node"
import { Effect } from "effect"
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { gunzipSync } from "node:zlib"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import type { Codec, Weights } from "../../../src/engine/engine.ts"
import type { TransformerPolicy } from "../../../src/engine/transformer/policy.ts"
import { transformer } from "../../../src/engine/transformer/transformer.ts"
import { load } from "../../../src/model/checkpoint.ts"
import type { Backend } from "../../../src/tensor/backend.ts"
import { kinds, open } from "./backends.ts"
import { largestDifference } from "./tinyModels.ts"

/** What transformers 5.18 says of a real pretrained model (`../shared/data/README.md`, golden.json). */
interface Golden {
  readonly val_nll_per_token: number
  readonly val_tokens: number
  readonly cases: ReadonlyArray<{
    readonly prompt: string
    readonly prompt_ids: ReadonlyArray<number>
    readonly greedy_ids: ReadonlyArray<number>
    readonly text: string
    readonly prompt_last_logits_first8: ReadonlyArray<number>
    readonly prompt_last_logsumexp: number
    readonly token_logprobs: ReadonlyArray<number>
    readonly entropy_at_prompt_end: number
  }>
}

const data = join(import.meta.dirname, "../../../../shared/data")
const there = existsSync(data)
if (!there) {
  console.warn("skipped: ../shared/data is not there, so stories260K is not checked against its golden values")
}

const greedy = { maxNewTokens: 200, temperature: 0, topK: 0, topP: 1, stop: [1, 2] }

describe.skipIf(!there).each(kinds)("stories260K on %s", (kind) => {
  let backend: Backend
  let weights: Weights
  let golden: Golden
  let policy: TransformerPolicy
  let codec: Codec
  beforeAll(async () => {
    backend = await open(kind)
    golden = JSON.parse(readFileSync(join(data, "models/stories260K/golden.json"), "utf8")) as Golden
    weights = await Effect.runPromise(
      Effect.provide(load(join(data, "models/stories260K-hf")), NodeServices.layer)
    )
    const engine = transformer(backend)
    policy = engine.policy(weights)
    codec = engine.codec(weights)
  })
  afterAll(() => {
    policy.dispose()
    assert.strictEqual(backend.memory().live, 0)
    backend.dispose()
  })

  it("logits, log-probabilities and greedy text are the golden ones", () => {
    assert.isNotEmpty(golden.cases)
    const prompts = golden.cases.map((one) => codec.encodePrompt(one.prompt))
    const samples = policy.sample(prompts, greedy, prompts.map(() => ""))
    golden.cases.forEach((one, i) => {
      const prompt = prompts[i]!
      assert.deepStrictEqual([...prompt], [...one.prompt_ids])
      const logits = policy.logits(prompt)
      assert.isAtMost(largestDifference(logits.subarray(0, 8), one.prompt_last_logits_first8), 1e-4)
      assert.closeTo(Math.log(logits.reduce((sum, z) => sum + Math.exp(z), 0)), one.prompt_last_logsumexp, 1e-4)

      const { completion, logps } = samples[i]!
      assert.deepStrictEqual([...completion], [...one.greedy_ids])
      assert.strictEqual(codec.decode([...prompt, ...completion]), one.text)
      assert.isAtMost(largestDifference(logps, one.token_logprobs.slice(prompt.length - 1)), 1e-4)

      const all = Int32Array.from([...one.prompt_ids, ...one.greedy_ids])
      const whole = policy.logprobs([{ prompt: all.subarray(0, 1), completion: all.subarray(1) }])
      assert.isAtMost(largestDifference(whole.logps, one.token_logprobs), 1e-4)
      assert.closeTo(whole.entropies[prompt.length - 1]!, one.entropy_at_prompt_end, 1e-4)
    })
  })

  // The double-precision loops would take minutes for 50 thousand tokens.
  it.skipIf(kind === "reference")("the loss on 150 held-out stories is 1.273 nats a token", () => {
    const stories = gunzipSync(readFileSync(join(data, "corpora/tinystories.jsonl.gz"))).toString("utf8").split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as { readonly split: string; readonly text: string })
      .filter(({ split }) => split === "valid")
      .slice(0, 150)
    // Cut to the context; every token but bos is predicted.
    const batch = stories.map(({ text }) => {
      const ids = codec.encodePrompt(text).subarray(0, policy.context)
      return { prompt: ids.subarray(0, 1), completion: ids.subarray(1) }
    })
    const { logps } = policy.logprobs(batch)
    assert.strictEqual(logps.length, golden.val_tokens)
    const loss = -logps.reduce((sum, logp) => sum + logp, 0) / logps.length
    assert.closeTo(loss, golden.val_nll_per_token, 1e-4)
    assert.closeTo(loss, 1.273, 2e-3)
  })
})
