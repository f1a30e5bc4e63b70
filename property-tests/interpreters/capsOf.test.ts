import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { Effect, Layer } from "effect"
import { readdirSync, rmSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "vitest"
import type * as Artifact from "../../dsl/Artifact.ts"
import { label } from "../../dsl/Render.ts"
import type { Engine, Weights } from "../../src/engine/engine.ts"
import { streamsIn } from "../../src/interpreters/streams.ts"
import * as tales from "../../src/data/tales/tales.ts"
import { measureKl } from "../../src/ledger/measure.ts"
import { load } from "../../src/model/checkpoint.ts"
import * as FileStore from "../../src/store/files.ts"
import type { Measurement } from "../../src/store/runLog.ts"
import { Store } from "../../src/store/store.ts"
import { folders } from "../store/faultyFileSystem.ts"
import { contents, engine, failed, folderIn, keyIn, type Ran, runs, succeeded, tiny, type TinyOptions } from "./tiny.ts"

const folder = folders("limits")
const read = (path: string) => Effect.runPromise(Effect.provide(load(path), NodeFileSystem.layer))
const measured = ({ events }: Ran): ReadonlyArray<Measurement> =>
  events.flatMap((event) => event._tag === "Measured" ? [event.measurement] : [])
const inStore = <A, E>(at: string, effect: Effect.Effect<A, E, Store>) =>
  Effect.runPromise(Effect.provide(effect, FileStore.layer(at).pipe(Layer.provide(NodeFileSystem.layer))))
const is = <T extends string>(error: { readonly _tag: string }, tag: T): void =>
  assert.strictEqual(error._tag, tag, String(error))

describe("a KL cap", () => {
  const greedy: TinyOptions = { cap: 200, beta: 0, learningRate: 0.01, steps: 12, measureEvery: 1, measureMost: 256 }

  it("invariant 46: ends PPO at the first measurement above it, and keeps the last policy within it", async () => {
    // The first seed whose first measurement is within the cap.
    const at = folder()
    let [seed, { rl, root, sft }] = [0, tiny(greedy)]
    let ran = await runs(root, at)
    while (measured(ran).length < 2) {
      assert.isBelow(++seed, 40)
      ;({ rl, root, sft } = tiny({ ...greedy, seed }))
      ran = await runs(root, at)
    }
    const error = failed(ran)
    if (error._tag !== "KlBudgetExceeded") throw error
    const all = measured(ran)
    const last = all.at(-1)!
    assert.deepStrictEqual([error.stage, error.step, error.cap], [label(rl), last.step, 200])
    assert.strictEqual(error.spent, Math.round(last.mean * 1000))
    assert.deepStrictEqual([error.samples, error.undecided], [
      last.samples,
      last.verdict === "undecided" ? true : undefined
    ])
    assert.isTrue(last.verdict === "undecided" || error.spent > 200)
    // Every earlier one was within it; the policy of the last of them is the one that was kept.
    assert.isAbove(all.length, 1)
    assert.isTrue(all.slice(0, -1).every(({ cap, mean, verdict }) => mean <= cap! && verdict === "within"))
    assert.strictEqual(error.keptStep, all.at(-2)!.step)
    const kept = await read(error.kept)
    const start = await read(join(await folderIn(at, sft), "model"))
    assert.strictEqual(remeasure(kept, start, rl, root, all.at(-2)!), all.at(-2)!.mean)
    const event = ran.events.at(-1)
    assert.isTrue(event?._tag === "Failed" && event.error === "KlBudgetExceeded" && event.message === error.message)
  })

  /** The same samples as at that step: the same number, if it is the same policy. */
  const remeasure = (
    policy: Weights,
    initial: Weights,
    rl: Artifact.Any,
    root: Artifact.Any,
    { samples, step }: Measurement
  ): number => {
    const with1 = engine()
    const codec = with1.codec(policy)
    const heldRows = tinyHeld
    return measureKl(
      with1.policy(policy),
      with1.policy(initial),
      heldRows.map((prompt) => codec.encodePrompt(prompt)),
      {
        samples,
        maxNewTokens: 6,
        stop: codec.stop,
        seed: `${streamsIn(root)(rl)}/measure/${step}`
      }
    ).mean
  }
  const tinyHeld = tales.prompts("held", "Prompts/held/0", 4).map(({ prompt }) => prompt)

  it("invariant 46: that the first measurement passes keeps the model that PPO started from", async () => {
    const error = failed(
      await runs(tiny({ ...greedy, cap: 1, learningRate: 1, measureEvery: 4, steps: 4 }).root, folder())
    )
    if (error._tag !== "KlBudgetExceeded") throw error
    assert.deepStrictEqual([error.step, error.keptStep], [4, 0])
    assert.include(error.kept, "started from")
  })

  it("is passed again, by the same number, when the run is resumed", async () => {
    const at = folder()
    const { root } = tiny(greedy)
    const first = failed(await runs(root, at))
    const before = contents(at)
    const second = failed(await runs(root, at))
    assert.strictEqual(second.message, first.message)
    assert.deepStrictEqual(contents(at), before)
  })

  it("far away changes nothing but the key", async () => {
    const far = succeeded(await runs(tiny({ cap: 15_000 }).root, folder()))
    assert.isTrue(measured(far).every(({ cap, mean }) => mean <= cap!))
    assert.deepStrictEqual(measured(far).map(({ step }) => step), [2, 4])
  })
})

describe("a cap on", () => {
  const exceeded = async (limits: NonNullable<TinyOptions["limits"]>, with1?: Engine) => {
    const error = failed(await runs(tiny({ limits }).root, folder(), with1 === undefined ? {} : { engine: with1 }))
    if (error._tag !== "BudgetExceeded") throw error
    return error
  }

  it("invariant 46: tokens ends the first stage that spends more, comparisons included, and says where its checkpoint is", async () => {
    // 16 answers of at most 6 tokens are more than 90; the 8 pairs of the reward model come after it.
    const compared = await exceeded({ tokens: 90 })
    assert.deepStrictEqual([compared.stage.split("-")[0], compared.dimension, compared.spent, compared.cap], [
      "compare",
      "tokens",
      91,
      90
    ])
    const trained = await exceeded({ tokens: 130 })
    assert.deepStrictEqual([trained.stage.split("-")[0], trained.dimension], ["ppo", "tokens"])
    assert.isAbove(trained.spent, 130)
    const [policy, value] = [await read(join(trained.kept, "policy")), await read(join(trained.kept, "value"))]
    assert.isTrue(value.tensors.has("score.weight") && !policy.tensors.has("score.weight"))
  })

  it("seconds and memory ends a stage", async () => {
    const slow = engine()
    const lazy: Engine = {
      ...slow,
      policy: (weights) => {
        const policy = slow.policy(weights)
        return {
          ...policy,
          step: (update) => {
            Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300)
            return policy.step(update)
          }
        }
      }
    }
    const seconds = await exceeded({ seconds: 1 }, lazy)
    assert.deepStrictEqual([seconds.stage.split("-")[0], seconds.dimension, seconds.cap], ["ppo", "seconds", 1])
    const memory = await exceeded({ memory: 100_000 })
    assert.deepStrictEqual([memory.dimension, memory.cap], ["memory", 100_000])
  })
})

describe("what is not finite", () => {
  /** The reference engine whose scorers answer NaN from the `from`-th question without gradient on. */
  const poisoned = (from: number): Engine => {
    const healthy = engine()
    let asked = 0
    return {
      ...healthy,
      scorer: (weights) => {
        const scorer = healthy.scorer(weights)
        return {
          ...scorer,
          values: (batch, options) => {
            const answer = scorer.values(batch, options)
            return options?.retain === true || ++asked < from ? answer : { ...answer, values: answer.values.fill(NaN) }
          }
        }
      }
    }
  }

  it("invariant 46: ends PPO with the quantity's name and the last checkpoint; without the cause the run reaches the same bytes", async () => {
    const [at, other] = [folder(), folder()]
    const { rl, root } = tiny()
    // Two questions a step, reward and value, and the proxy of the measurement after the second: the eighth is the reward of the fourth step; a
    // checkpoint is made after the third.
    const ran = await runs(root, at, { engine: poisoned(8) })
    const error = failed(ran)
    if (error._tag !== "Diverged") throw error
    assert.deepStrictEqual([error.stage, error.step, error.quantity, error.value], [label(rl), 3, "reward", "NaN"])
    assert.isTrue(error.kept.endsWith("step-3"), error.kept)
    for (const { data } of (await read(join(error.kept, "policy"))).tensors.values()) {
      assert.isTrue(data.every(Number.isFinite))
    }
    assert.deepStrictEqual(readdirSync(at).filter((name) => name.startsWith("ppo-") && !name.endsWith(".partial")), [])
    succeeded(await runs(root, at))
    succeeded(await runs(root, other))
    assert.deepStrictEqual(contents(at), contents(other))
  })

  it("in the weights of the reward model ends PPO at its first step", async () => {
    const at = folder()
    const { reward, root } = tiny()
    succeeded(await runs(reward, at))
    const key = await keyIn(at, reward)
    const found = await inStore(at, Effect.flatMap(Store, (store) => store.find(key, label(reward))))
    if (found._tag === "None" || found.value._tag !== "Model") throw new Error("no reward model")
    const { weights } = found.value
    const tensors = new Map(weights.tensors)
    const { data, shape } = tensors.get("score.weight")!
    tensors.set("score.weight", { shape, data: data.map((x, i) => i === 0 ? NaN : x) })
    // What is finished is never written again.
    rmSync(await folderIn(at, reward), { recursive: true })
    await inStore(
      at,
      Effect.flatMap(
        Store,
        (store) => store.finish(key, label(reward), { _tag: "Model", weights: { ...weights, tensors } })
      )
    )
    const error = failed(await runs(root, at))
    if (error._tag !== "Diverged") throw error
    assert.deepStrictEqual([error.step, error.quantity, error.value], [0, "reward", "NaN"])
    assert.include(error.kept, "started from")
    assert.deepStrictEqual(
      readdirSync(at).filter((name) => name.startsWith("ppo-") || name.startsWith("evaluate-")),
      []
    )
  })

  it("as a gradient norm ends a stage of any kind before its weights are kept", async () => {
    for (const [op, which] of [["pretrain", "policy"], ["rewardmodeling", "scorer"]] as const) {
      const healthy = engine()
      let steps = 0
      const broken: Engine = {
        ...healthy,
        [which]: (weights: Weights) => {
          const model = healthy[which](weights)
          return {
            ...model,
            step: (update: Parameters<typeof model.step>[0]) => (model.step(update), ++steps === 2 ? Infinity : 1)
          }
        }
      }
      const error = failed(await runs(tiny().root, folder(), { engine: broken }))
      is(error, "Diverged")
      if (error._tag !== "Diverged") continue
      assert.deepStrictEqual([error.stage.split("-")[0], error.quantity, error.value, error.step], [
        op,
        "grad_norm",
        "Infinity",
        1
      ])
    }
  })
})
