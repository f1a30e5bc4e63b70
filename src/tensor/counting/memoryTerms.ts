/** The terms and phases of memory in a plan. */

/**
 * Opening the models of a stage; sampling from a KV cache; passes without gradient; passes with a gradient, and the
 * update; replacing the weights of an open model; reading weights and optimiser for a checkpoint; measuring KL and
 * other observations.
 */
export type Phase = "load" | "generation" | "logps" | "update" | "copy" | "save" | "measure"

/** `packed weights`: copies of matrices for decoding a few rows. `buffers`: integers, rotary tables and so on. */
export type Term =
  | "weights"
  | "gradients"
  | "optimizer"
  | "activations"
  | "KV cache"
  | "logits"
  | "packed weights"
  | "buffers"

/** A model's state, which devices divide among them (ZeRO, Rajbhandari et al. 2020, stage 3), and its copies for decoding. */
export const state: ReadonlySet<Term> = new Set(["weights", "gradients", "optimizer", "packed weights"])

const named: Readonly<Record<string, Term>> = {
  weights: "weights",
  merged: "weights",
  gradients: "gradients",
  optimizer: "optimizer",
  logits: "logits",
  sharedLogits: "logits",
  spareLogits: "logits",
  teacherLogits: "logits",
  uniforms: "buffers",
  chosenTokens: "buffers",
  chosenLogps: "buffers"
}

/** Terms of numbered buffers, for every layer or matrix: `keys.0`, `packed.head`. */
const numbered: Readonly<Record<string, Term>> = {
  keys: "KV cache",
  values: "KV cache",
  packed: "packed weights"
}

/** The term of a buffer, by the engine's name for it. */
export const termOf = (what: string | undefined): Term =>
  what === undefined ? "buffers" : named[what] ?? numbered[what.slice(0, what.indexOf("."))] ?? "activations"
