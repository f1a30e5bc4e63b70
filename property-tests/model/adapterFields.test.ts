/** Every field of PEFT's `LoraConfig`: what Keel merges is what PEFT merges, or Keel refuses by the field's name. */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { Effect, type FileSystem } from "effect"
import * as fc from "fast-check"
import { spawnSync } from "node:child_process"
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "vitest"
import * as adapters from "../../src/model/adapter.ts"
import { adapterFields, scalingOf } from "../../src/model/adapterConfig.ts"
import * as checkpoint from "../../src/model/checkpoint.ts"
import { refused } from "../../src/model/foreignFields.ts"
import { decode } from "../../src/model/safetensors.ts"
import { largestDifference, randomWeights, variants } from "../engine/transformer/tinyModels.ts"
import { folders } from "../store/faultyFileSystem.ts"

const folder = folders("adapter-fields")
const run = <A, E>(effect: Effect.Effect<A, E, FileSystem.FileSystem>): Promise<A> =>
  Effect.runPromise(Effect.provide(effect, NodeFileSystem.layer))

const base = randomWeights(
  { ...variants["Llama, GQA, tied"]!, tie_word_embeddings: false, pad_token_id: 0 },
  "fields"
)

const plain = { r: 2, lora_alpha: 3, target_modules: ["q_proj", "down_proj"] }

/** Values of each field beside its default. */
const toggles: Readonly<Record<string, ReadonlyArray<unknown>>> = {
  r: [1, 3],
  lora_alpha: [1, 16],
  target_modules: [["q_proj"], "all-linear", String.raw`.*\.1\.self_attn\.(q|k)_proj`, ["model.layers.0.mlp.up_proj"]],
  exclude_modules: [["q_proj"], String.raw`.*layers\.0.*`],
  lora_dropout: [0.5],
  fan_in_fan_out: [true],
  bias: ["all", "lora_only"],
  use_rslora: [true],
  modules_to_save: [["lm_head"], ["embed_tokens"], ["norm"]],
  init_lora_weights: [false, "gaussian", "olora", "pissa", "pissa_niter_4", "orthogonal"],
  layers_to_transform: [1, [0]],
  rank_pattern: [{ q_proj: 1 }, { "layers.1.self_attn.q_proj": 3 }, { [String.raw`.*\.0\..*`]: 1, down_proj: 4 }],
  alpha_pattern: [{ down_proj: 16 }, { "^model.layers.0.mlp.down_proj": 7 }, { q: 5 }],
  trainable_token_indices: [[1, 2]],
  layer_replication: [[[0, 2], [1, 2]]],
  use_dora: [true],
  lora_bias: [true],
  target_parameters: [["mlp.up_proj.weight"]]
}

describe("adapter_config.json", () => {
  it("has a scale a module, by the first pattern that the module's name ends in", () => {
    const of = { r: 2, lora_alpha: 4, rank_pattern: { q_proj: 1, "q.*": 3 }, alpha_pattern: { "0.mlp.up": 8 } }
    assert.deepStrictEqual(scalingOf(of, "model.layers.0.self_attn.q_proj"), { rank: 1, scale: 4 })
    assert.deepStrictEqual(scalingOf(of, "model.layers.0.self_attn.my_q_proj"), { rank: 2, scale: 2 })
    assert.deepStrictEqual(scalingOf(of, "layers.0.mlp.up"), { rank: 2, scale: 4 })
    assert.deepStrictEqual(scalingOf({ ...of, r: 4, use_rslora: true }, "up"), { rank: 4, scale: 2 })
  })

  it("is refused by the name of each field that changes the result and is not read", () => {
    for (
      const [name, value] of Object.entries({
        init_lora_weights: "pissa_niter_4",
        use_dora: true,
        bias: "all",
        trainable_token_indices: { embed_tokens: [1] },
        layer_replication: [[0, 2]],
        loftq_config: { loftq_bits: 4 },
        a_field_of_next_year: 0.5
      })
    ) {
      const found = refused(adapterFields, { peft_type: "LORA", ...plain, [name]: value })
      assert.lengthOf(found, 1, name)
      assert.include(found[0], `${name} is `)
    }
    const neutral = { a_field_of_next_year: null, another: {}, lora_dropout: 0.5, init_lora_weights: "gaussian" }
    assert.deepStrictEqual(refused(adapterFields, { ...plain, ...neutral }), [])
  })

  it("gives PEFT's merged weights, or is refused by name", { timeout: 240_000 }, async () => {
    const one = Object.entries(toggles).flatMap(([name, values]) => values.map((value) => ({ [name]: value })))
    const several = fc.sample(
      fc.subarray(Object.keys(toggles), { minLength: 2, maxLength: 4 }).chain((names) =>
        fc.record(Object.fromEntries(names.map((name) => [name, fc.constantFrom(...toggles[name]!)])))
      ),
      { numRuns: 40, seed: 20 }
    )
    const cases = [{}, ...one, ...several]
    const at = folder()
    mkdirSync(at, { recursive: true })
    await run(checkpoint.save(join(at, "base"), base))
    writeFileSync(join(at, "cases.json"), JSON.stringify(cases.map((given) => ({ ...plain, ...given }))))
    const script = fileURLToPath(new URL("adapterFields.py", import.meta.url))
    const ran = spawnSync("python3", [script, join(at, "base"), join(at, "cases.json"), at], { encoding: "utf8" })
    if (ran.error !== undefined || ran.stderr.includes("No module named")) {
      console.warn("skipped: python3 with peft is not there, so its fields are not compared with")
      return
    }
    assert.strictEqual(ran.status, 0, ran.stderr)
    const counts = { equal: 0, refused: 0, theirs: 0 }
    for (const [n, given] of cases.entries()) {
      if (existsSync(join(at, `${n}`, "error"))) {
        counts.theirs++
        continue
      }
      const expected = decode(readFileSync(join(at, `${n}`, "merged.safetensors")), "merged")
      const result = await run(Effect.result(adapters.loadWith(join(at, "base"), join(at, `${n}`, "adapter"))))
      if (result._tag === "Failure") {
        counts.refused++
        const { message } = result.failure
        const named = Object.keys(given).some((name) => message.includes(name)) || /lora_|no part of/u.test(message)
        assert.isTrue(named, `${JSON.stringify(given)}: ${message}`)
        continue
      }
      counts.equal++
      for (const [name, { data }] of result.success.tensors) {
        const difference = largestDifference(data, expected.get(name)!.data)
        assert.isAtMost(difference, 1e-5, `${JSON.stringify(given)}: ${name}`)
      }
    }
    console.log(`adapters: ${counts.equal} as PEFT, ${counts.refused} refused, ${counts.theirs} refused by PEFT itself`)
    assert.isAtLeast(counts.equal, 20)
    assert.isAtLeast(counts.refused, 10)
  })
})
