import { NodeServices } from "@effect/platform-node"
import { ConfigProvider, Console, Effect, Exit } from "effect"
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, assert, beforeEach, describe, it } from "vitest"
import * as Artifact from "../../dsl/Artifact.ts"
import * as Checkpoint from "../../dsl/Checkpoint.ts"
import * as Source from "../../dsl/Source.ts"
import * as Sft from "../../dsl/stages/Sft.ts"
import { split } from "../../src/data/hubFiles.ts"
import { read, readers } from "../../src/data/read.ts"
import { load } from "../../src/model/checkpoint.ts"
import { hubFolder, local, localFiles, parsed, type Repo, snapshotOf } from "../../src/model/hub.ts"
import { Unfetched } from "../../src/model/hubFetch.ts"
import { fetched } from "../../src/program/fetch.ts"
import { commitOf, fakeHub, type Repository, type Trouble } from "./fakeHub.ts"
import { shared } from "./shared.ts"

let home: string
const outer = process.env["KEEL_CACHE"]
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "keel-hub-"))
  chmodSync(home, 0o700)
  process.env["KEEL_CACHE"] = join(home, "cache")
})
afterEach(() => {
  rmSync(home, { recursive: true, force: true })
  if (outer === undefined) delete process.env["KEEL_CACHE"]
  else process.env["KEEL_CACHE"] = outer
})

const [one, two] = [commitOf("one"), commitOf("two")]
const rows = (...texts: ReadonlyArray<string>): string => texts.map((text) => `${JSON.stringify({ text })}\n`).join("")
const big = rows(...Array.from({ length: 20_000 }, (_, i) => `story ${i}`))
const stories: Repository = {
  branches: { main: one },
  commits: {
    [one]: {
      "README.md": "# stories",
      "data/train-00001-of-00002.jsonl": rows("b"),
      "data/train-00000-of-00002.jsonl": big,
      "data/test.jsonl": rows("t")
    },
    [two]: { "data/train.jsonl": rows("new") }
  },
  large: (path) => path.includes("00000")
}

const asked = async (
  root: Artifact.Any,
  endpoint: string,
  { again = false, token, offline = false }: { again?: boolean; token?: string; offline?: boolean } = {}
) => {
  const said: Array<string> = []
  const env = {
    HF_ENDPOINT: endpoint,
    ...(token === undefined ? {} : { HF_TOKEN: token }),
    ...(offline ? { HF_HUB_OFFLINE: "1" } : {})
  }
  const exit = await Effect.runPromiseExit(
    fetched(root, { again }).pipe(
      Effect.provideService(Console.Console, { ...console, error: (line: string) => void said.push(line) }),
      Effect.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env })))
    )
  )
  if (Exit.isSuccess(exit)) return { said, error: null }
  const [reason] = exit.cause.reasons
  if (reason?._tag === "Fail" && reason.error instanceof Unfetched) return { said, error: reason.error }
  assert.fail(String(exit.cause))
}

const using = async <A>(
  repositories: Readonly<Record<string, Repository>>,
  work: (hub: Awaited<ReturnType<typeof fakeHub>>) => Promise<A>,
  trouble?: Trouble
): Promise<A> => {
  const hub = await fakeHub(repositories, trouble)
  try {
    return await work(hub)
  } finally {
    hub.close()
  }
}

const root = Source.text(Source.hub("org/stories"))
const name = Source.namedBy(Source.hub("org/stories"))!
const textsIn = async (named = name) =>
  (await Effect.runPromise(Effect.provide(read(readers.Text)(named), NodeServices.layer))).rows.map(({ text }) => text)

describe("a data set of the hub", () => {
  it("is fetched once: its split in the order of the names, with the commit said, and read without the hub", () =>
    using({ "datasets/org/stories": stories }, async (hub) => {
      const { error, said } = await asked(root, hub.endpoint)
      assert.isNull(error)
      assert.match(
        said[0]!,
        new RegExp(`hf://datasets/org/stories@main train is commit ${one.slice(0, 12)}: 2 files, .* 2 fetched`, "u")
      )
      const requests = hub.asked.length
      const texts = await textsIn()
      assert.lengthOf(texts, 20_001)
      assert.deepStrictEqual([texts[0], texts.at(-1)], ["story 0", "b"])
      assert.match((await asked(root, hub.endpoint)).said[0]!, /fetched before/u)
      assert.strictEqual(hub.asked.length, requests)
      // A cache that was fetched is enough without a network.
      assert.isNull((await asked(root, "http://127.0.0.1:1", { offline: true })).error)
    }))

  it("goes on where a download was cut off, and has the checksums of the hub", async () => {
    let cuts = 0
    await using({ "datasets/org/stories": stories }, async (hub) => {
      assert.isNull((await asked(root, hub.endpoint)).error)
      assert.strictEqual(cuts, 3)
      const ranges = hub.asked.filter(({ url }) => url.includes("00000")).map(({ range }) => range)
      assert.strictEqual(ranges[0], undefined)
      assert.match(ranges[3]!, /^bytes=[1-9]\d*-$/u)
      assert.strictEqual(readFileSync(localFiles(name as string)![0]!, "utf8"), big)
    }, { cut: (url) => url.includes("00000") && cuts < 3 ? (cuts++, 100_000) : undefined })
    assert.deepStrictEqual(readdirSync(join(hubFolder(), "blobs")).filter((file) => file.endsWith(".partial")), [])
  })

  it("asks again when the hub is busy", async () => {
    let busy = 0
    await using({ "datasets/org/stories": stories }, async (hub) => {
      assert.isNull((await asked(root, hub.endpoint)).error)
    }, { status: () => busy++ % 3 === 0 ? 429 : busy % 3 === 2 ? 503 : undefined })
  })

  it("with another content than its checksum is refused, and nothing of it is kept", () =>
    using({ "datasets/org/stories": stories }, async (hub) => {
      const { error } = await asked(root, hub.endpoint)
      assert.match(error!.message, /00000.* does not have the checksum/u)
      assert.isUndefined(localFiles(name as string))
      assert.lengthOf(readdirSync(join(hubFolder(), "blobs")), 1, "of the file that is right")
    }, { body: (_, bytes) => bytes.map((byte) => byte === 0x73 ? 0x53 : byte) }))

  it("that sends more than it promised is refused", () =>
    using({ "datasets/org/stories": stories }, async (hub) => {
      assert.match((await asked(root, hub.endpoint)).error!.message, /more than the|checksum/u)
    }, { body: (_, bytes) => Buffer.concat([bytes, bytes]) }))

  it("that is not there, not open, or not reached has an error that says what to do", async () => {
    await using({ "datasets/org/stories": { ...stories, needsToken: "hf_secret" } }, async (hub) => {
      assert.match(
        (await asked(root, hub.endpoint)).error!.message,
        /refuses it \(401, without a token\)\. Set HF_TOKEN/u
      )
      const wrong = (await asked(root, hub.endpoint, { token: "hf_other" })).error!
      assert.match(wrong.message, /Check that your token/u)
      assert.notInclude(JSON.stringify(wrong), "hf_other")
      assert.isNull((await asked(root, hub.endpoint, { token: "hf_secret" })).error)
    })
    await using({ "datasets/org/stories": stories }, async (hub) => {
      const other = Source.text(Source.hub("org/stories", { revision: "v2" }))
      assert.match((await asked(other, hub.endpoint)).error!.message, /no such repository, revision or file \(404\)/u)
      const test = Source.text(Source.hub("org/stories", { split: "dev" }))
      assert.match((await asked(test, hub.endpoint)).error!.message, /404/u)
    })
    await using({}, async (hub) => {
      const busy = Source.text(Source.hub("org/busy"))
      assert.match((await asked(busy, hub.endpoint)).error!.message, /too many requests \(429\)/u)
    }, { status: () => 429 })
    const away = Source.hub("org/away")
    const offline = (await asked(Source.text(away), "http://127.0.0.1:1", { offline: true })).error!
    assert.match(offline.message, /HF_HUB_OFFLINE.*keel fetch/u)
    const unread = await Effect.runPromiseExit(
      Effect.provide(read(readers.Text)(Source.namedBy(away)!), NodeServices.layer)
    )
    assert.match(String(unread), /not in the cache.*keel fetch/u)
  })

  it("whose branch moved is the old commit until it is fetched again", async () => {
    const branches: Record<string, string> = { main: one }
    await using({ "datasets/org/stories": { ...stories, branches } }, async (hub) => {
      await asked(root, hub.endpoint)
      branches["main"] = two
      await asked(root, hub.endpoint)
      assert.lengthOf(await textsIn(), 20_001)
      assert.match(
        (await asked(root, hub.endpoint, { again: true })).said[0]!,
        new RegExp(`commit ${two.slice(0, 12)}: 1 file`, "u")
      )
      assert.deepStrictEqual(await textsIn(), ["new"])
    })
  })

  it("that was changed in the cache counts as not there, and is fetched again", () =>
    using({ "datasets/org/stories": stories }, async (hub) => {
      await asked(root, hub.endpoint)
      const [path] = localFiles(name as string)!
      writeFileSync(path!, "{}\n")
      assert.isUndefined(localFiles(name as string))
      assert.isNull((await asked(root, hub.endpoint)).error)
      assert.lengthOf(await textsIn(), 20_001)
    }))

  it("cannot name a file outside of its folder", async () => {
    for (const path of ["../../../train.jsonl", "a/..\\..\\train.jsonl"]) {
      const evil = { branches: { main: one }, commits: { [one]: { [path]: rows("evil") } } }
      await using({ "datasets/org/stories": evil }, async (hub) => {
        assert.isNotNull((await asked(root, hub.endpoint)).error)
        assert.deepStrictEqual(
          readdirSync(home, { recursive: true }).filter((file) => String(file).endsWith("jsonl")),
          []
        )
      })
    }
  })
})

describe("the files of a split", () => {
  const repo: Repo = { type: "dataset", name: "org/x", revision: "main" }
  const chosen = (paths: ReadonlyArray<string>, asked: Partial<Repo> = {}, card?: unknown) =>
    split({ ...repo, ...asked })(paths.map((path) => ({ path, size: 1 })), card)
  const fail = (found: ReturnType<typeof chosen>) =>
    found instanceof Unfetched ? found.message : assert.fail(JSON.stringify(found))

  it("are found by their names", () => {
    const paths = [
      "README.md",
      "data/train-00000-of-00001.parquet",
      "data/validation-00000-of-00001.parquet",
      "data/train.csv"
    ]
    assert.deepStrictEqual(chosen(paths), [paths[1]!])
    assert.deepStrictEqual(chosen(paths, { split: "validation" }), [paths[2]!])
    assert.deepStrictEqual(chosen(["dev.jsonl", "train.jsonl"], { split: "validation" }), ["dev.jsonl"])
    assert.deepStrictEqual(chosen(["all.jsonl"]), ["all.jsonl"])
    assert.deepStrictEqual(chosen(["en/train.jsonl", "fr/train.jsonl"], { config: "fr" }), ["fr/train.jsonl"])
    assert.deepStrictEqual(chosen(["train_sft.jsonl", "train_prefs.jsonl"], { split: "train_prefs" }), [
      "train_prefs.jsonl"
    ])
  })

  it("are found as the README says", () => {
    const card = {
      configs: [
        {
          config_name: "en",
          data_files: [{ split: "train", path: ["a/*.jsonl", "b.jsonl"] }, { split: "test", path: "t.jsonl" }]
        },
        { config_name: "fr", data_files: "fr/**" }
      ]
    }
    const paths = ["a/1.jsonl", "a/2.jsonl", "a/deep/3.jsonl", "b.jsonl", "t.jsonl", "fr/x/y.csv"]
    assert.deepStrictEqual(chosen(paths, { config: "en" }, card), ["a/1.jsonl", "a/2.jsonl", "b.jsonl"])
    assert.deepStrictEqual(chosen(paths, { config: "en", split: "test" }, card), ["t.jsonl"])
    assert.deepStrictEqual(chosen(paths, { config: "fr" }, card), ["fr/x/y.csv"])
    assert.match(fail(chosen(paths, {}, card)), /several configurations\. Give one of them: config: "en" \| "fr"/u)
    assert.match(fail(chosen(paths, { config: "de" }, card)), /no configuration de/u)
    assert.match(fail(chosen(paths, { config: "en", split: "dev" }, card)), /no split dev\. .*"train" \| "test"/u)
  })

  it("are the hub's own conversion where the repository has none", () =>
    using({
      "datasets/org/stories": {
        branches: { main: one, "refs/convert/parquet": two },
        commits: {
          [one]: { "stories.zip": "x" },
          [two]: { "default/test/0000.parquet": "x", "default/train/0000.parquet": "y" }
        }
      }
    }, async (hub) => {
      assert.isNull((await asked(root, hub.endpoint)).error)
      assert.deepStrictEqual(snapshotOf(parsed(name as string)!.repo)!.files.map(({ path }) => path), [
        "default/train/0000.parquet"
      ])
      const dev = Source.text(Source.hub("org/stories", { split: "dev" }))
      assert.match((await asked(dev, hub.endpoint)).error!.message, /no split dev\. .*"test" \| "train"/u)
    }))
})

const folder = shared("models/stories260K-hf/config.json")?.replace(/\/config\.json$/u, "") ?? null
describe.skipIf(folder === null)("a model of the hub (needs ../shared/data)", () => {
  it("is fetched without pickles and read from the cache", () => {
    const files = Object.fromEntries(readdirSync(folder!).map((file) => [file, readFileSync(join(folder!, file))]))
    return using({
      "models/org/tiny": {
        branches: { main: one },
        commits: { [one]: { ...files, "pytorch_model.bin": "pickle" } },
        large: (path) => path.endsWith(".safetensors")
      }
    }, async (hub) => {
      const base = Checkpoint.hub("tales", "org/tiny")
      const sft = Sft.make({ base, demonstrations: Source.demonstrations(Source.file("a.jsonl")) }, {
        batchSize: 1,
        learningRate: 1
      })
      const path = "hf://org/tiny@main"
      const before = await Effect.runPromiseExit(Effect.provide(load(path), NodeServices.layer))
      assert.match(String(before), /hf:\/\/org\/tiny@main: it is not in the cache.*keel fetch/u)
      assert.isNull((await asked(sft, hub.endpoint)).error)
      assert.isFalse(existsSync(join(local(path), "pytorch_model.bin")))
      const [there, here] = await Promise.all(
        [path, folder!].map((at) => Effect.runPromise(Effect.provide(load(at), NodeServices.layer)))
      )
      assert.deepStrictEqual(there, here)
      const missing = await Effect.runPromiseExit(Effect.provide(load("org/tiny"), NodeServices.layer))
      assert.match(String(missing), /no such folder.*Checkpoint\.hub\(…, "org\/tiny"\)/u)
    })
  })
})
