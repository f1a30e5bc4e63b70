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
  version: 2,
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

  it("that is absent is null, and one that cannot be read says in a line what is wrong and what to do", async () => {
    const at = folder()
    mkdirSync(at)
    const path = join(at, "machine.json")
    assert.isNull(await run(readProfile(path)))
    const cases: ReadonlyArray<readonly [text: string, problem: string]> = [
      ["{", "there is no profile of a machine in it"],
      ["{}", "there is no profile of a machine in it"],
      ["export default 1", "there is no profile of a machine in it"],
      [JSON.stringify({ ...first, version: 3 }), "it is a profile of version 3, written by a newer Keel"],
      [JSON.stringify({ ...first, cores: "two" }), "it is a profile of version 2, and damaged"],
      [
        JSON.stringify({ ...first, backends: { wasm: { ...backend, rates: { linear: { call: 1 } } } } }),
        "it is a profile of version 2, and damaged"
      ]
    ]
    for (const [text, problem] of cases) {
      writeFileSync(path, text)
      const error = await run(Effect.flip(readProfile(path)))
      assert.strictEqual(error.problem, problem, text)
      assert.lengthOf(error.message.split("\n"), 1)
      assert.include(error.message, "keel bench --calibrate")
    }
    await run(writeProfile(path, first))
    assert.deepStrictEqual(await run(readProfile(path)), first)
    assert.isTrue(existsSync(path))
  })

  it("of the first version is read, without rates, and kept with what is measured now", async () => {
    const path = join(folder(), "machine.json")
    const rates = { linear: { call: 1e-6, byte: 0, flop: 1e-11 } }
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, JSON.stringify({ ...first, version: 1 }))
    assert.deepStrictEqual(await run(readProfile(path)), { ...first, version: 1 })
    await run(writeProfile(path, profile({ wasm: { ...backend, rates } })))
    assert.deepStrictEqual(
      await run(readProfile(path)),
      profile({ wasm: { ...first.backends["wasm"]!, rates } })
    )
    // Measured again without rates: they stay.
    await run(writeProfile(path, profile({ wasm: { ...backend, peak: 101 } })))
    assert.deepStrictEqual((await run(readProfile(path)))?.backends["wasm"]?.rates, rates)
  })
})
