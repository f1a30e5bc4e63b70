/** What a node reads is part of its key, byte for byte, and of the keys of everything made of it. */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { Effect, Layer } from "effect"
import fc from "fast-check"
import { createHash } from "node:crypto"
import { cpSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { assert, beforeAll, describe, it } from "vitest"
import * as Artifact from "../../dsl/Artifact.ts"
import { Checkpoint, Evaluate, Gold, Sft, Source } from "../../dsl/index.ts"
import { contentsBy, type Read, readIn } from "../../src/interpreters/contents.ts"
import { CurrentContents, keysIn } from "../../src/interpreters/storeKeys.ts"
import { reward } from "../../src/rewards/own.ts"
import { digestsIn } from "../../src/store/digests.ts"
import * as MemoryStore from "../../src/store/memory.ts"
import { pipelines } from "../../src/testing/pipelines/pipelines.ts"
import { CapsHold } from "../../src/training/budgets.ts"
import { folders } from "../store/faultyFileSystem.ts"
import { folderIn, runs, succeeded, tiny } from "./tiny.ts"

const folder = folders("contents")

/** The key of each node's weights, by its id, when these files and this code are read. */
const keysBy = async (root: Artifact.Any, read: Read): Promise<ReadonlyMap<string, string | undefined>> => {
  const keys = await Effect.runPromise(
    keysIn(root).pipe(
      Effect.provideService(CurrentContents, contentsBy(read)),
      // Below a cap whose outcome is not known, no key is.
      Effect.provideService(CapsHold, false),
      Effect.provide(Layer.fresh(MemoryStore.layer))
    )
  )
  return new Map(Artifact.lineage(root).map((artifact) => [artifact.id, keys.of(artifact)?.weights]))
}

const readOf = (root: Artifact.Any, store: string, rewards: ReadonlyArray<ReturnType<typeof reward>> = []) =>
  Effect.runPromise(
    Effect.flatMap(digestsIn(store), (digests) => readIn(root, { rewards }, digests)).pipe(
      Effect.provide(NodeFileSystem.layer)
    )
  )

const pathOf = ({ node: { op, params } }: Artifact.Any): string | undefined =>
  op === "Source" ? (params as { origin: { path?: string } }).origin.path : undefined

describe("the key of a node", () => {
  it("changes with any input of it, and with nothing else", async () => {
    await fc.assert(
      fc.asyncProperty(pipelines({ steps: 10 }), fc.nat(), async ({ root }, choice) => {
        const lineage = Artifact.lineage(root)
        const paths = [...new Set(lineage.flatMap((one) => pathOf(one) ?? []))]
        fc.pre(paths.length > 0)
        const files = Object.fromEntries(paths.map((path) => [path, `digest of ${path}`]))
        const changed = paths[choice % paths.length]!
        const [before, after] = [
          await keysBy(root, { files, code: {} }),
          await keysBy(root, { files: { ...files, [changed]: "another" }, code: {} })
        ]
        const below = new Set<string>()
        for (const one of lineage) {
          if (pathOf(one) === changed || Object.values(one.node.wires).some(({ id }) => below.has(id))) {
            below.add(one.id)
          }
        }
        for (const { id, node } of lineage) {
          if (node.op === "Cap") continue
          assert.strictEqual(before.get(id) !== after.get(id), below.has(id), node.op)
        }
      }),
      { numRuns: 60 }
    )
  })

  it("is the same wherever its files are", async () => {
    const of = (path: string) => Source.demonstrations(Source.file(path, { limit: 3 }))
    const [a, b] = [of("a.jsonl"), of("b/c.jsonl")]
    const one = await keysBy(a, { files: { "a.jsonl": "same" }, code: {} })
    const two = await keysBy(b, { files: { "b/c.jsonl": "same" }, code: {} })
    assert.strictEqual(one.get(a.id), two.get(b.id))
  })

  it("is another where the same bytes are read as another kind of file, alone or in a pattern", async () => {
    const at = folder()
    const keys: Array<string | undefined> = []
    for (const [kind, path] of [["csv", "a.csv"], ["tsv", "a.tsv"], ["txt", "a.txt"], ["csv", "*"], ["tsv", "*"]]) {
      rmSync(at, { recursive: true, force: true })
      mkdirSync(at)
      writeFileSync(join(at, `a.${kind}`), "text\nonce upon a time\n")
      const root = Source.text(Source.file(join(at, path!)))
      keys.push((await keysBy(root, await readOf(root, folder()))).get(root.id))
    }
    assert.strictEqual(new Set(keys).size, keys.length)
    assert.notInclude(keys, undefined)
  })
})

describe("digests", () => {
  const digest = (path: string, store: string) =>
    Effect.runPromise(
      Effect.flatMap(digestsIn(store), (digests) => Effect.tap(digests.of(path), () => digests.keep)).pipe(
        Effect.provide(NodeFileSystem.layer)
      )
    )
  const sha = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex")

  it("are of the bytes, whatever was kept: after any change, in place, of the same size, with its old times", async () => {
    const [at, store] = [folder(), folder()]
    mkdirSync(at)
    const path = join(at, "file")
    const old = new Date(Date.now() - 3_600_000)
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ minLength: 1, maxLength: 64 }),
        fc.nat(),
        fc.boolean(),
        async (bytes, place, aside) => {
          writeFileSync(path, bytes)
          utimesSync(path, old, old)
          assert.strictEqual(await digest(path, store), sha(bytes))
          const other = bytes.slice()
          other[place % other.length]! ^= 1
          if (aside) {
            writeFileSync(`${path}.new`, other)
            renameSync(`${path}.new`, path)
          } else writeFileSync(path, other)
          utimesSync(path, old, old)
          assert.strictEqual(await digest(path, store), sha(other))
        }
      ),
      { numRuns: 40 }
    )
  })

  it("are kept of files that lie still, and read again where the cache was damaged; no file has none", async () => {
    const [at, store] = [folder(), folder()]
    mkdirSync(at)
    const path = join(at, "file")
    writeFileSync(path, "abc")
    const cache = join(store, "digests.json")
    // What changed a moment ago may change again unseen.
    const right = await digest(path, store)
    assert.throws(() => readFileSync(cache))
    await new Promise((resolve) => setTimeout(resolve, 2100))
    assert.strictEqual(await digest(path, store), right)
    const kept = readFileSync(cache, "utf8")
    assert.include(kept, right!)
    writeFileSync(cache, kept.replace(right!, "0".repeat(64)))
    assert.strictEqual(await digest(path, store), right)
    writeFileSync(cache, "nonsense")
    assert.strictEqual(await digest(path, store), right)
    assert.isNull(await digest(at, store))
    assert.isNull(await digest(join(at, "nowhere"), store))
  })
})

describe("what a run reads", () => {
  let model: string
  beforeAll(async () => {
    const store = folder()
    const { base } = tiny()
    succeeded(await runs(base, store))
    model = join(await folderIn(store, base), "model")
  })

  it("is every file that it opens: a byte in any of them changes the key of the model, other files do not", async () => {
    const at = join(folder(), "model")
    cpSync(model, at, { recursive: true })
    const root = Sft.make({
      base: Checkpoint.huggingFace("tales", at),
      demonstrations: Source.demonstrations(Source.tales({ count: 4 }))
    }, { batchSize: 2, learningRate: 1e-3 })
    const store = folder()
    const key = async () => (await keysBy(root, await readOf(root, store))).get(root.id)
    const { files } = await readOf(root, store)
    const names = Object.keys(files).map((path) => path.slice(at.length + 1))
    assert.includeMembers(names, ["config.json", "tokenizer.json", "model.safetensors"])
    const before = await key()
    for (const name of names) {
      const bytes = readFileSync(join(at, name))
      const times = statSync(join(at, name))
      const other = Buffer.from(bytes)
      other[other.length - 1]! ^= 1
      writeFileSync(join(at, name), other)
      utimesSync(join(at, name), times.atime, times.mtime)
      assert.notStrictEqual(await key(), before, name)
      writeFileSync(join(at, name), bytes)
      assert.strictEqual(await key(), before, name)
    }
    writeFileSync(join(at, "README.md"), "anything")
    mkdirSync(join(at, "other"))
    writeFileSync(join(at, "other", "config.json"), "{}")
    assert.strictEqual(await key(), before)
    writeFileSync(join(at, "chat_template.jinja"), "{{ messages }}")
    assert.notStrictEqual(await key(), before)
    rmSync(dirname(at), { recursive: true })
    assert.notStrictEqual(await key(), before)
  })

  it("is the version of own code, or the text of its own function", async () => {
    const { held, sft } = tiny()
    const root = Evaluate.make({ initial: sft, prompts: held }, { sft }, {
      gold: Gold.own("brief"),
      maxNewTokens: 4
    })
    const key = async (one: ReturnType<typeof reward>) =>
      (await keysBy(root, await readOf(root, folder(), [one]))).get(root.id)
    const short = (_: string, completion: string) => -completion.length
    const long = (_: string, completion: string) => completion.length
    assert.strictEqual(await key(reward("brief", short)), await key(reward("brief", short)))
    assert.notStrictEqual(await key(reward("brief", short)), await key(reward("brief", long)))
    const versions = ["1", "2"].map((version) => key(reward("brief", short, { version })))
    assert.notStrictEqual(await versions[0], await versions[1])
    assert.strictEqual(await versions[0], await key(reward("brief", long, { version: "1" })))
  })
})
