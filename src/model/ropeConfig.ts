import type { FieldReader } from "./fields.ts"

/** Rotary position embedding: its base and how it is stretched beyond the context of pretraining. */
export type Rope =
  & {
    /** Base of the wavelengths (`rope_theta`). */
    readonly theta: number
    /** Elements of a head that turn, its first; even. */
    readonly dim: number
  }
  & (
    | { readonly type: "default" }
    /** Position interpolation (Chen et al. 2023) and NTK-aware scaling of the base beyond `context`. */
    | { readonly type: "linear" | "dynamic"; readonly factor: number }
    /** Llama 3.1: long wavelengths are interpolated, short wavelengths kept, the range between blended. */
    | {
      readonly type: "llama3"
      readonly factor: number
      readonly lowFreqFactor: number
      readonly highFreqFactor: number
      readonly originalContext: number
    }
    /** YaRN (Peng et al. 2023). */
    | {
      readonly type: "yarn"
      readonly factor: number
      readonly originalContext: number
      readonly betaFast: number
      readonly betaSlow: number
      /** Whether the bounds of the ramp are rounded to whole dimensions. */
      readonly truncate: boolean
      /** Multiplies cos and sin. */
      readonly attentionFactor: number
    }
    /** LongRoPE (Ding et al. 2024): factors of each wavelength, for sequences within the original context and for longer ones. */
    | {
      readonly type: "longrope"
      readonly short: ReadonlyArray<number>
      readonly long: ReadonlyArray<number>
      readonly originalContext: number
      /** Multiplies cos and sin. */
      readonly attentionFactor: number
    }
  )

const types = ["default", "linear", "dynamic", "llama3", "yarn", "longrope"] as const

/** Where an architecture differs from a Llama. */
export interface RopeDefaults {
  readonly context: number
  readonly headDim: number
  /** `rope_theta` where it is left out. */
  readonly theta?: number
  /** The share of a head that turns, where it is left out. */
  readonly partial?: number
  /** The types that its owner's code takes. */
  readonly known?: ReadonlyArray<Rope["type"]>
  /** Other names of types. */
  readonly aliases?: Readonly<Record<string, Rope["type"]>>
  /** The parameters of a kind of layers, in place of the whole model's. */
  readonly given?: Readonly<Record<string, unknown>>
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** From `rope_parameters` (transformers 5) or `rope_scaling` with `rope_theta` (before). */
export const ropeOf = (config: FieldReader, defaults: RopeDefaults): Rope => {
  const { aliases = {}, context, headDim, known = types, partial: usual = 1, theta: base = 10_000 } = defaults
  const given = defaults.given ?? config.value("rope_scaling") ?? config.value("rope_parameters") ?? {}
  if (!isRecord(given)) {
    config.wrong("rope_scaling must be an object or null")
    return { type: "default", theta: base, dim: headDim }
  }
  const raw = given
  const of = config.nested(raw)
  const whole = defaults.given === undefined ? config.number("rope_theta", base) : base
  const theta = raw["rope_theta"] == null ? whole : of.number("rope_theta")
  if (!(theta > 0)) config.wrong(`rope_theta must be positive, not ${theta}`)
  // Asked for in any case: files of transformers 4 say both.
  const general = config.value("partial_rotary_factor")
  const partial = raw["partial_rotary_factor"] ?? general ?? usual
  const dim = typeof partial === "number" ? Math.trunc(headDim * partial) : NaN
  if (!(dim > 0 && dim <= headDim && dim % 2 === 0)) {
    config.wrong(
      `partial_rotary_factor ${
        JSON.stringify(partial)
      } of heads of ${headDim} is not supported: it must leave an even number`
    )
  }
  const shared = { theta, dim }
  const named = raw["rope_type"] ?? raw["type"] ?? "default"
  const type = known.find((name) => name === (typeof named === "string" ? aliases[named] ?? named : named))
  if (Object.values(raw).some((value) => isRecord(value) && "rope_type" in value)) {
    config.wrong("rope_parameters that differ between layer types are not supported for this model_type")
  }
  const positive = (key: string, otherwise?: number): number => {
    const value = of.number(key, raw[key] === null ? undefined : otherwise)
    if (!(value > 0)) config.wrong(`${key} of the rope scaling must be positive, not ${value}`)
    return value
  }
  const originalContext = (): number =>
    config.value("original_max_position_embeddings") != null
      ? config.size("original_max_position_embeddings")
      : of.size("original_max_position_embeddings", context)
  switch (type) {
    case undefined:
      config.wrong(
        `rope type ${JSON.stringify(raw["rope_type"] ?? raw["type"])} is not supported, only ${known.join(", ")} are`
      )
      return { type: "default", ...shared }
    case "default":
      return { type, ...shared }
    case "linear":
    case "dynamic":
      return { type, ...shared, factor: positive("factor") }
    case "llama3": {
      const lowFreqFactor = positive("low_freq_factor")
      const highFreqFactor = positive("high_freq_factor")
      if (highFreqFactor <= lowFreqFactor) config.wrong("high_freq_factor must be greater than low_freq_factor")
      return {
        type,
        ...shared,
        factor: positive("factor"),
        lowFreqFactor,
        highFreqFactor,
        originalContext: originalContext()
      }
    }
    case "yarn": {
      const original = originalContext()
      const factor = raw["factor"] == null ? context / original : positive("factor")
      if (theta === 1) config.wrong("rope_theta 1 has no wavelengths for yarn to tell apart")
      return {
        type,
        ...shared,
        factor,
        originalContext: original,
        betaFast: raw["beta_fast"] ? positive("beta_fast") : 32,
        betaSlow: raw["beta_slow"] ? positive("beta_slow") : 1,
        truncate: of.flag("truncate", true),
        attentionFactor: raw["attention_factor"] == null ? attentionFactor(of, factor) : positive("attention_factor")
      }
    }
    case "longrope": {
      const original = originalContext()
      const factors = (key: string): ReadonlyArray<number> => {
        const list: unknown = raw[key]
        const numbers = Array.isArray(list) ? list.filter((x): x is number => typeof x === "number" && x > 0) : []
        if (numbers.length !== dim / 2) config.wrong(`${key} of the rope scaling must be ${dim / 2} positive numbers`)
        return numbers
      }
      const factor = raw["factor"] == null ? context / original : positive("factor")
      return {
        type,
        ...shared,
        short: factors("short_factor"),
        long: factors("long_factor"),
        originalContext: original,
        attentionFactor: raw["attention_factor"] != null
          ? positive("attention_factor")
          : factor <= 1
          ? 1
          : Math.sqrt(1 + Math.log(factor) / Math.log(original))
      }
    }
  }
}

/** 0.1 · mscale · ln(factor) + 1 (eq. 22 of the YaRN paper), or the ratio of two of these as DeepSeek writes it. */
const attentionFactor = (of: FieldReader, factor: number): number => {
  const scaled = (mscale: number): number => factor <= 1 ? 1 : 0.1 * mscale * Math.log(factor) + 1
  const both = Boolean(of.raw["mscale"]) && Boolean(of.raw["mscale_all_dim"])
  return both ? scaled(of.number("mscale")) / scaled(of.number("mscale_all_dim")) : scaled(1)
}
