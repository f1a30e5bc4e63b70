/** A recipe with an open choice does not run, and says all that it leaves open. */
import { assert, describe, it } from "vitest"
import { Recipe, recipes } from "../../dsl/index.ts"

const refused = (make: () => unknown): Recipe.OpenChoices => {
  try {
    make()
  } catch (error) {
    if (error instanceof Recipe.OpenChoices) return error
  }
  throw assert.fail("it was made")
}

const open = recipes.filter(({ open }) => Object.keys(open).length > 0)

describe.each(open)("$name", (recipe) => {
  const names = Object.keys(recipe.open)

  it("names every open choice, with its hint", () => {
    const { choices, inputs, message } = refused(() => recipe.make(recipe.published(), {}))
    assert.deepEqual(choices.map(({ name }) => name), names)
    assert.deepEqual(inputs, [])
    for (const { hint, name } of choices) assert.include(message, `  ${name}: ${hint}`)
  })

  it("is not made without one of them", () => {
    for (const name of names) {
      const { [name]: _, ...others } = Recipe.standIns(recipe)
      assert.deepEqual(refused(() => recipe.make(recipe.published(), others)).choices.map(({ name }) => name), [name])
    }
  })

  it("names every input that is missing", () => {
    const { inputs } = refused(() => recipe.make({}, Recipe.standIns(recipe)))
    assert.deepEqual(inputs.map(({ name }) => name), Object.keys(recipe.takes))
  })
})
