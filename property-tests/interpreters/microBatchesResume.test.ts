/** Stopped and gone on with, in micro-batches that the planner chose for a memory cap: the same ones again, so the same bytes. */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { Cause, Effect, Exit, type FileSystem, type Layer } from "effect"
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, beforeAll, describe, it } from "vitest"
import { toJson } from "../../dsl/Pipeline.ts"
import { label } from "../../dsl/Render.ts"
import { transformer } from "../../src/engine/transformer/transformer.ts"
import { prepare } from "../../src/planning/prepare.ts"
import type { Event } from "../../src/store/runLog.ts"
import { wasm } from "../../src/tensor/wasm/wasm.ts"
import { keel, start } from "../cli/keel.ts"
import { type Faults, faulty, folders } from "../store/faultyFileSystem.ts"
import { contents, failed, leftovers, type Ran, runs, succeeded, tiny } from "./tiny.ts"

const folder = folders("micro-batches")

/** PPO takes 863 KiB by itself. */
const { policy, rl } = tiny({ limits: { memory: 600 * 2 ** 10 } })

/** On 32-bit reals, which are what a plan counts. */
const on = async (store: string, options: {
  readonly stopAt?: (event: Event) => boolean
  readonly disk?: Layer.Layer<FileSystem.FileSystem>
} = {}): Promise<Ran> => {
  const backend = await wasm({ threads: 1 })
  const ran = await runs(policy, store, { ...options, engine: transformer(backend) })
  backend.dispose()
  return ran
}

let expected: ReadonlyMap<string, string>
beforeAll(async () => {
  const store = folder()
  succeeded(await on(store))
  expected = contents(store)
})

describe("micro-batches chosen for a memory cap", () => {
  it("are several to a step of PPO, and the run within its cap", async () => {
    const of = prepare(policy, { engine: { addressable: 2 ** 32, kind: "transformer" } })
    const { microBatches } = await Effect.runPromise(Effect.provide(of, NodeFileSystem.layer))
    assert.deepStrictEqual([...microBatches.keys()], [label(rl)])
    // A step has 4 episodes of 17 tokens or more.
    assert.isBelow(microBatches.get(label(rl))!.microBatchTokens!, 68)
    // Without the cap it is another run, of other sums.
    const free = folder()
    const backend = await wasm({ threads: 1 })
    succeeded(await runs(tiny().policy, free, { engine: transformer(backend) }))
    backend.dispose()
    const ppo = (files: ReadonlyMap<string, string>) =>
      [...files].find(([path]) => path.startsWith("ppo") && path.endsWith("model.safetensors"))![1]
    assert.notStrictEqual(ppo(contents(free)), ppo(expected))
  })

  it("are the same after an interruption at any step of PPO, and so are the bytes", async () => {
    const at = folder()
    for (const step of [1, 2, 3]) {
      const { exit } = await on(at, {
        stopAt: (event) => event._tag === "Step" && event.stage === label(rl) && event.step === step
      })
      assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
    }
    succeeded(await on(at))
    assert.deepStrictEqual(contents(at), expected)
    assert.deepStrictEqual(leftovers(at), [])
  })

  it("are the same after a crash at any file operation of PPO, and so are the bytes", async () => {
    const at = folder()
    let crashes = 0
    for (;;) {
      const faults: Faults = { kind: "crash", after: 7 + 12 * crashes, count: 0 }
      const ran = await on(at, { disk: faulty(faults) })
      if (Exit.isSuccess(ran.exit)) break
      assert.strictEqual(failed(ran)._tag, "PlatformError")
      crashes++
      assert.isBelow(crashes, 40)
    }
    assert.isAbove(crashes, 3)
    assert.deepStrictEqual(contents(at), expected)
  })

  it("are the same when the process was killed with -9, and so are the bytes", async () => {
    const at = folder()
    mkdirSync(at)
    writeFileSync(join(at, "it.json"), toJson(policy))
    const steps = (): number => {
      const path = join(at, "runs/it/events.jsonl")
      const log = existsSync(path) ? readFileSync(path, "utf8") : ""
      return log.split(`"_tag":"Step","stage":"${label(rl)}"`).length - 1
    }
    const { child, ended } = start(["run", "it.json", "--out", "runs/it", "--backend", "wasm"], at)
    while (child.exitCode === null && steps() < 2) await new Promise((resolve) => setTimeout(resolve, 1))
    child.kill("SIGKILL")
    assert.strictEqual((await ended).signal, "SIGKILL")
    const last = await keel(["resume", "runs/it"], at)
    assert.strictEqual(last.code, 0, last.stderr)
    assert.match(last.stderr, /^ppo-[0-9a-f]{8}: micro-batches of \d+ tokens[^:]*: /mu)
    assert.deepStrictEqual(contents(join(at, "runs/store")), expected)
  })
})
