/** What a run spends is what was planned, counted once however often it is killed, and held against caps of one stage and of all. */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { Effect, Layer } from "effect"
import { assert, describe, it } from "vitest"
import type * as Artifact from "../../dsl/Artifact.ts"
import { Budget, Pipeline } from "../../dsl/index.ts"
import { label } from "../../dsl/Render.ts"
import type { Engine } from "../../src/engine/engine.ts"
import { spentIn } from "../../src/interpreters/storeKeys.ts"
import { plan, type StagePlan } from "../../src/planning/plan.ts"
import * as FileStore from "../../src/store/files.ts"
import type { Spent } from "../../src/store/spent.ts"
import { folders } from "../store/faultyFileSystem.ts"
import { contents, engine, failed, type Ran, runs, succeeded, tiny } from "./tiny.ts"

const folder = folders("budgets")
const spentOn = async (root: Artifact.Any, store: string): Promise<ReadonlyMap<string, Spent>> => {
  const disk = FileStore.layer(store).pipe(Layer.provide(NodeFileSystem.layer))
  return Effect.runPromise(Effect.provide(spentIn(root), disk))
}
const planned = async (root: Artifact.Any): Promise<ReadonlyMap<string, StagePlan>> => {
  const { stages, unplanned } = await Effect.runPromise(Effect.provide(plan(root), NodeFileSystem.layer))
  assert.deepStrictEqual(unplanned, [])
  return new Map(stages.map((stage) => [stage.stage, stage]))
}
const over = (ran: Ran) => {
  const error = failed(ran)
  if (error._tag !== "BudgetExceeded") throw error
  return error
}
/** But for wall-clock and memory, which a run is free in. */
const countable = (spent: Spent): Spent => ({ ...spent, disk: 0, memory: 0, milliseconds: 0 })

/** Every completion as long as it may be. */
const unending = (): Engine => {
  const whole = engine()
  return {
    ...whole,
    policy: (weights, computing) => {
      const policy = whole.policy(weights, computing)
      return {
        ...policy,
        sample: (prompts, sampling, seeds) => policy.sample(prompts, { ...sampling, stop: [] }, seeds)
      }
    }
  }
}

describe("what is spent", () => {
  it("is what was planned: tokens and FLOPs exactly where lengths are fixed, no more elsewhere", async () => {
    const { base, compared, policy, reward, rl, root, sft } = tiny()
    const all = [base, sft, compared, reward, rl, root]
    const said = await planned(root)
    const took = async (options: Parameters<typeof runs>[2]) => {
      const at = folder()
      succeeded(await runs(root, at, options))
      const did = await spentOn(root, at)
      assert.strictEqual(did.get(policy.id), undefined)
      return all.map((artifact) => {
        const [{ flops, generated, trained }, spent] = [said.get(label(artifact))!, did.get(artifact.id)!]
        const now = { flops: spent.flops, generated: spent.generated, trained: spent.trained }
        return { artifact, plan: { flops, generated, trained }, spent: now }
      })
    }
    // Its rows are texts, whose special tokens are not read again: the other stages' have the lengths that were sampled.
    for (const { artifact, plan, spent } of await took({ engine: unending() })) {
      if (artifact !== reward) assert.deepStrictEqual(spent, plan, label(artifact))
    }
    for (const { artifact, plan, spent } of await took({})) {
      for (const key of ["flops", "generated", "trained"] as const) {
        assert.isAtMost(spent[key], plan[key], `${key} of ${label(artifact)}`)
      }
    }
  })

  it("counts prompts once, and sees which were used before", async () => {
    const { compared, rl, root } = tiny()
    const at = folder()
    succeeded(await runs(root, at))
    const did = await spentOn(root, at)
    const [first, second] = [did.get(compared.id)!.prompts, did.get(rl.id)!.prompts]
    // 8 prompts to compare on; the same 8 and 4 held ones for PPO; the held ones again for the evaluation.
    assert.deepStrictEqual([first.size, second.size, did.get(root.id)!.prompts.size], [8, 12, 4])
    assert.strictEqual([...second].filter((prompt) => first.has(prompt)).length, 8)
    assert.isAbove(did.get(root.id)!.judged, 0)
    assert.isAbove(did.get(rl.id)!.disk, 0)
    assert.isAbove(did.get(rl.id)!.memory, 0)
  })

  it("is the same after any interruption, and so is the step at which a cap ends it", async () => {
    const { rl, root } = tiny({ steps: 6 })
    const whole = folder()
    succeeded(await runs(root, whole))
    const spent = (await spentOn(root, whole)).get(rl.id)!
    const capped =
      tiny({ steps: 6, limits: { trained: Math.floor(0.8 * spent.trained), flops: Budget.flops(1e15) } }).root
    const once = folder()
    const error = over(await runs(capped, once))
    for (const stop of [1, 4]) {
      const at = folder()
      await runs(root, at, {
        stopAt: (event) => event._tag === "Step" && event.stage === label(rl) && event.step === stop
      })
      const killed = folder()
      await runs(capped, killed, {
        stopAt: (event) => event._tag === "Step" && event.stage === label(rl) && event.step === stop
      })
      succeeded(await runs(root, at))
      assert.deepStrictEqual(countable((await spentOn(root, at)).get(rl.id)!), countable(spent))
      assert.deepStrictEqual(contents(at), contents(whole))
      const again = over(await runs(capped, killed))
      assert.deepStrictEqual([again.dimension, again.spent, again.cap], [error.dimension, error.spent, error.cap])
      assert.deepStrictEqual(again.kept.split("/").at(-1), error.kept.split("/").at(-1))
    }
    // With a larger cap it goes on from what was kept, to the same bytes.
    succeeded(await runs(root, once))
    assert.deepStrictEqual(contents(once), contents(whole))
  })
})

describe("a cap on all stages together", () => {
  const { base, compared, policy, reward, rl, root, sft } = tiny()
  const under = (total: Budget.Totals) => Pipeline.cap(root, { total })

  it("counts what was made earlier for the pipeline, and ends it at the same step", async () => {
    const at = folder()
    succeeded(await runs(root, at))
    const did = await spentOn(root, at)
    const before = [base, sft, compared, reward].reduce((sum, { id }) => sum + did.get(id)!.trained, 0)
    const cap = before + Math.floor(did.get(rl.id)!.trained / 2)
    const [fresh, warm] = [folder(), folder()]
    const cold = over(await runs(under({ trained: cap }), fresh))
    assert.deepStrictEqual([cold.dimension, cold.stage, cold.cap, cold.stages], ["trained", label(rl), cap, 5])
    assert.isAbove(cold.spent, cap)
    assert.match(cold.message, /the 5 stages under one cap have used [\d,]+ tokens trained together; their total/)
    succeeded(await runs(reward, warm))
    assert.deepStrictEqual(over(await runs(under({ trained: cap }), warm)).spent, cold.spent)
    // With room for all of it, it goes on from the kept checkpoint.
    const all = [...did.values()].reduce((sum, { trained }) => sum + trained, 0)
    succeeded(await runs(under({ trained: all }), fresh))
    assert.deepStrictEqual(contents(fresh), contents(at))
    // Nothing is left to make, and it was too much all the same.
    const late = over(await runs(under({ trained: all - 1 }), fresh))
    assert.deepStrictEqual([late.spent, late.cap], [all, all - 1])
    assert.strictEqual(policy.node.op, "Cap")
  })

  it("of prompts counts each once, whoever uses it", async () => {
    const at = folder()
    // 6 of demonstrations, 8 to train on, 4 held.
    succeeded(await runs(under({ prompts: 18 }), at))
    const error = over(await runs(under({ prompts: 17 }), at))
    assert.deepStrictEqual([error.dimension, error.spent], ["prompts", 18])
  })

  it("of disk is what is kept in the store", async () => {
    const at = folder()
    succeeded(await runs(root, at))
    const kept = [...(await spentOn(root, at)).values()].reduce((sum, { disk }) => sum + disk, 0)
    succeeded(await runs(under({ disk: Budget.bytes(kept) }), at))
    const error = over(await runs(under({ disk: Budget.bytes(kept - 1) }), at))
    assert.deepStrictEqual([error.dimension, error.spent], ["disk", kept])
    const first = over(await runs(Pipeline.cap(root, { disk: Budget.KiB(1) }), folder()))
    assert.deepStrictEqual([first.dimension, first.stage], ["disk", label(base)])
    assert.isTrue(/pretrain-[0-9a-f]{16}\.partial\/step-/u.test(first.kept), first.kept)
  })
})
