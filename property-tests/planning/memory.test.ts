import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { Effect, Exit } from "effect"
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, beforeAll, describe, it } from "vitest"
import type * as Artifact from "../../dsl/Artifact.ts"
import { Checkpoint, Pretrain, Sft, Source } from "../../dsl/index.ts"
import { toJson } from "../../dsl/Pipeline.ts"
import { label } from "../../dsl/Render.ts"
import { transformer } from "../../src/engine/transformer/transformer.ts"
import { plan, type StagePlan } from "../../src/planning/plan.ts"
import { prepare } from "../../src/planning/prepare.ts"
import { wasm } from "../../src/tensor/wasm/wasm.ts"
import { keel } from "../cli/keel.ts"
import { folders } from "../store/faultyFileSystem.ts"
import { folderIn, runs, succeeded, tiny } from "../interpreters/tiny.ts"

const folder = folders("memory")

const inspect = (root: Artifact.Any, addressable = Infinity, finished: ReadonlyArray<Artifact.Any> = []) =>
  Effect.runPromise(
    prepare(root, {
      engine: { kind: "transformer", addressable },
      finished: ({ id }) => Effect.succeed(finished.some((artifact) => artifact.id === id))
    }).pipe(Effect.provide(NodeFileSystem.layer), Effect.exit)
  )
/** The least that stages may need: one step of each kind, completions of one token. */
const needsOf = async (root: Artifact.Any): Promise<ReadonlyArray<StagePlan>> => {
  const least = plan(root, { rehearsed: 1, completionLength: 1 })
  return (await Effect.runPromise(Effect.provide(least, NodeFileSystem.layer))).stages.filter(({ bytes }) => bytes > 0)
}
/** What a run of `root` took, with the one stage that is not in the store. */
const taken = async (root: Artifact.Any, store: string): Promise<number> => {
  const backend = await wasm({ threads: 1 })
  const engine = transformer(backend)
  succeeded(await runs(root, store, { engine }))
  backend.dispose()
  return engine.memory!().peak
}

const model = { dim: 64, layers: 3, heads: 4, kvHeads: 2, ffn: 172, context: 128 }
const training = { batchSize: 4, learningRate: 1e-3 }
const base = Pretrain.make({ text: Source.text(Source.tales({ count: 4 })) }, {
  ...training,
  family: "tales",
  model,
  steps: 1
})
const demonstrations = Source.demonstrations(Source.tales({ count: 4 }))
const sft = Sft.make({ base, demonstrations }, training)
const { base: tinyBase, compared, policy, reward, rl, root, sft: tinySft } = tiny()

describe("the memory that a run needs", () => {
  it("of a stage whose rows are known is what it takes, within 1 %", async () => {
    const at = folder()
    for (const artifact of [base, sft]) {
      const need = (await needsOf(artifact)).at(-1)!
      assert.strictEqual(need.stage, label(artifact))
      const really = await taken(artifact, at)
      assert.isAtMost(Math.abs(need.bytes - really) / really, 0.01, `${need.bytes} ${really}`)
    }
  })

  it("of a stage whose completions are not made yet is at most what it takes, and not far from it", async () => {
    const at = folder()
    for (const artifact of [tinyBase, tinySft, compared, reward, policy, root]) {
      const stage = label(artifact === policy ? rl : artifact)
      const all = (await needsOf(artifact)).filter((need) => need.stage === stage)
      const need = Math.max(...all.map(({ bytes }) => bytes))
      const really = await taken(artifact, at)
      assert.isAtMost(need, really, stage)
      assert.isAbove(need, 0.4 * really, stage)
    }
  })

  it("is 0 for what is finished, and for all that only it needs", async () => {
    const refused = async (finished: ReadonlyArray<Artifact.Any>) => {
      const exit = await inspect(root, 0, finished)
      const reason = Exit.isFailure(exit) ? exit.cause.reasons[0] : undefined
      return reason?._tag === "Fail" && reason.error._tag === "OutOfMemory" ? reason.error.stage.split("-")[0] : null
    }
    assert.strictEqual(await refused([]), "pretrain")
    // Compared answers are needed by the reward model alone.
    assert.strictEqual(await refused([tinyBase, tinySft]), "compare")
    assert.strictEqual(await refused([tinyBase, tinySft, reward]), "ppo")
    assert.strictEqual(await refused([tinyBase, tinySft, reward, rl]), "evaluate")
    assert.strictEqual(await refused([root]), null)
  })

  it("above what the engine can address fails with the first such stage and its phase", async () => {
    const [first] = await needsOf(root)
    const failure = async (addressable: number) => {
      const exit = await inspect(root, addressable)
      const reason = Exit.isFailure(exit) ? exit.cause.reasons[0] : undefined
      if (reason?._tag !== "Fail" || reason.error._tag !== "OutOfMemory") throw new Error(String(exit))
      return reason.error
    }
    const opening = await failure(1000)
    assert.deepStrictEqual([opening.stage, opening.phase, opening.available], [
      first!.stage,
      "opening its models",
      1000
    ])
    // In the smallest micro-batches that there are.
    assert.isAbove(opening.needed, opening.available)
    assert.isAtMost(opening.needed, first!.bytes)
    // A little less is made up for by smaller micro-batches.
    assert.notStrictEqual((await failure(first!.bytes - 1)).stage, first!.stage)
    const later = await failure(first!.bytes)
    assert.notStrictEqual(later.stage, first!.stage)
    assert.isTrue(
      Exit.isSuccess(await inspect(root, Math.max(...(await needsOf(root)).map((one) => one.bytes))))
    )
  })
})

describe("keel run", () => {
  let made: string
  beforeAll(async () => {
    const store = folder()
    succeeded(await runs(tinyBase, store))
    made = join(await folderIn(store, tinyBase), "model")
  })
  /** The folder of a model of another size, without its weights. */
  const weightless = (sizes: Readonly<Record<string, number>>): string => {
    const at = folder()
    mkdirSync(at)
    for (const file of readdirSync(made).filter((name) => !name.endsWith(".safetensors"))) {
      const text = readFileSync(join(made, file), "utf8")
      writeFileSync(join(at, file), file === "config.json" ? JSON.stringify({ ...JSON.parse(text), ...sizes }) : text)
    }
    return at
  }
  /** What it says when such a model is to be tuned, and what is in the folder afterwards. */
  const tune = async (sizes: Readonly<Record<string, number>>, backend: string) => {
    const at = folder()
    mkdirSync(at)
    const tuned = Sft.make({ base: Checkpoint.huggingFace("tales", weightless(sizes)), demonstrations }, training)
    writeFileSync(join(at, "it.json"), toJson(tuned))
    const ended = await keel(["run", "it.json", "--out", "runs/it", "--backend", backend], at)
    assert.deepStrictEqual(readdirSync(at), ["it.json"])
    return ended
  }

  it("on wasm refuses a model that its 4 GiB cannot hold, in one line, before weights are looked for or anything is written", async () => {
    const { code, stderr } = await tune({
      hidden_size: 2048,
      intermediate_size: 8192,
      num_hidden_layers: 24,
      num_attention_heads: 16,
      num_key_value_heads: 16
    }, "wasm")
    assert.strictEqual(code, 1, stderr)
    assert.match(
      stderr,
      /^OutOfMemory: sft-[0-9a-f]{8} needs at least \d\d\.\d GiB \(\d\d\.\d GiB optimizer, \d\.\d GiB weights, \d\.\d GiB gradients(, [^)]*)?\); this backend can address 4\.0 GiB, and opening its models would exceed it\. No tried change fits: the smallest needs \d+\.\d GiB \(.*\)\. Take a smaller model\. The native backend has no such limit\.$/mu
    )
  })

  it("where no limit but the machine's holds says so in a line when it will not do, and goes on", async () => {
    const { code, stderr } = await tune({
      hidden_size: 16384,
      intermediate_size: 65536,
      num_hidden_layers: 300,
      num_attention_heads: 128,
      num_key_value_heads: 128
    }, "reference")
    assert.match(stderr, /^This takes at least \d+\.\d TiB of memory and the machine has \d+\.\d [GT]iB: /mu)
    // To where the weights are not there, after all.
    assert.match(stderr, /checkpoint-[0-9a-f]{8}: .*it has no model\.safetensors/u)
    assert.strictEqual(code, 1)
  })
})
