/** Vocabulary sizes of the sampled models of a pipeline, for bounds on truncated sampling. */
import * as Effect from "effect/Effect"
import * as Artifact from "../../dsl/Artifact.ts"
import { stageOf } from "../../dsl/Pipeline.ts"
import { label } from "../../dsl/Render.ts"
import { initialOf } from "../../dsl/Stage.ts"
import type { VocabularyOf } from "../ledger/chain.ts"
import { describe } from "../model/checkpoint.ts"
import { modelConfig } from "../model/config.ts"
import * as FileStore from "../store/files.ts"
import { keysIn } from "./storeKeys.ts"

/** From the `config.json` of a checkpoint, or of a model in the folder `store`; null if there is none. */
export const vocabulariesIn = Effect.fn("vocabulariesIn")(function*(root: Artifact.Any, store: string) {
  const keys = yield* Effect.provide(keysIn(root), FileStore.layer(store))
  const sizes = new Map<string, number>()
  for (const sample of Artifact.lineage(root)) {
    const policy = sample.node.op === "Sample" ? sample.node.wires["policy"] : undefined
    if (policy === undefined) continue
    const model = initialOf(policy)
    const stage = stageOf(model)
    const key = keys.result(model)
    if (key === undefined) continue
    const path = stage._tag === "Checkpoint" ? stage.path ?? "" : FileStore.modelIn(store, key, label(model))
    const found = yield* Effect.option(Effect.map(describe(path), ({ config }) => modelConfig(config).vocab))
    if (found._tag === "Some") sizes.set(model.id, found.value)
  }
  const vocabularyOf: VocabularyOf = ({ id }) => sizes.get(id) ?? null
  return vocabularyOf
})
