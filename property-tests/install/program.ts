/** A program of a user's on the recipe of `keel init`: it simulates, trains and samples. `package.test.ts` runs it. */
import * as Effect from "effect/Effect"
import { generate, problems, run, simulate } from "keel/interpreters"
import recipe, { dpo, rewards, sft } from "../../template/recipe.ts"

const { policies } = await Effect.runPromise(simulate(dpo))
const { report } = await Effect.runPromise(run(recipe, { backend: "auto", out: "runs/program", rewards }))
const { model } = await Effect.runPromise(run(sft, { backend: "auto", out: "runs/sft" }))
const texts = await Effect.runPromise(generate(model, ["where is the lamp ?", "what does the fan cost ?"]))

const names = report?.models.map(({ name }) => name)
console.log(JSON.stringify({ problems: problems(recipe), policies: policies.length, names, texts: texts.length }))
