import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Command from "effect/cli/Command"
import * as Recipe from "../../dsl/Recipe.ts"
import { recipes as known } from "../../dsl/recipes/index.ts"
import { markdown } from "../report/table.ts"
import { json } from "./options.ts"

const described = (recipe: Recipe.Any) => {
  const { name, paper, title } = recipe
  return { name, title, paper, open: Recipe.openOf(recipe), outputs: Object.keys(Recipe.planned(recipe)) }
}

export const recipes = Command.make(
  "recipes",
  { json },
  Effect.fn(function*({ json }) {
    const all = known.map(described)
    if (json) return yield* Console.log(JSON.stringify(all))
    yield* Console.log(markdown([
      ["recipe", "system", "source", "not reported", "outputs"],
      ...all.map(({ name, open, outputs, paper, title }) => [
        name,
        title,
        paper,
        open.map(({ name }) => name).join(", ") || "–",
        outputs.join(", ")
      ])
    ]))
    yield* Console.log(
      "\nA recipe stands wherever a pipeline file does: keel show, plan, check or simulate NAME, NAME:OUTPUT for one of its outputs, " +
        "keel run NAME --shrink for all of it in small."
    )
  })
).pipe(Command.withDescription("List the published recipes: what each leaves open, and what it makes"))
