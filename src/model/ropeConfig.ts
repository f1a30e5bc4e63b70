import type { FieldReader } from "./fields.ts"

/** Rotary position embedding: its base and how it is stretched beyond the context of pretraining. */
export type Rope =
  & {
    /** Base of the wavelengths (`rope_theta`). */
    readonly theta: number
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
  )

const types = ["default", "linear", "dynamic", "llama3", "yarn"] as const

/** From `rope_parameters` (transformers 5) or `rope_scaling` with `rope_theta` (before). */
export const ropeOf = (config: FieldReader, context: number): Rope => {
  const given = config.raw["rope_scaling"] ?? config.raw["rope_parameters"] ?? {}
  if (typeof given !== "object" || given === null || Array.isArray(given)) {
    config.wrong("rope_scaling must be an object or null")
    return { type: "default", theta: 10_000 }
  }
  const raw = given as Readonly<Record<string, unknown>>
  const of = config.nested(raw)
  const theta = (raw["rope_theta"] == null ? config : of).number("rope_theta", 10_000)
  if (!(theta > 0)) config.wrong(`rope_theta must be positive, not ${theta}`)
  const partial = raw["partial_rotary_factor"] ?? config.raw["partial_rotary_factor"] ?? 1
  if (partial !== 1) config.wrong(`partial_rotary_factor ${JSON.stringify(partial)} is not supported, only 1 is`)
  const type = types.find((name) => name === (raw["rope_type"] ?? raw["type"] ?? "default"))
  if (Object.values(raw).some((value) => typeof value === "object" && value !== null && "rope_type" in value)) {
    config.wrong("rope_parameters that differ between layer types are not supported")
  }
  const positive = (key: string, otherwise?: number): number => {
    const value = of.number(key, raw[key] === null ? undefined : otherwise)
    if (!(value > 0)) config.wrong(`${key} of the rope scaling must be positive, not ${value}`)
    return value
  }
  const originalContext = (): number =>
    config.raw["original_max_position_embeddings"] != null
      ? config.size("original_max_position_embeddings")
      : of.size("original_max_position_embeddings", context)
  switch (type) {
    case undefined:
      config.wrong(
        `rope type ${JSON.stringify(raw["rope_type"] ?? raw["type"])} is not supported, only ${types.join(", ")} are`
      )
      return { type: "default", theta }
    case "default":
      return { type, theta }
    case "linear":
    case "dynamic":
      return { type, theta, factor: positive("factor") }
    case "llama3": {
      const lowFreqFactor = positive("low_freq_factor")
      const highFreqFactor = positive("high_freq_factor")
      if (highFreqFactor <= lowFreqFactor) config.wrong("high_freq_factor must be greater than low_freq_factor")
      return {
        type,
        theta,
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
        theta,
        factor,
        originalContext: original,
        betaFast: raw["beta_fast"] ? positive("beta_fast") : 32,
        betaSlow: raw["beta_slow"] ? positive("beta_slow") : 1,
        truncate: of.flag("truncate", true),
        attentionFactor: raw["attention_factor"] == null ? attentionFactor(of, factor) : positive("attention_factor")
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
