/**
 * Orderings that a pipeline has in a world where everything is enumerated: training on demonstrations, on the best of samples and on
 * pairs does not lower the gold reward of the model that it starts from, reinforcement learning does not lower its own reward, and a
 * merge lies between its parents.
 */
import * as Effect from "effect/Effect"
import * as Artifact from "../../dsl/Artifact.ts"
import { Pipeline, Recipe, recipes, Shrink } from "../../dsl/index.ts"
import { label, naming } from "../../dsl/Render.ts"
import { initialOf } from "../../dsl/Stage.ts"
import { simulate, type Simulated, worldOf } from "../../src/interpreters/simulate.ts"

export interface Ordering {
  readonly stage: string
  readonly op: string
  readonly holds: boolean
  readonly text: string
}

/** The wire of the model that each operation begins with. */
const startOf: Readonly<Record<string, string>> = { Sft: "base", Dpo: "init", Kto: "init", Distill: "student" }

export const orderings = (root: Artifact.Any, { policies }: Pick<Simulated, "policies">): ReadonlyArray<Ordering> => {
  const exact = new Map(policies.map((one) => [one.stage, one]))
  return Artifact.lineage(root).flatMap((artifact): ReadonlyArray<Ordering> => {
    const { op, wires } = artifact.node
    const now = exact.get(label(artifact))
    if (now === undefined) return []
    const goldOf = (of: Artifact.Any) => exact.get(label(initialOf(of)))?.gold
    const of = (
      holds: boolean,
      text: string
    ) => [{ stage: label(artifact), op: op.toLowerCase(), holds, text }]
    if (now.attainable !== null) {
      const { reward, start } = now.attainable
      return of(reward >= start, `own reward ${start.toFixed(3)} → ${reward.toFixed(3)}`)
    }
    if (op === "Merge") {
      const parents = Object.values(wires).flatMap((of) => goldOf(of) ?? [])
      const [least, most] = [Math.min(...parents), Math.max(...parents)]
      return of(
        now.gold >= least - 1e-9 && now.gold <= most + 1e-9,
        `gold ${now.gold.toFixed(3)} of parents from ${least.toFixed(3)} to ${most.toFixed(3)}`
      )
    }
    const start = goldOf(wires[startOf[op] ?? ""] ?? artifact)
    if (startOf[op] === undefined || start === undefined) return []
    const selected = Object.values(wires).some((one) =>
      one.node.kind === "Demonstrations" && Artifact.lineage(one).some(({ node }) => node.op === "Select")
    )
    return of(
      now.gold >= start,
      `${selected ? "on the best of samples: " : ""}gold ${start.toFixed(3)} → ${now.gold.toFixed(3)}`
    )
  })
}

/** The orderings of the small copy of a recipe, with prompts enough that each stage has rows. */
export const ordered = Effect.fnUntraced(function*(name: string) {
  const recipe = recipes.find((one) => one.name === name)!
  const root: Artifact.Any = Shrink.shrink(Pipeline.outputs(Recipe.planned(recipe))).root
  const simulated = yield* simulate(root as Artifact.Artifact<"Outputs">, { world: worldOf(64) })
  const named = naming(root)
  return orderings(root, simulated).map((one) => ({ ...one, stage: named(one.stage) }))
})
