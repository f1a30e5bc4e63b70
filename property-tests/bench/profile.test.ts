import { NodeServices } from "@effect/platform-node"
import { Effect } from "effect"
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs"
import { homedir } from "node:os"
import { dirname, join } from "node:path"
import { assert, describe, it } from "vitest"
import { type MachineProfile, merge, profilePath, readProfile, writeProfile } from "../../src/bench/profile.ts"
import { folders } from "../store/faultyFileSystem.ts"

const folder = folders("bench-profile")
const run = <A, E>(effect: Effect.Effect<A, E, NodeServices.NodeServices>): Promise<A> =>
  Effect.runPromise(Effect.provide(effect, NodeServices.layer))

const backend = { gemm: {}, train: {}, logprobs: {}, generate: {} }
const profile = (backends: MachineProfile["backends"]): MachineProfile => ({
  version: 1,
  cpu: "a CPU",
  cores: 2,
  memory: 2 ** 34,
  platform: "linux x64",
  node: "v24.0.0",
  threads: 2,
  busy: 0.02,
  backends
})
const first = profile({ wasm: { ...backend, peak: 100, copy: 9, train: { tiny: 1000, mid: 10 } } })

describe("the machine profile", () => {
  it("lies in $KEEL_CACHE, else $XDG_CACHE_HOME/keel, else ~/.cache/keel", () => {
    assert.strictEqual(profilePath({ KEEL_CACHE: "/a", XDG_CACHE_HOME: "/b" }), join("/a", "machine.json"))
    assert.strictEqual(profilePath({ KEEL_CACHE: "", XDG_CACHE_HOME: "/b" }), join("/b", "keel", "machine.json"))
    assert.strictEqual(profilePath({}), join(homedir(), ".cache", "keel", "machine.json"))
  })

  it("comes back as it was written, in a folder that was not there, and leaves no other file", async () => {
    const path = join(folder(), "deep", "machine.json")
    await run(writeProfile(path, first))
    assert.deepStrictEqual(await run(readProfile(path)), first)
    assert.deepStrictEqual(readdirSync(dirname(path)), ["machine.json"])
  })

  it("keeps what a partial run did not measure and takes the newer of the rest", async () => {
    const path = join(folder(), "machine.json")
    await run(writeProfile(path, first))
    const wasm = { ...backend, train: { tiny: 2000 }, generate: { tiny: 5 } }
    await run(writeProfile(path, profile({ native: { ...backend, peak: 300 }, wasm })))
    assert.deepStrictEqual((await run(readProfile(path)))?.backends, {
      wasm: { ...backend, peak: 100, copy: 9, train: { tiny: 2000, mid: 10 }, generate: { tiny: 5 } },
      native: { ...backend, peak: 300 }
    })
  })

  it("of another machine is replaced", () => {
    for (const other of [{ cpu: "another" }, { cores: 4 }, { threads: 1 }, { node: "v26.0.0" }, { memory: 1 }]) {
      const now = { ...profile({ native: backend }), ...other }
      assert.deepStrictEqual(merge(first, now), now)
    }
  })

  it("that is absent, damaged or of another version is as good as none", async () => {
    const at = folder()
    mkdirSync(at)
    const path = join(at, "machine.json")
    assert.isNull(await run(readProfile(path)))
    for (const text of ["{", "{}", JSON.stringify({ ...first, version: 2 })]) {
      writeFileSync(path, text)
      assert.isNull(await run(readProfile(path)), text)
    }
    await run(writeProfile(path, first))
    assert.deepStrictEqual(await run(readProfile(path)), first)
    assert.isTrue(existsSync(path))
  })
})
