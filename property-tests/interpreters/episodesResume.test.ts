/** A run that is stopped or killed in the middle of an episode goes on to the same bytes, and has counted the same. */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { Effect, Fiber, Layer } from "effect"
import { cpSync } from "node:fs"
import { assert, describe, it } from "vitest"
import type * as Artifact from "../../dsl/Artifact.ts"
import { Environment, Grpo, Kl, Pipeline, PolicyGradient, Ppo, Pretrain, Source } from "../../dsl/index.ts"
import { spentIn } from "../../src/interpreters/storeKeys.ts"
import { environment, type EnvironmentImplementation } from "../../src/rewards/environment.ts"
import * as FileStore from "../../src/store/files.ts"
import type { Event } from "../../src/store/runLog.ts"
import { folders } from "../store/faultyFileSystem.ts"
import { contents, engine, leftovers, train } from "./tiny.ts"

const folder = folders("episodes")
const chatTemplate = `{% for m in messages %}{{ m.role }} : {{ m.content }} \
{% if m.role == 'assistant' %}</s> {% endif %}{% endfor %}{% if add_generation_prompt %}assistant :{% endif %}`
const words = ["a b c", "b c a", "c a b", "a c b"]
const base = Pretrain.make({
  text: Source.text(Source.rows(words.map((text) => ({ text: `user : ${text} assistant : ${text} </s> user : more` }))))
}, {
  family: "words",
  chatTemplate,
  model: { dim: 16, layers: 1, heads: 2, kvHeads: 1, ffn: 24, context: 64 },
  steps: 4,
  batchSize: 2,
  learningRate: 3e-3
})
const asked = (words: ReadonlyArray<string>) => Source.prompts(Source.rows(words.map((prompt) => ({ prompt }))))
const training = {
  allowance: Kl.mnatsPerSequence(20_000),
  environment: Environment.own("More", {}, { maxTurns: 3 }),
  steps: 4,
  batchSize: 4,
  learningRate: 3e-3,
  maxNewTokens: 6,
  checkpointEvery: 2,
  measureEvery: 4,
  measureSamples: 4,
  measureMost: 4
}
const inputs = { init: base, prompts: asked(words), held: asked(["a a", "b b"]) }
const policies = {
  Grpo: Grpo.make(inputs, { ...PolicyGradient.rloo, ...training, beta: 0, batchSize: 2, groupSize: 2 }),
  Ppo: Ppo.make({ ...inputs, value: base }, { ...PolicyGradient.ppo, ...training, beta: 0 })
}

/** Answers every turn; `answering` is called before each answer, with its number. */
const more = (answering: (n: number) => Promise<void> | void) => {
  let n = 0
  return environment("More", async ({ random, turns }) => {
    await answering(++n)
    return { reply: random("word").int(2) === 0 ? "more a" : "more", reward: turns.at(-1)!.text.length % 3 }
  }, { version: "1" })
}

const go = (root: Artifact.Any, store: string, environment: EnvironmentImplementation, events: Array<Event> = []) =>
  Effect.runFork(
    train(root, {
      engine: engine(),
      rewards: [environment],
      store,
      onEvent: (event) => Effect.sync(() => void events.push(event))
    }).pipe(Effect.provide(NodeFileSystem.layer))
  )

const spentOn = async (of: Artifact.Any, store: string) => {
  const disk = FileStore.layer(store).pipe(Layer.provide(NodeFileSystem.layer))
  const { generated, given, prompts, trained } = (await Effect.runPromise(Effect.provide(spentIn(of), disk))).get(
    of.id
  )!
  return { generated, given, prompts, trained }
}

describe.each(Object.entries(policies))("episodes of %s", (_, policy) => {
  const root = Pipeline.cap(policy as typeof policies.Grpo, { kl: Kl.mnatsPerSequence(20_000), from: base })

  it("a stop or a kill between two turns changes no byte and no count", async () => {
    const whole = folder()
    const events: Array<Event> = []
    let answers = 0
    await Effect.runPromise(Fiber.join(go(root, whole, more((n) => void (answers = n)), events)))
    const { given } = await spentOn(policy, whole)
    assert.isAbove(given, 0)
    const told = events.flatMap((event) => event._tag === "Step" ? [event.metrics["environment/tokens"] ?? 0] : [])
    // Four episodes a step; the rest was written while KL was measured.
    assert.isAbove(given, 4 * told.reduce((sum, n) => sum + n, 0))
    // At first, behind the checkpoint, and in the last measurement of KL, when all has been learnt.
    for (const at of [2, Math.ceil(answers * 0.6), answers - 1]) {
      const [stopped, killed] = [folder(), folder()]
      let halt = () => {}
      const fiber = go(
        root,
        stopped,
        more((n) => {
          if (n !== at) return
          // What a kill leaves is what is on the disk now.
          cpSync(stopped, killed, { recursive: true })
          halt()
          return new Promise(() => {})
        })
      )
      halt = () => fiber.interruptUnsafe()
      await Effect.runPromise(Fiber.await(fiber))
      for (const store of [stopped, killed]) {
        await Effect.runPromise(Fiber.join(go(root, store, more(() => {}))))
        assert.deepStrictEqual(contents(store), contents(whole), `${store} at answer ${at} of ${answers}`)
        assert.deepStrictEqual(await spentOn(policy, store), await spentOn(policy, whole))
        assert.deepStrictEqual(leftovers(store), [])
      }
    }
  })
})
