import type { T } from "./pieces.ts"

/** Σ x², accumulated in double precision. */
export type SumOfSquares = (x: T) => number

/** TensorFlow.js has no doubles: the numbers come to the host. (TensorFlow has; see `tensorFlow.ts`.) */
export const sumOfSquares: SumOfSquares = (x) => {
  let sum = 0
  for (const value of x.dataSync()) sum += value * value
  return sum
}
