/** The ledger of a run: for each stage the KL that was allowed, the KL bounds, and the measured KL. */
import * as NodeFileSystem from "@effect/platform-node-shared/NodeFileSystem"
import * as Effect from "effect/Effect"
import { fromJson } from "../../dsl/Pipeline.ts"
import { contentsBy } from "../interpreters/contents.ts"
import type { Extensions } from "../interpreters/extensions.ts"
import { capsIn } from "../interpreters/capsOf.ts"
import { CurrentContents } from "../interpreters/storeKeys.ts"
import { vocabulariesIn } from "../interpreters/vocabularies.ts"
import { textOf } from "../model/regularFile.ts"
import { alarms } from "../report/alarms.ts"
import { ledgerOf } from "../report/ledger.ts"
import { trajectories } from "../report/overOptimisation.ts"
import { passed } from "../report/passed.ts"
import { unmeasured } from "../report/unmeasured.ts"
import { events as eventsOf, started } from "../store/runDirectory.ts"

/**
 * The ledger of the run in `folder`, as `keel ledger` prints it: stages with passed caps, alarms, over-optimisation.
 * `stages` are your implementations of stages from outside Keel.
 */
export const ledger = Effect.fn("ledger")(function*(folder: string, { stages = [] }: Pick<Extensions, "stages"> = {}) {
  const { description, read, store } = yield* started(folder)
  const definitions = stages.map(({ definition }) => definition)
  const root = yield* Effect.fromResult(fromJson(yield* textOf(description), definitions))
  const limits = capsIn(root)
  const known = Effect.provideService(CurrentContents, read === undefined ? () => null : contentsBy(read))
  const events = yield* eventsOf(folder)
  return {
    stages: ledgerOf(root, events, (artifact) => limits(artifact).kl, yield* known(vocabulariesIn(root, store))),
    unmeasured: unmeasured(events),
    passed: passed(events),
    alarms: alarms(events),
    overOptimisation: trajectories(events)
  }
}, Effect.provide(NodeFileSystem.layer))
