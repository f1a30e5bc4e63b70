/**
 * Every architecture beside transformers (5.18): logits and greedy tokens of a tiny model with weights by formula, in `architectures.json`.
 * Where transformers is installed, it loads the folders that Keel saves and computes them again; UPDATE_GOLDEN=1 writes them.
 */
import { NodeServices } from "@effect/platform-node"
import { Effect } from "effect"
import { spawnSync } from "node:child_process"
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "vitest"
import { transformer } from "../../src/engine/transformer/transformer.ts"
import { save } from "../../src/model/checkpoint.ts"
import { reference } from "../../src/tensor/reference.ts"
import { largestDifference, randomWeights, variants } from "../engine/transformer/tinyModels.ts"
import { folders } from "../store/faultyFileSystem.ts"

interface Answer {
  /** Of every position. */
  readonly logits: ReadonlyArray<ReadonlyArray<number>>
  readonly greedy: ReadonlyArray<number>
}
type Answers = Readonly<Record<string, Answer>>

const file = fileURLToPath(new URL("architectures.json", import.meta.url))
const script = fileURLToPath(new URL("architectures.py", import.meta.url))
const ids = [1, 5, 3, 9, 4, 4, 11, 2, 7]
const newTokens = 6
const engine = transformer(reference())
/** transformers derives some head sizes itself, and its own padding tokens are outside this vocabulary. */
const derived: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  qwen2: { head_dim: 2 },
  olmoe: { head_dim: 2 },
  phi3: { hidden_size: 16 }
}
const configs = Object.entries(variants).map(([name, raw]) =>
  [name, { pad_token_id: 0, ...raw, ...derived[String(raw["model_type"])] }] as const
)
const folder = folders("architectures")

/** What transformers computes; null where it is not installed. */
const computed = async (): Promise<Answers | null> => {
  const at = folder()
  mkdirSync(at, { recursive: true })
  const models = configs.map(([name], i) => ({ name, folder: `${i}`, ids, newTokens }))
  for (const [i, [name, raw]] of configs.entries()) {
    await Effect.runPromise(Effect.provide(save(join(at, `${i}`), randomWeights(raw, name)), NodeServices.layer))
  }
  writeFileSync(join(at, "request.json"), JSON.stringify({ models }))
  const ran = spawnSync("python3", [script, at], { encoding: "utf8" })
  if (ran.error !== undefined || ran.stderr.includes("No module named")) return null
  assert.strictEqual(ran.status, 0, ran.stderr)
  const all = JSON.parse(readFileSync(join(at, "answer.json"), "utf8")) as Record<
    string,
    Answer & { readonly missing: ReadonlyArray<string>; readonly unexpected: ReadonlyArray<string> }
  >
  return Object.fromEntries(
    Object.entries(all).map(([name, { greedy, logits, missing, unexpected }]) => {
      assert.deepStrictEqual([missing, unexpected], [[], []], name)
      return [name, { logits, greedy }]
    })
  )
}

describe("architectures", () => {
  it("are what transformers computes of the folders that Keel saves", { timeout: 240_000 }, async () => {
    const found = await computed()
    if (found === null) {
      console.warn("skipped: python3 with transformers is not there, so the file of its logits is not made again")
      return
    }
    if (process.env["UPDATE_GOLDEN"] === "1") {
      const lines = Object.entries(found).map(([name, answer]) => `${JSON.stringify(name)}: ${JSON.stringify(answer)}`)
      writeFileSync(file, `{\n${lines.join(",\n")}\n}\n`)
    }
    const kept = JSON.parse(readFileSync(file, "utf8")) as Answers
    assert.sameMembers(Object.keys(kept), Object.keys(found))
    for (const [name, { greedy, logits }] of Object.entries(found)) {
      assert.isAtMost(largestDifference(logits.flat(), kept[name]!.logits.flat()), 2e-6, name)
      assert.deepStrictEqual(greedy, kept[name]!.greedy, name)
    }
  })

  const kept = JSON.parse(readFileSync(file, "utf8")) as Answers
  it.each(configs)("%s: logits at every position, and greedy tokens", (name, raw) => {
    const { greedy, logits } = kept[name]!
    const policy = engine.policy(randomWeights(raw, name))
    // Some rotations depend on the length of the whole.
    const long = name === "Phi 4" ? [ids.length] : ids.map((_, i) => i + 1)
    for (const length of long) {
      const mine = policy.logits(Int32Array.from(ids.slice(0, length)))
      assert.isAtMost(largestDifference(mine, logits[length - 1]!), 1e-4, `position ${length}`)
    }
    const all = [...ids]
    for (let n = 0; n < newTokens; n++) {
      const now = [...policy.logits(Int32Array.from(all))]
      all.push(now.indexOf(Math.max(...now)))
    }
    assert.deepStrictEqual(all.slice(ids.length), greedy)
    policy.dispose()
  })
})
