/** What takes memory, and when: the words of a plan. */

/**
 * Opening the models of a stage; sampling from a KV cache; passes without gradient; forward and backward passes with a gradient, and
 * the update; putting other weights into an open model; reading weights and optimiser for a checkpoint; measuring KL and whatever else is
 * only observed.
 */
export type Phase = "load" | "generation" | "logps" | "update" | "copy" | "save" | "measure"

/** `packed weights` are the copy of every matrix that decoding a few rows reads. `buffers`: integers, rotary tables and other small things. */
export type Term =
  | "weights"
  | "gradients"
  | "optimizer"
  | "activations"
  | "KV cache"
  | "logits"
  | "packed weights"
  | "buffers"

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

/** Of what there is for every layer or matrix: `keys.0`, `packed.head`. */
const numbered: Readonly<Record<string, Term>> = {
  keys: "KV cache",
  values: "KV cache",
  packed: "packed weights"
}

/** The term that a buffer belongs to, by the name under which the engine asks for it. */
export const termOf = (what: string | undefined): Term =>
  what === undefined ? "buffers" : named[what] ?? numbered[what.slice(0, what.indexOf("."))] ?? "activations"
