/**
 * `tokenizer.json` as `@huggingface/tokenizers` needs it so that it does what the Rust tokenizers (and so transformers) do,
 * and a second reading of it for text that continues other text.
 */

export type Json = Readonly<Record<string, unknown>>

const isObject = (value: unknown): value is Json => typeof value === "object" && value !== null && !Array.isArray(value)

/** A step of the pipeline (normalizer, pre-tokenizer, decoder); sequences are split into their steps. */
const mapSteps = (step: unknown, change: (step: Json) => ReadonlyArray<Json>): ReadonlyArray<Json> => {
  if (!isObject(step)) return []
  for (const key of ["normalizers", "pretokenizers", "decoders", "processors"]) {
    const inner = step[key]
    if (Array.isArray(inner)) return [{ ...step, [key]: inner.flatMap((one) => mapSteps(one, change)) }]
  }
  return change(step)
}

const rewrite = (
  json: Json,
  change: Partial<Record<"normalizer" | "pre_tokenizer" | "decoder", (step: Json) => ReadonlyArray<Json>>>
): Json => {
  const result: Record<string, unknown> = { ...json }
  for (const [key, step] of Object.entries(change)) result[key] = mapSteps(json[key], step)[0] ?? null
  return result
}

/** How a Metaspace step says whether it puts a space in front: newer and older key. */
const prepends = (step: Json): string =>
  typeof step["prepend_scheme"] === "string"
    ? step["prepend_scheme"]
    : step["add_prefix_space"] === false
    ? "never"
    : "always"

/** Turns `▁` into a space and keeps the first space, which the package's Metaspace decoder always drops. */
const plainMetaspace = (step: Json): Json => ({
  type: "Replace",
  pattern: { String: step["replacement"] ?? "▁" },
  content: " "
})

/**
 * Differences of the package (0.2.0) from the Rust library: Metaspace's older key, its `split`, its decoder; `Digits`, which in Rust are all
 * numeric characters (`char::is_numeric`: Nd, Nl, No).
 */
export const asRust = (json: Json): Json =>
  rewrite(json, {
    pre_tokenizer: (step) => {
      if (step["type"] === "Digits") {
        const Regex = step["individual_digits"] === true ? "\\p{N}" : "\\p{N}+"
        return [{ type: "Split", pattern: { Regex }, behavior: "Isolated", invert: false }]
      }
      if (step["type"] !== "Metaspace") return [step]
      const metaspace = { ...step, prepend_scheme: prepends(step) }
      if (step["split"] === false) return [metaspace]
      const mark = String(step["replacement"] ?? "▁")
      const words = { type: "Split", pattern: { Regex: `${mark}[^${mark}]*` }, behavior: "Isolated", invert: false }
      return [{ type: "Sequence", pretokenizers: [metaspace, words] }]
    },
    decoder: (step) => step["type"] === "Metaspace" && prepends(step) === "never" ? [plainMetaspace(step)] : [step]
  })

/** The same without a prefix before the encoded text and without a dropped space in the decoded text. */
export const asContinuation = (json: Json): Json =>
  rewrite(json, {
    normalizer: (step) => step["type"] === "Prepend" ? [] : [step],
    pre_tokenizer: (step) =>
      step["type"] === "Metaspace"
        ? [{ ...step, prepend_scheme: "never" }]
        : step["type"] === "ByteLevel"
        ? [{ ...step, add_prefix_space: false }]
        : [step],
    decoder: (step) =>
      step["type"] === "Metaspace"
        ? [plainMetaspace(step)]
        : step["type"] === "Strip" && step["content"] === " "
        ? [{ ...step, start: 0 }]
        : [step]
  })
