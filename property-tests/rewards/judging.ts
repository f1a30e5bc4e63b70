/** Judged rows on the tabular engine, in a store on disk. */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { Effect, Layer } from "effect"
import { Checkpoint, Judge, Sample, Score, Source } from "../../dsl/index.ts"
import { world as makeWorld } from "../../src/engine/tabular/world.ts"
import * as FileStore from "../../src/store/files.ts"
import { Store } from "../../src/store/store.ts"

export const world = makeWorld({ prompts: 2, vocab: 5, horizon: 3, seed: "judged" })
export const base = Checkpoint.huggingFace("world", "anywhere")
export const prompts = Source.prompts(Source.tales({ count: 2 }))
export const completions = Sample.make({ policy: base, prompts }, {
  completionsPerPrompt: 6,
  maxNewTokens: world.horizon
})
export const rubric = Judge.rubric("How short it is.")
export const price = { currency: "USD", read: 1, written: 10 }

export const stored = (at: string) =>
  Effect.runPromise(
    Effect.provide(Effect.flatMap(Store, Effect.succeed), Layer.provide(FileStore.layer(at), NodeFileSystem.layer))
  )

export const scoring = (url: string, options: object = {}, of = rubric) =>
  Score.byRubric({ completions }, {
    endpoint: Judge.endpoint(url, "judge", { price, ...options }),
    rubric: of,
    batchSize: 4
  })
