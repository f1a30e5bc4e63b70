/** The result of a loss. Metrics have TRL's names; averages have the denominator of the loss, so they add too. */
export interface Loss {
  readonly loss: number
  /** dLoss / dInput, one number for each element of the trained input. */
  readonly gradient: Float64Array
  readonly metrics: Readonly<Record<string, number>>
}

/** Mask and divisor of an average over tokens. */
export interface Averaging {
  /** Weight of each token: 0 leaves the token out, whatever its value. Default: all 1. */
  readonly mask?: ArrayLike<number>
  /**
   * The divisor of the sum; default: the sum of the mask. Given the token count of the *whole* batch, the losses and
   * gradients of micro-batches add up to the batch's (a mean of means over-weights short micro-batches).
   */
  readonly denominator?: number
}

/** 1 / denominator; 0 when every token is masked, so that such a batch has loss 0 and not 0 / 0. */
export const scaleOf = (length: number, { mask, denominator }: Averaging): number => {
  let count = length
  if (mask !== undefined) {
    count = 0
    for (let i = 0; i < length; i++) count += mask[i]!
  }
  return count === 0 ? 0 : 1 / (denominator ?? count)
}

/** Throws when arrays that belong together differ in length: a bug of the caller, not an error value. */
export const sameLength = (arrays: Readonly<Record<string, ArrayLike<number> | undefined>>): void => {
  const given = Object.entries(arrays).flatMap(([name, array]) => array === undefined ? [] : [[name, array] as const])
  if (given.some(([, array]) => array.length !== given[0]![1].length)) {
    throw new Error(`lengths differ: ${given.map(([name, array]) => `${name} ${array.length}`).join(", ")}`)
  }
}

/** 0, or NaN for a non-finite x: added to a result that would otherwise hide it (clipping, a constant slope). */
export const poison = (x: number): number => Number.isFinite(x) ? 0 : NaN
