import { NodeServices } from "@effect/platform-node"
import { Effect, Exit, FileSystem, PlatformError } from "effect"
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, assert, describe, it } from "vitest"
import type { Tensors, Weights } from "../../src/engine/engine.ts"
import { BadCheckpoint } from "../../src/model/BadCheckpoint.ts"
import { load, save } from "../../src/model/checkpoint.ts"
import { modelConfig } from "../../src/model/config.ts"
import { initial } from "../../src/model/init.ts"
import { elements, parameters } from "../../src/model/parameters.ts"
import { encode } from "../../src/model/safetensors.ts"
import { codec } from "../../src/model/tokenizer.ts"
import { wordLevel } from "../../src/model/wordLevel.ts"
import { shared, tiny } from "./shared.ts"

const home = mkdtempSync(join(tmpdir(), "keel-checkpoint-"))
afterAll(() => rmSync(home, { recursive: true, force: true }))
let count = 0
const fresh = (): string => join(home, `case-${count++}`, "model")

const run = <A, E>(effect: Effect.Effect<A, E, NodeServices.NodeServices>): Promise<A> =>
  Effect.runPromise(Effect.provide(effect, NodeServices.layer))
const fails = <A, E>(effect: Effect.Effect<A, E, NodeServices.NodeServices>): Promise<E> => run(Effect.flip(effect))

const weightsOf = (raw: Readonly<Record<string, unknown>>, seed: string): Weights => ({
  config: { ...raw, dtype: "float32" },
  tensors: initial(modelConfig(raw), seed),
  tokenizer: new Map([...wordLevel(["a", "b"]), ["generation_config.json", '{"eos_token_id":2}']])
})
const old = weightsOf(tiny("llama"), "old")
const recent = weightsOf(tiny("llama"), "recent")

/** A folder written by hand: file name → text or tensors. */
const written = (files: Readonly<Record<string, string | Tensors>>): string => {
  const dir = fresh()
  mkdirSync(dir, { recursive: true })
  for (const [name, contents] of Object.entries(files)) {
    writeFileSync(join(dir, name), typeof contents === "string" ? contents : encode(contents))
  }
  return dir
}
const config = JSON.stringify(old.config)
const problemOf = async (dir: string): Promise<string> => {
  const error = await fails(load(dir))
  assert.instanceOf(error, BadCheckpoint)
  assert.isAbove(error.remedy.length, 10)
  return `${error.path}: ${error.problem}`
}

describe("save and load", () => {
  it("give back what was saved, and saving again gives the same bytes", async () => {
    for (const family of ["llama", "mistral", "qwen2", "qwen3"]) {
      for (const tie_word_embeddings of [true, false]) {
        const weights = weightsOf(tiny(family, { tie_word_embeddings }), family)
        const [first, second] = [fresh(), fresh()]
        await run(save(first, weights))
        const read = await run(load(first))
        assert.deepEqual(read, weights)
        await run(save(second, read))
        assert.deepEqual(readdirSync(second), readdirSync(first))
        for (const name of readdirSync(first)) {
          assert.deepEqual(readFileSync(join(second, name)), readFileSync(join(first, name)))
        }
      }
    }
  })

  it("keep double precision and say so in config.json", async () => {
    const double = new Map(
      [...old.tensors].map(([name, { data, shape }]) => [name, { shape, data: Float64Array.from(data, (x) => x / 3) }])
    )
    const dir = fresh()
    await run(save(dir, { ...old, config: { ...old.config, torch_dtype: "bfloat16" }, tensors: double }))
    const read = await run(load(dir))
    assert.deepEqual(read.tensors, double)
    assert.deepInclude(read.config, { dtype: "float64", torch_dtype: "float64" })
  })

  it("replace a checkpoint that was there", async () => {
    const dir = fresh()
    await run(save(dir, { ...old, tokenizer: new Map([...old.tokenizer, ["chat_template.jinja", "old"]]) }))
    await run(save(`${dir}/`, recent))
    assert.deepEqual(await run(load(dir)), recent)
    assert.deepEqual(readdirSync(join(dir, "..")), ["model"])
  })

  it("never throw away other files", async () => {
    const dir = written({ "config.json": config, "thesis.tex": "years of work" })
    const error = await fails(save(dir, recent))
    assert.instanceOf(error, PlatformError.PlatformError)
    assert.match(error.message, /thesis\.tex/)
    assert.strictEqual(readFileSync(join(dir, "thesis.tex"), "utf8"), "years of work")
    const plain = join(home, "plain")
    writeFileSync(plain, "x")
    assert.instanceOf(await fails(save(plain, recent)), PlatformError.PlatformError)
    assert.strictEqual(readFileSync(plain, "utf8"), "x")
  })

  it("find the old checkpoint when a save was killed between its renames", async () => {
    const dir = fresh()
    await run(save(dir, old))
    renameSync(dir, `${dir}.previous`)
    assert.deepEqual(await run(load(dir)), old)
    await run(save(dir, recent))
    assert.deepEqual(readdirSync(join(dir, "..")), ["model"])
    assert.deepEqual(await run(load(dir)), recent)
  })
})

/** A file system whose n-th changing operation fails as on a full disk, and the number of such operations so far. */
const failing = (
  fs: FileSystem.FileSystem,
  n: number
): { readonly fs: FileSystem.FileSystem; readonly count: () => number } => {
  let at = 0
  const full = PlatformError.systemError({
    _tag: "Unknown",
    module: "FileSystem",
    method: "write",
    description: "ENOSPC: no space left on device"
  })
  const guard = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | PlatformError.PlatformError, R> =>
    Effect.suspend((): Effect.Effect<A, E | PlatformError.PlatformError, R> => at++ === n ? Effect.fail(full) : effect)
  return {
    count: () => at,
    fs: {
      ...fs,
      makeDirectory: (...args) => guard(fs.makeDirectory(...args)),
      rename: (...args) => guard(fs.rename(...args)),
      open: (...args) =>
        Effect.map(guard(fs.open(...args)), (file): FileSystem.File => ({
          ...file,
          // Half of it is written before the disk is full.
          writeAll: (bytes) =>
            guard(file.writeAll(bytes)).pipe(
              Effect.tapError(() => file.writeAll(bytes.subarray(0, bytes.length >> 1)))
            ),
          sync: guard(file.sync)
        }))
    }
  }
}

describe("when the disk is full", () => {
  const savedWith = (dir: string, n: number) =>
    run(Effect.gen(function*() {
      const faulty = failing(yield* FileSystem.FileSystem, n)
      const exit = yield* Effect.exit(Effect.provideService(save(dir, recent), FileSystem.FileSystem, faulty.fs))
      return { exit, count: faulty.count() }
    }))

  it.each([true, false])("at any point, what was there stays (something there: %s)", async (there) => {
    const { count: operations } = await savedWith(fresh(), -1)
    assert.isAbove(operations, 12)
    let refused = 0
    for (let n = 0; n <= operations; n++) {
      const dir = fresh()
      if (there) await run(save(dir, old))
      const { exit } = await savedWith(dir, n)
      if (Exit.isFailure(exit)) refused++
      const left = existsSync(join(dir, "..")) ? readdirSync(join(dir, "..")) : []
      const saved = Exit.isSuccess(exit)
      assert.deepEqual(left, there || saved ? ["model"] : [], `operation ${n}`)
      if (there || saved) assert.deepEqual(await run(load(dir)), saved ? recent : old, `operation ${n}`)
    }
    assert.isAbove(refused, 12)
  })
})

describe("a folder that is no checkpoint", () => {
  const tensors = old.tensors

  it("is refused with what is wrong", async () => {
    assert.match(await problemOf(join(home, "nowhere")), /no such folder/)
    assert.match(await problemOf(written({ x: "" })), /no config\.json/)
    assert.match(await problemOf(join(written({ x: "" }), "x")), /x: it is a file/)
    assert.match(await problemOf(written({ "config.json": config })), /no model\.safetensors/)
    assert.match(await problemOf(written({ "config.json": "{" })), /config\.json: not JSON/)
    assert.match(await problemOf(written({ "config.json": '{"model_type":"bloom"}' })), /bloom/)
    assert.match(
      await problemOf(written({ "config.json": config, "model.safetensors": "not at all" })),
      /truncated, or not safetensors/
    )
  })

  it("is never unpickled", async () => {
    const error = await fails(load(written({ "config.json": config, "pytorch_model.bin": "cos\nsystem\n" })))
    assert.instanceOf(error, BadCheckpoint)
    assert.match(error.problem, /pickled \(pytorch_model\.bin\)/)
    assert.match(error.remedy, /safe_serialization=True/)
  })

  it("is refused with every tensor that is missing, unexpected or misshapen", async () => {
    const changed = new Map(tensors)
    changed.delete("model.norm.weight")
    changed.delete("model.layers.1.mlp.up_proj.weight")
    changed.set("model.layers.0.self_attn.q_proj.bias", { shape: [1], data: Float32Array.of(0) })
    changed.set("lm_head.weight", { shape: [8, 11], data: new Float32Array(88) })
    const problem = await problemOf(written({ "config.json": config, "model.safetensors": changed }))
    assert.match(problem, /missing: model\.layers\.1\.mlp\.up_proj\.weight, model\.norm\.weight/)
    assert.match(problem, /unexpected: model\.layers\.0\.self_attn\.q_proj\.bias/)
    assert.match(problem, /lm_head\.weight is \[8,11\] instead of \[11,8\]/)
  })
})

describe("variants that others write", () => {
  const tied = modelConfig(tiny("llama", { tie_word_embeddings: true }))
  const tensors = initial(tied, "tied")
  const embedding = tensors.get("model.embed_tokens.weight")!
  const configFile = JSON.stringify(tied.raw)

  it("a tied matrix under either name, or both", async () => {
    const head = new Map([...tensors, ["lm_head.weight", embedding]])
    const only = new Map(head)
    only.delete("model.embed_tokens.weight")
    for (const stored of [tensors, head, only]) {
      const read = await run(load(written({ "config.json": configFile, "model.safetensors": stored })))
      assert.deepEqual(read.tensors, tensors)
      assert.deepEqual([...read.tensors.keys()], parameters(tied, "lm").map(({ name }) => name))
    }
    const other = { shape: embedding.shape, data: embedding.data.map((x) => x + 1) }
    const differing = new Map([...tensors, ["lm_head.weight", other]])
    assert.match(await problemOf(written({ "config.json": configFile, "model.safetensors": differing })), /differ/)
  })

  it("stored rotary frequencies are left out", async () => {
    const name = "model.layers.0.self_attn.rotary_emb.inv_freq"
    const stored = new Map([...tensors, [name, { shape: [2], data: Float32Array.of(1, 0.1) }]])
    assert.deepEqual(
      (await run(load(written({ "config.json": configFile, "model.safetensors": stored })))).tensors,
      tensors
    )
  })

  it("shards, in step with their index", async () => {
    const names = [...tensors.keys()]
    const shard = (from: number, to?: number): Tensors => new Map([...tensors].slice(from, to))
    const index = Object.fromEntries(names.map((name, i) => [name, i < 5 ? "a.safetensors" : "b.safetensors"]))
    const files = (change: Readonly<Record<string, unknown>>, parts: Readonly<Record<string, Tensors>>) =>
      written({
        "config.json": configFile,
        "model.safetensors.index.json": JSON.stringify({ metadata: {}, weight_map: { ...index, ...change } }),
        ...parts
      })
    const parts = { "a.safetensors": shard(0, 5), "b.safetensors": shard(5) }
    assert.deepEqual((await run(load(files({}, parts)))).tensors, tensors)
    assert.match(await problemOf(files({}, { "a.safetensors": shard(0, 5) })), /not there: b\.safetensors/)
    assert.match(
      await problemOf(files({}, { ...parts, "b.safetensors": shard(6) })),
      new RegExp(`${names[5]} is not in b\\.safetensors`)
    )
    assert.match(await problemOf(files({}, { ...parts, "b.safetensors": shard(4) })), /which the index does not say/)
    for (const bad of ["../../x.safetensors", "/etc/x.safetensors", "..\\x.safetensors", "x.bin", 7, null]) {
      assert.match(await problemOf(files({ [names[0]!]: bad }, parts)), /outside the folder/)
    }
    const broken = written({ "config.json": configFile, "model.safetensors.index.json": "[]" })
    assert.match(await problemOf(broken), /weight_map/)
  })

  it.skipIf(shared("models/stories260K-hf") === null)("stories260K, as published", async () => {
    const read = await run(load(shared("models/stories260K-hf")!))
    const read260 = modelConfig(read.config)
    assert.deepEqual([...read.tensors.keys()], parameters(read260, "lm").map(({ name }) => name))
    assert.strictEqual([...read.tensors.values()].reduce((sum, { shape }) => sum + elements(shape), 0), 260_032)
    // The same weights in llama2.c's layout: the embedding is its first block.
    const bin = readFileSync(shared("models/stories260K/stories260K.bin")!)
    const first = new Float32Array(bin.buffer.slice(bin.byteOffset + 28, bin.byteOffset + 28 + 4 * 512 * 64))
    assert.deepEqual(read.tensors.get("model.embed_tokens.weight")!.data, first)
    assert.strictEqual(codec(read.tokenizer, read260).vocab, 512)
  })
})
