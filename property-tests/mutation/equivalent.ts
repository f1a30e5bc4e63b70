/** Mutants that compute the same as the original for every input, by name (`nameOf`), each with the reason. */
const empty = "there are no pairs, so nothing is multiplied by it"
const signless = "poison is 0 or NaN, and neither changes with its sign"

export const equivalent: ReadonlyMap<string, string> = new Map([
  ["src/losses/bradleyTerry.ts: const scale = pairs === 0 ? ⟦0 → 1⟧ : 1 / (options.denominator ?? pairs)", empty],
  [
    "src/losses/bradleyTerry.ts: const scale = ⟦pairs === 0 ? 0 : 1 / (options.denominator ?? pairs) → (1 / (options.denominator ?? pairs))⟧",
    empty
  ],
  [
    "src/losses/bradleyTerry.ts: loss += (softplus(-logit) + center * (c + r) ** 2 ⟦+ → -⟧ poison(logit)) * scale",
    signless
  ]
])
