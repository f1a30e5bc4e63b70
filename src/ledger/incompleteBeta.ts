/** log Γ(x) for x > 0 (Lanczos, g = 7, nine terms; relative error below 1e-13). */
const logGamma = (x: number): number => {
  const sum = [
    676.5203681218851,
    -1259.1392167224028,
    771.32342877765313,
    -176.61502916214059,
    12.507343278686905,
    -0.13857109526572012,
    9.9843695780195716e-6,
    1.5056327351493116e-7
  ].reduce((sum, c, i) => sum + c / (x + i), 0.99999999999980993)
  const t = x + 6.5
  return 0.5 * Math.log(2 * Math.PI) + (x - 0.5) * Math.log(t) - t + Math.log(sum)
}

/** The continued fraction of I_x(a, b) (Press et al., Numerical Recipes, §6.4), by Lentz's method. */
const fraction = (x: number, a: number, b: number): number => {
  const away = (y: number) => Math.abs(y) < 1e-300 ? 1e-300 : y
  let [c, d] = [1, 1 / away(1 - (a + b) * x / (a + 1))]
  let value = d
  for (let m = 1; m < 10_000; m++) {
    for (
      const term of [
        m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
        -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
      ]
    ) {
      d = 1 / away(1 + term * d)
      c = away(1 + term / c)
      value *= c * d
    }
    if (Math.abs(c * d - 1) < 1e-15) break
  }
  return value
}

/** The regularised incomplete beta function I_x(a, b), the distribution function of Beta(a, b); a, b > 0. */
export const incompleteBeta = (x: number, a: number, b: number): number => {
  if (x <= 0) return 0
  if (x >= 1) return 1
  const front = Math.exp(logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log1p(-x))
  return x < (a + 1) / (a + b + 2) ? front * fraction(x, a, b) / a : 1 - front * fraction(1 - x, b, a) / b
}

/** The x with I_x(a, b) = `share`, by bisection: to the last digits of a double near 1, less near 0. */
export const betaQuantile = (share: number, a: number, b: number): number => {
  let [low, high] = [0, 1]
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2
    if (incompleteBeta(middle, a, b) < share) low = middle
    else high = middle
  }
  return (low + high) / 2
}
