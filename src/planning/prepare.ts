/**
 * Everything that is settled once before a run: the pipeline is checked, requirements are met, the plan is made, and
 * micro-batches are chosen with which stages fit their memory. Of a checkpoint, only `config.json` is read.
 */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import { totalmem } from "node:os"
import type * as Artifact from "../../dsl/Artifact.ts"
import { OutOfMemory } from "../../dsl/Errors.ts"
import { label } from "../../dsl/Render.ts"
import { size, sizes } from "../../dsl/Size.ts"
import type { Engine } from "../engine/engine.ts"
import type { Extensions } from "../interpreters/extensions.ts"
import { Refused } from "../interpreters/check.ts"
import { lackingKeys } from "../interpreters/checks/endpoints.ts"
import { wantedIn } from "../interpreters/storeKeys.ts"
import { judged } from "../interpreters/lacking.ts"
import type { RunPlan as Runnable } from "../interpreters/run.ts"
import { shapesIn } from "../interpreters/checkpointShapes.ts"
import type { Price } from "../store/spent.ts"
import type { Phase } from "../tensor/counting/memoryTerms.ts"
import { remedy, smaller } from "./advice.ts"
import type { Costs } from "./cost/costs.ts"
import { fits } from "./fits.ts"
import { fitted, planWith, type Room, roomWithin } from "./microBatches.ts"
import type { Planned, StagePlan } from "./plan.ts"

/** The input of `run`. */
export interface Prepared extends Runnable {
  /** The plan with the run's micro-batches, which the report compares with the actual spending. */
  readonly planned: Planned
}

export interface PrepareOptions<E = never, R = never> extends Extensions {
  /** The engine of the run; without it, its limits are not checked. */
  readonly engine?: Pick<Engine, "kind" | "precisions" | "addressable" | "packing">
  /** Whether a stage is finished already and needs no memory. */
  readonly finished?: (artifact: Artifact.Any) => Effect.Effect<boolean, E, R>
  readonly price?: Price | null
  /** Costs of the engine's work, which give the plan its times. */
  readonly costs?: Costs | null
}

const doing = {
  load: "opening its models",
  generation: "sampling",
  logps: "computing log-probabilities",
  update: "training",
  copy: "replacing weights",
  save: "saving",
  measure: "measuring KL"
} as const satisfies Record<Phase, string>

/**
 * Fails with every mistake of the pipeline and everything that the engine, extensions or price table lack (`Refused`),
 * or if a stage needs more memory than the engine can address, even with the shortest completions (`OutOfMemory`).
 * Prints which stages run in micro-batches, and which may still not fit.
 */
export const prepare = Effect.fn("prepare")(function*<E = never, R = never>(
  root: Artifact.Any,
  { costs = null, engine, finished, losses = [], price = null, rewards = [], stages = [] }: PrepareOptions<E, R> = {}
) {
  const extensions = { losses, rewards, stages }
  const { addressable = Infinity, kind = "transformer", packing, precisions } = engine ?? {}
  const here = engine === undefined ? {} : { engine, sandbox: true }
  yield* judged(root, { shapes: yield* shapesIn(root), extensions, price, ...here })
  const plan = planWith({
    ...extensions,
    reads: true,
    ...(packing === undefined ? {} : { packing }),
    ...(costs === null ? {} : { costs })
  })
  const room: Room = kind === "tabular" ? () => Infinity : roomWithin(addressable)
  const fit = yield* fitted(root, room, plan)
  const { microBatches, planned } = fit
  const wanted = new Set((yield* wantedIn(root, finished)).map(label))
  // A reward is asked by the stages that take it.
  const keys = lackingKeys(root, (artifact) => artifact.node.op === "Reward" || wanted.has(label(artifact)))
  if (keys.length > 0) return yield* new Refused({ problems: keys })
  const making = planned.stages.filter(({ stage }) => wanted.has(stage))
  // The plan assumes completions of `maxNewTokens`: a run that may need less is not refused.
  const atLeast = (of: ReadonlyArray<StagePlan>) =>
    of.length === 0
      ? Effect.succeed([])
      : Effect.map(
        plan(root, microBatches, { only: new Set(of.map(({ stage }) => stage)), rehearsed: 1, completionLength: 1 }),
        ({ stages }) => stages
      )
  for (const { bytes, phases, stage, terms } of yield* atLeast(making.filter(({ bytes }) => bytes > addressable))) {
    const over = phases.find(({ bytes }) => bytes > addressable)
    if (over === undefined) continue
    const { misfits } = yield* fits(root, {
      plan,
      room: roomWithin(addressable),
      known: fit.plain,
      ...(precisions === undefined ? {} : { precisions })
    }, stage)
    return yield* new OutOfMemory({
      stage,
      phase: doing[over.phase],
      needed: bytes,
      available: addressable,
      terms,
      remedy: [...misfits.map(remedy), "The native backend has no such limit."].join(" ")
    })
  }
  for (const line of smaller(fit)) yield* Console.error(line)
  for (const stage of making.filter((stage) => stage.bytes > room(stage))) {
    const [most, has] = sizes(stage.bytes, room(stage))
    yield* Console.error(`${stage.stage} may take ${most} even so, and has ${has}: keel plan proposes changes.`)
  }
  const least = yield* atLeast(making.filter(({ bytes }) => bytes > totalmem()))
  const most = Math.max(0, ...least.map(({ bytes }) => bytes))
  // The system may swap, or have more memory than it reports: a warning, not an error.
  if (most > totalmem()) {
    yield* Console.error(
      `This takes at least ${size(most)} of memory and the machine has ${size(totalmem())}: ` +
        "it will be very slow, or killed."
    )
  }
  return { root, extensions, price, microBatches, planned } satisfies Prepared as Prepared
})
