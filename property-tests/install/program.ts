/** What a program does with `keel/interpreters`, on the recipe of `keel init`. Run where the package is installed: `package.test.ts`. */
// The door (`run(pipeline, { backend, out })`) belongs here, with the folder that it writes.
import * as Effect from "effect/Effect"
import { problems, simulate } from "keel/interpreters"
import recipe, { dpo } from "../../template/recipe.ts"

const { policies } = await Effect.runPromise(simulate(dpo))
console.log(JSON.stringify({ problems: problems(recipe), policies: policies.length }))
