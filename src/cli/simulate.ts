import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { simulate as interpret } from "../interpreters/simulate.ts"
import { markdown } from "../report/table.ts"
import { json, or, overrides, pipeline } from "./options.ts"
import { pipelineOf } from "./pipelineFile.ts"

const number = (x: number): string => x.toFixed(3)

export const simulate = Command.make(
  "simulate",
  {
    pipeline,
    ...overrides,
    json,
    learningRateScale: or(
      Flag.Finite("learning-rate-scale"),
      100,
      "Learning rates are multiplied by this: a tabular parameter is a logit (default 100)"
    )
  },
  Effect.fn(function*({ json, learningRateScale, pipeline, ...overridden }) {
    const { extensions, root } = yield* pipelineOf(pipeline, overridden)
    const { policies, world } = yield* interpret(root, { ...extensions, learningRateScale })
    if (json) return yield* Console.log(JSON.stringify({ world, policies }))
    yield* Console.log(`The same stage code on ${world}, where every number is exact:\n`)
    yield* Console.log(markdown([
      ["policy", "gold reward", "KL from initial (cap)", "KL to reference, now → at optimum", "KL to its optimum π*"],
      ...policies.map(({ gold, kl, optimum, stage }) => [
        stage,
        number(gold),
        kl.map(({ cap, nats }) => `${number(nats)} (${cap})`).join(", ") || "–",
        optimum === null ? "–" : `${number(optimum.klNow)} → ${number(optimum.kl)}`,
        optimum === null ? "–" : optimum.distance.toFixed(5)
      ])
    ]))
  })
).pipe(Command.withDescription("Run the same stages on a small world where everything is exact, in seconds"))
