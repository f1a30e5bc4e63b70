/** Laws of rewards from any source. */
import fc from "fast-check"
import assert from "node:assert/strict"

export interface RewardOptions extends fc.Parameters<[string, string]> {
  /** Texts as models write them; arbitrary texts are tried besides. */
  readonly texts?: fc.Arbitrary<string>
  /** The bounds that the reward states. */
  readonly bounds?: { readonly min: number; readonly max: number }
}

/** A reward is pure (the same answer twice), total (never throws), finite, and within its bounds, on any text. */
export const reward = (
  score: (prompt: string, completion: string) => number,
  { bounds = { min: -Number.MAX_VALUE, max: Number.MAX_VALUE }, texts, ...parameters }: RewardOptions = {}
): void => {
  const anything = fc.oneof(fc.string(), fc.string({ unit: "binary" }), ...(texts === undefined ? [] : [texts]))
  fc.assert(
    fc.property(anything, anything, (prompt, completion) => {
      const value = score(prompt, completion)
      assert.ok(Number.isFinite(value), `${value} is no score`)
      assert.ok(value >= bounds.min && value <= bounds.max, `${value} is out of bounds`)
      assert.equal(score(prompt, completion), value, "a second call gave another answer")
    }),
    parameters
  )
}
