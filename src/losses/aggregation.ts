/**
 * Weight w of each token in L = Σ_i w_i Σ_t L_it: N rows of lengths |o_i|, by the mask. Sources: `dsl/PolicyLoss.ts`.
 *
 *     TokenMean     1 / Σ |o|
 *     SequenceMean  1 / (N |o_i|)
 *     FixedLength   1 / (N · length)
 *     SequenceSum   1 / N
 */
export type Aggregation =
  | { readonly _tag: "TokenMean" | "SequenceMean" | "SequenceSum" }
  | { readonly _tag: "FixedLength"; readonly length?: number }

/**
 * One weight per row. `denominator` replaces the number of tokens in `TokenMean` and N in the others: with the value of
 * a whole batch, micro-batches add up to the batch's loss and gradient. `maxLength` is the default length of
 * `FixedLength`.
 */
export const rowWeights = (
  aggregation: Aggregation,
  lengths: Float64Array,
  { denominator, maxLength }: { readonly denominator?: number | undefined; readonly maxLength?: number | undefined } =
    {}
): Float64Array => {
  const total = lengths.reduce((sum, length) => sum + length, 0)
  const rows = denominator ?? lengths.length
  switch (aggregation._tag) {
    case "TokenMean":
      return lengths.map(() => total === 0 ? 0 : 1 / (denominator ?? total))
    case "SequenceMean":
      return lengths.map((length) => length === 0 ? 0 : 1 / (rows * length))
    case "FixedLength": {
      const length = aggregation.length ?? maxLength
      if (length === undefined) throw new Error("FixedLength without a length")
      return lengths.map(() => 1 / (rows * length))
    }
    case "SequenceSum":
      return lengths.map(() => 1 / rows)
  }
}
