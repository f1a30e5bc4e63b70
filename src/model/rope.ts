import type { Rope } from "./ropeConfig.ts"

/**
 * Angle per position of each rotated pair (radians, [dim / 2]), and the factor that cos and sin are multiplied by.
 *
 * As transformers computes them (`modeling_rope_utils.py`), rounded to float32 where it rounds: at position 100 000 the last
 * bit of a frequency is already 10⁻² radians, and the weights were trained with rounded frequencies. `length` is the longest
 * sequence they are for; `dynamic` scaling looks at it beyond the model's context, `longrope` beyond the original context.
 */
export const inverseFrequencies = (
  rope: Rope,
  context: number,
  length: number
): { readonly inverse: Float64Array; readonly scaling: number } => {
  const { dim: headDim } = rope
  switch (rope.type) {
    case "default":
      return { inverse: powers(rope.theta, headDim), scaling: 1 }
    case "linear":
      return { inverse: powers(rope.theta, headDim).map((f) => Math.fround(f / rope.factor)), scaling: 1 }
    case "dynamic": {
      // NTK-aware: the base grows so that the longest wavelength is stretched by the factor and the shortest is not.
      const stretch = (rope.factor * Math.max(length, context)) / context - (rope.factor - 1)
      const theta = stretch === 1 ? rope.theta : rope.theta * stretch ** (headDim / (headDim - 2))
      return { inverse: powers(theta, headDim), scaling: 1 }
    }
    case "llama3": {
      const longest = rope.originalContext / rope.lowFreqFactor
      const shortest = rope.originalContext / rope.highFreqFactor
      const inverse = powers(rope.theta, headDim).map((frequency) => {
        const wavelength = Math.fround((2 * Math.PI) / frequency)
        if (wavelength < shortest) return frequency
        if (wavelength > longest) return Math.fround(frequency / rope.factor)
        const smooth = (rope.originalContext / wavelength - rope.lowFreqFactor) /
          (rope.highFreqFactor - rope.lowFreqFactor)
        return Math.fround(((1 - smooth) * frequency) / rope.factor + smooth * frequency)
      })
      return { inverse, scaling: 1 }
    }
    case "yarn": {
      // Pairs that turn more than betaFast times within the original context are kept, less than betaSlow interpolated.
      const pairWith = (rotations: number): number =>
        (headDim * Math.log(rope.originalContext / (rotations * 2 * Math.PI))) / (2 * Math.log(rope.theta))
      const round = rope.truncate ? [Math.floor, Math.ceil] as const : null
      const low = Math.max(round ? round[0](pairWith(rope.betaFast)) : pairWith(rope.betaFast), 0)
      const to = Math.min(round ? round[1](pairWith(rope.betaSlow)) : pairWith(rope.betaSlow), headDim - 1)
      const high = to === low ? to + 0.001 : to
      const inverse = powers(rope.theta, headDim).map((frequency, i) => {
        const ramp = Math.min(Math.max((i - low) / (high - low), 0), 1)
        return Math.fround((frequency / rope.factor) * ramp + frequency * (1 - ramp))
      })
      return { inverse, scaling: rope.attentionFactor }
    }
    case "longrope": {
      const factors = length > rope.originalContext ? rope.long : rope.short
      const inverse = powers(rope.theta, headDim).map((frequency, i) => Math.fround(frequency / factors[i]!))
      return { inverse, scaling: rope.attentionFactor }
    }
  }
}

/** 1 / theta^(2i / headDim) in float32 arithmetic. */
const powers = (theta: number, headDim: number): Float64Array =>
  Float64Array.from({ length: headDim / 2 }, (_, i) => {
    const power = Math.fround(Math.pow(Math.fround(theta), Math.fround((2 * i) / headDim)))
    return Math.fround(1 / power)
  })

export interface Tables {
  readonly cos: Float64Array
  readonly sin: Float64Array
}

/** cos and sin of every position below `positions`, each [positions, dim / 2] row-major, times the attention scaling. */
export const tables = (
  rope: Rope,
  context: number,
  positions: number
): Tables => {
  const key = JSON.stringify([context, rope, positions])
  const known = recent.get(key)
  if (known !== undefined) return known
  const { inverse, scaling } = inverseFrequencies(rope, context, positions)
  const half = inverse.length
  const cos = new Float64Array(positions * half)
  const sin = new Float64Array(positions * half)
  for (let p = 0; p < positions; p++) {
    for (let i = 0; i < half; i++) {
      const angle = Math.fround(p * inverse[i]!)
      cos[p * half + i] = Math.cos(angle) * scaling
      sin[p * half + i] = Math.sin(angle) * scaling
    }
  }
  const made = { cos, sin }
  // The models of a stage share tables, which grow once; the tables of a long context are too large to keep.
  if (cos.length <= 2 ** 19) {
    if (recent.size === 2) recent.delete(recent.keys().next().value!)
    recent.set(key, made)
  }
  return made
}

const recent = new Map<string, Tables>()
