import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Artifact from "../../dsl/Artifact.ts"
import { label } from "../../dsl/Render.ts"
import { fieldsOf } from "../../dsl/Stage.ts"
import { defaultWorld, simulate as interpret, type Simulated, worldOf } from "../interpreters/simulate.ts"
import { naming } from "../../dsl/Render.ts"
import { markdown } from "../report/table.ts"
import { json, or, overrides, pipeline, positive } from "./options.ts"
import { pipelineOf } from "./pipelineFile.ts"

const number = (x: number): string => x.toFixed(3)

/** The result for people. Own reward: the stage's, all parts; π*: the optimum of reward − β KL, where training aims at it. */
export const text = ({ policies, world }: Pick<Simulated, "policies" | "world">): string =>
  [
    `The same stage code on ${world}, where every number is exact:`,
    "",
    markdown([
      [
        "policy",
        "β",
        "gold reward",
        "own reward → best at its KL",
        "KL from initial (cap)",
        "KL to reference, now → at π*",
        "KL to π*"
      ],
      ...policies.map(({ attainable, beta, gold, kl, optimum, stage }) => [
        stage,
        beta === null ? "–" : String(beta),
        number(gold),
        attainable === null ? "–" : `${number(attainable.reward)} → ${number(attainable.best)}`,
        kl.map(({ cap, nats }) => `${number(nats)} (${cap ?? "no cap"})`).join(", ") || "–",
        optimum === null ? "–" : `${number(optimum.klNow)} → ${number(optimum.kl)}`,
        optimum === null ? "–" : optimum.distance.toFixed(5)
      ])
    ]),
    ...policies.flatMap(({ noOptimum, stage }) =>
      noOptimum.length === 0 ? [] : ["", `${stage} aims at no π* ∝ π_ref exp(r/β): ${noOptimum.join(", ")}.`]
    )
  ].join("\n")

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
    ),
    prompts: or(
      positive("prompts"),
      defaultWorld.prompts.length,
      `Prompts of the world (default ${defaultWorld.prompts.length}): more where a stage is left without rows`
    )
  },
  Effect.fn(function*({ json, learningRateScale, pipeline, prompts, ...overridden }) {
    const { extensions, root } = yield* pipelineOf(pipeline, overridden)
    const { policies, world } = yield* interpret(root, { ...extensions, learningRateScale, world: worldOf(prompts) })
    for (const artifact of Artifact.lineage(root)) {
      const { ask, teacherAsk } = fieldsOf(artifact)
      if ((ask ?? teacherAsk) === undefined) continue
      yield* Console.error(`${label(artifact)}: the prompts of a world have no context, so the bare prompts are asked.`)
    }
    const named = naming(root)
    yield* Console.log(
      json
        ? JSON.stringify({ world, policies })
        : text({ world, policies: policies.map((policy) => ({ ...policy, stage: named(policy.stage) })) })
    )
  })
).pipe(Command.withDescription("Run the same stages on a small world where everything is exact, in seconds"))
