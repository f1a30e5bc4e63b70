/**
 * Planned time beside the time taken (`npm run test:timing -- --backend native`): measures this machine as `keel bench --calibrate` does,
 * plans ten assorted pipelines by that, runs each in a process of its own, and prints both. Nothing of what is run is in what was
 * measured. The mean length of a run's completions, which nobody knows before, is given to its plan.
 */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { Effect, Result, type Schema } from "effect"
import { spawnSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { parseArgs } from "node:util"
import type * as Artifact from "../dsl/Artifact.ts"
import * as Pipeline from "../dsl/Pipeline.ts"
import instruct from "../examples/01-instruct-gpt.ts"
import grpo from "../examples/03-grpo.ts"
import dpo from "../examples/04-dpo.ts"
import overOptimised from "../examples/05-over-optimisation.ts"
import distill from "../examples/07-distill.ts"
import rewardModels from "../examples/08-reward-models.ts"
import rejection from "../examples/09-rejection-sampling.ts"
import merge from "../examples/11-merge.ts"
import lora from "../examples/12-lora.ts"
import { backend as openBackend, type BackendName } from "../src/program/backend.ts"
import { measured } from "../src/planning/cost/costs.ts"
import type { RateTable } from "../src/planning/cost/rates.ts"
import { transformer } from "../src/engine/transformer/transformer.ts"
import { calibrate } from "../src/planning/calibrate.ts"
import { plan } from "../src/planning/plan.ts"
import { prepare } from "../src/planning/prepare.ts"
import { run } from "../src/interpreters/run.ts"
import * as RunDirectory from "../src/store/runDirectory.ts"

const { values: { backend, child, each, only, rates: known } } = parseArgs({
  options: {
    backend: { type: "string", default: "native" },
    /** Measures again before each pipeline: on a machine whose speed others change from minute to minute. */
    each: { type: "boolean", default: false },
    only: { type: "string", default: "" },
    /** A file with the rates of an earlier measurement; written when it is not there. */
    rates: { type: "string", default: "" },
    /** A pipeline to run, or `rates` to measure: the result is printed as JSON. */
    child: { type: "string", default: "" }
  }
})

const shrunken = (root: Artifact.Any, sets: Readonly<Record<string, Schema.Json>>): Artifact.Any =>
  Object.entries(sets).reduce((root, [key, value]) => Result.getOrThrow(Pipeline.set(root, key, value)), root)

const mid = { dim: 128, layers: 4, heads: 4, kvHeads: 2, ffn: 344, context: 96 }

const pipelines: Readonly<Record<string, Artifact.Any>> = {
  "01 InstructGPT, tiny": shrunken(instruct, { "pretrain.steps": 300, "rewardmodeling.epochs": 1, "ppo.steps": 10 }),
  "03 GRPO, tiny": shrunken(grpo, { "pretrain.steps": 300, "grpo.steps": 15 }),
  "03 GRPO, mid": shrunken(grpo, {
    "pretrain.model": mid,
    "pretrain.steps": 50,
    "sft.epochs": 1,
    "grpo.steps": 4,
    "cap.kl.mnats": 50_000
  }),
  "04 DPO and KTO, tiny": shrunken(dpo, { "pretrain.steps": 200 }),
  "05 over-optimisation": shrunken(overOptimised, { "pretrain.steps": 200, "ppo.steps": 6 }),
  "07 distillation, two sizes": shrunken(distill, { "pretrain.steps": 150, "onpolicydistill.steps": 10 }),
  "08 reward models": shrunken(rewardModels, { "pretrain.steps": 150, "ppo.steps": 6 }),
  "09 rejection sampling": shrunken(rejection, { "pretrain.steps": 200, "rewardmodeling.epochs": 1 }),
  "11 merging": shrunken(merge, { "pretrain.steps": 200, "ppo.steps": 5 }),
  "12 LoRA, PPO": shrunken(lora, { "pretrain.steps": 150, "ppo.steps": 6 })
}

const now = (): number => performance.now() / 1000

/** One run, with the seconds that it took and the mean length of its completions. */
const take = (name: string) =>
  Effect.gen(function*() {
    const root = pipelines[name]!
    const opened = yield* openBackend(backend as BackendName)
    const engine = transformer(opened)
    let [tokens, completions] = [0, 0]
    const folder = mkdtempSync(join(tmpdir(), "keel-timing-"))
    const append = yield* RunDirectory.openRun(join(folder, "run"), "{}", { backend, store: folder })
    const start = now()
    yield* run(yield* prepare(root, { engine: transformer(opened) }), {
      engine: {
        ...engine,
        policy: (...args) => {
          const policy = engine.policy(...args)
          return {
            ...policy,
            sample: (...asked) => {
              const sampled = policy.sample(...asked)
              completions += sampled.length
              for (const { completion } of sampled) tokens += completion.length
              return sampled
            }
          }
        }
      },
      store: join(folder, "store"),
      onEvent: append
    })
    const seconds = now() - start
    rmSync(folder, { recursive: true, force: true })
    return { seconds, completionLength: tokens / completions }
  })

const childOf = (what: string): unknown => {
  const { status, stderr, stdout } = spawnSync(
    process.execPath,
    ["--max-semi-space-size=4", process.argv[1]!, "--backend", backend, "--child", what],
    { encoding: "utf8", maxBuffer: 2 ** 28 }
  )
  if (status !== 0) throw new Error(stderr)
  return JSON.parse(stdout.trim().split("\n").at(-1)!)
}

const main = Effect.gen(function*() {
  if (child === "rates") {
    const opened = yield* openBackend(backend as BackendName)
    return console.log(JSON.stringify(yield* calibrate(opened, now)))
  }
  if (child !== "") return console.log(JSON.stringify(yield* take(child)))
  const cached = yield* Effect.try(() => JSON.parse(readFileSync(known, "utf8")) as RateTable).pipe(
    Effect.orElseSucceed(() => null)
  )
  let rates = cached ?? childOf("rates") as RateTable
  if (known !== "" && cached === null) writeFileSync(known, JSON.stringify(rates))
  let within = 0
  const names = Object.keys(pipelines).filter((name) => name.includes(only))
  console.log(`${backend}: planned s, taken s, ratio`)
  for (const [n, name] of names.entries()) {
    if (each && n > 0) rates = childOf("rates") as RateTable
    const { completionLength, seconds } = childOf(name) as { seconds: number; completionLength: number }
    const { stages } = yield* plan(pipelines[name]!, {
      costs: measured(rates),
      completionLength: Math.round(completionLength)
    })
    const planned = stages.reduce((sum, { seconds }) => sum + seconds!, 0)
    const ratio = planned / seconds
    if (Math.abs(ratio - 1) <= 0.2) within++
    console.log(
      `${name.padEnd(28)} ${planned.toFixed(2).padStart(6)} ${seconds.toFixed(2).padStart(6)} ${ratio.toFixed(2)}`
        + `   (completions of ${completionLength.toFixed(1)} tokens)`
    )
  }
  console.log(`${within} of ${names.length} within 20 %`)
})

await Effect.runPromise(Effect.scoped(main).pipe(Effect.provide(NodeFileSystem.layer)))
process.exit(0)
