/** Makes any artefact of a description on the tabular engine, with the rows that a test gives: `simulate` without its report. */
import { completed, unpaired } from "../../src/data/rows.ts"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { Effect, Layer } from "effect"
import type * as Artifact from "../../dsl/Artifact.ts"
import { Datasets } from "../../src/data/dataset.ts"
import { CurrentEngine } from "../../src/engine/current.ts"
import { language } from "../../src/engine/tabular/checkpoint.ts"
import * as judged from "../../src/engine/tabular/judgedRows.ts"
import * as data from "../../src/engine/tabular/data.ts"
import { tabular } from "../../src/engine/tabular/tabular.ts"
import { type World, world as makeWorld } from "../../src/engine/tabular/world.ts"
import { Checkpoints } from "../../src/interpreters/checkpoints.ts"
import { execute } from "../../src/interpreters/execute.ts"
import { atOnce, Judge } from "../../src/rewards/judge.ts"
import * as MemoryStore from "../../src/store/memory.ts"
import type { Made } from "../../src/store/made.ts"
import type { Event } from "../../src/store/runLog.ts"
import { RunLog } from "../../src/store/runLog.ts"
import { Store } from "../../src/store/store.ts"

export const small: World = makeWorld({ prompts: 2, vocab: 3, horizon: 2, seed: "worldly" })

export interface Options {
  readonly world?: World
  /** Shared between calls, for a test of what is found again. */
  readonly store?: Store["Service"]
  readonly onEvent?: (event: Event) => void
  /** How many times each prompt of the world stands in every set of prompts. */
  readonly repeated?: number
}

/** A store to share. */
export const store = (): Promise<Store["Service"]> =>
  Effect.runPromise(Effect.provide(Effect.flatMap(Store, Effect.succeed), MemoryStore.layer))

const datasets = (world: World, repeated: number) =>
  Layer.succeed(Datasets, {
    load: (role, origin) =>
      Effect.sync(() => {
        const options = { count: "count" in origin ? origin.count : 64, seed: JSON.stringify({ ...origin }) }
        switch (role) {
          case "Text":
            return { role, rows: data.text(world, options).map((text) => ({ text })), vocabulary: [] }
          case "Prompts":
            return {
              role,
              rows: Array.from({ length: repeated }, () => data.prompts(world).map((prompt) => ({ prompt }))).flat()
            }
          case "Demonstrations":
            return { role, rows: data.demonstrations(world, options) }
          case "Completions":
            return { role, rows: data.demonstrations(world, options).map(completed) }
          case "ScoredCompletions":
            return {
              role,
              rows: data.demonstrations(world, options)
                .map((row) => ({ ...completed(row), score: world.gold(row.prompt, row.completion) }))
            }
          case "Preferences":
            return { role, rows: data.preferences(world, options) }
          case "UnpairedPreferences":
            return { role, rows: unpaired(data.preferences(world, options)) }
          case "Rankings":
            return { role, rows: judged.rankings(world, options) }
          case "Stepwise":
            return { role, rows: judged.stepwise(world, options) }
        }
      })
  })

/** What making `root` can end with is left to the caller. */
export const making = (root: Artifact.Any, { onEvent, repeated = 1, store, world = small }: Options = {}) =>
  execute(root).pipe(Effect.provide(
    Layer.mergeAll(
      Layer.succeed(CurrentEngine, tabular(world)),
      datasets(world, repeated),
      Layer.succeed(Judge, {
        gold: (_, prompt, completion) => world.gold(prompt, completion),
        prefers: (_, prompt, a, b) => world.gold(prompt, a) > world.gold(prompt, b),
        verifies: atOnce(({ completion, prompt }) => world.gold(prompt, completion) > 0)
      }),
      store === undefined ? MemoryStore.layer : Layer.succeed(Store, store),
      Layer.succeed(Checkpoints, { load: () => Effect.succeed(language(world)) }),
      Layer.succeed(RunLog, { emit: (event) => Effect.sync(() => onEvent?.(event)) }),
      NodeFileSystem.layer
    ),
    { local: true }
  ))

export const made = (root: Artifact.Any, options?: Options): Promise<Made> => Effect.runPromise(making(root, options))

/** The rows that a description of data makes. */
export const rowsOf = async <R>(root: Artifact.Any, options?: Options): Promise<ReadonlyArray<R>> => {
  const value = await made(root, options)
  if (value._tag !== "Data") throw new Error(`it made no data but a ${value._tag}`)
  return value.dataset.rows as unknown as ReadonlyArray<R>
}
