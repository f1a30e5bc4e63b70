import type { T, Tfjs } from "./pieces.ts"

/**
 * Σ x², accumulated in double precision, which TensorFlow.js has not: the numbers come to the host. (TensorFlow itself has it,
 * and then only the sum comes back: `tensorFlow.ts`.)
 */
export const sumOfSquares = (_: Tfjs) => (x: T): number => {
  let sum = 0
  for (const value of x.dataSync()) sum += value * value
  return sum
}
