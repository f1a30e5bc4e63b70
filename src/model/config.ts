import type { ModelConfig } from "./architecture.ts"
import { architectures } from "./architectures/architectures.ts"
import type { Architecture } from "./architectures/reading.ts"
import { BadCheckpoint } from "./BadCheckpoint.ts"
import { type FieldReader, fields } from "./fields.ts"
import { isEmpty } from "./foreignFields.ts"
import { parseJson } from "./json.ts"

export type { ModelConfig }

const classOf = ({ classes, prefix }: Architecture, head: ModelConfig["head"]): string =>
  classes?.[head] ?? prefix + (head === "lm" ? "ForCausalLM" : "ForSequenceClassification")

/** Architectures that can be loaded, as `config.json` names them. */
export const supported: ReadonlyArray<string> = [...architectures.values()].flatMap((one) => [
  classOf(one, "lm"),
  classOf(one, "score")
])

/** The text of a `config.json` as an object. Throws `BadCheckpoint`. */
export const parseConfig = (text: string, path = "config.json"): Readonly<Record<string, unknown>> => {
  let value: unknown
  try {
    value = parseJson(text)
  } catch (error) {
    // The message may quote several lines of the file.
    const problem = `not JSON (${(error as Error).message.replace(/\s+/gu, " ")})`
    throw new BadCheckpoint({ path, problem, remedy: "Download the file again." })
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new BadCheckpoint({ path, problem: "not a JSON object", remedy: "Point at a Hugging Face model folder." })
  }
  return value as Record<string, unknown>
}

/** Fields that transformers (5.18) takes as floats alone: it refuses a file with 30 where 30.0 was. */
const floats: ReadonlySet<string> = new Set([
  "attn_logit_softcapping",
  "clip_qkv",
  "final_logit_softcapping",
  "initializer_range",
  "layer_norm_eps",
  "layer_norm_epsilon",
  "logit_scale",
  "rms_norm_eps",
  "router_aux_loss_coef",
  "router_jitter_noise"
])

/** The text of a `config.json`. */
export const configText = (raw: Readonly<Record<string, unknown>>): string =>
  `${JSON.stringify(raw, null, 2)}\n`.replaceAll(
    /^ {2}"(\w+)": -?\d+(?=,?$)/gmu,
    (line, key: string) => floats.has(key) ? `${line}.0` : line
  )

/** Fields of every architecture that have no effect on the results: there is no dropout, and weights say their own types. */
const ignored: ReadonlySet<string> = new Set([
  "architectures",
  "attention_dropout",
  "auto_map",
  "cache_implementation",
  "chunk_size_feed_forward",
  "dtype",
  "embd_pdrop",
  "finetuning_task",
  "id2label",
  "initializer_range",
  "is_llama_config",
  "label2id",
  "model_max_length",
  "model_type",
  "neftune_noise_alpha",
  "num_labels",
  "output_attentions",
  "output_hidden_states",
  "pretraining_tp",
  "problem_type",
  "quantization_config",
  "resid_pdrop",
  "return_dict",
  "sep_token_id",
  "task_specific_params",
  "tokenizer_class",
  "torch_dtype",
  "transformers.js_config",
  "transformers_version",
  "unsloth_fixed",
  "unsloth_version",
  "use_cache"
])

/** A field that nothing asked for and that says something. */
const unread = (of: FieldReader, own: ReadonlyArray<string> = []): ReadonlyArray<string> =>
  Object.entries(of.raw).filter(([key, value]) =>
    !of.asked.has(key) && !ignored.has(key) && !own.includes(key) && !/^(_|keel_)/u.test(key) && !isEmpty(value)
  ).map(([key]) => key)

/** The key of `Sizes.idle`. */
export const idleKey = "keel_idle_parameters"

/** Reads a `config.json`. Throws `BadCheckpoint` with every mistake; a field that is not known is one. */
export const modelConfig = (raw: Readonly<Record<string, unknown>>, path = "config.json"): ModelConfig => {
  const family = raw["model_type"]
  const architecture = architectures.get(family as string)
  if (architecture === undefined) {
    throw new BadCheckpoint({
      path,
      problem: `model_type ${JSON.stringify(family) ?? "missing"} is not supported`,
      remedy: `Supported model types: ${[...architectures.keys()].join(", ")} (architectures ${supported.join(", ")}).`
    })
  }
  const of = fields(raw)
  const head = headOf(of, architecture)
  const config = {
    family: architecture.type,
    head,
    carried: architecture.carried ?? null,
    raw,
    ...(raw[idleKey] === undefined ? {} : { idle: of.size(idleKey, 0, Number.MAX_SAFE_INTEGER) }),
    ...architecture.read(of)
  }
  if (raw["quantization_config"] != null) of.wrong("the weights are quantized (quantization_config)")
  for (const key of unread(of, architecture.ignored)) {
    of.wrong(
      `${key} ${JSON.stringify(raw[key]).slice(0, 60)} is not a field of model_type ${architecture.type} that is known`
    )
  }
  if (of.problems.length > 0) {
    throw new BadCheckpoint({
      path,
      problem: of.problems.join("; "),
      remedy: `Use an unmodified checkpoint of one of ${supported.join(", ")}.`
    })
  }
  return config
}

const headOf = (of: FieldReader, architecture: Architecture): ModelConfig["head"] => {
  const names = of.raw["architectures"]
  if (names === undefined || names === null) return "lm"
  const name = Array.isArray(names) && names.length === 1 ? names[0] as unknown : names
  if (name === classOf(architecture, "lm")) return "lm"
  if (name !== classOf(architecture, "score")) {
    const known = `${classOf(architecture, "lm")} and ${classOf(architecture, "score")}`
    of.wrong(
      `architecture ${JSON.stringify(name)} is not supported for model_type ${architecture.type}, only ${known} are`
    )
    return "lm"
  }
  const labels = of.raw["id2label"]
  const count = of.raw["num_labels"] ?? (typeof labels === "object" && labels !== null ? Object.keys(labels).length : 2)
  if (count !== 1) {
    of.wrong(`the classification head has ${JSON.stringify(count)} labels, only 1 (a scalar) is supported`)
  }
  return "score"
}

/**
 * The same model with a scalar head instead of the vocabulary's, or back: the `config.json` that goes with the weights. A new scalar head
 * has no padding token where that is the end: transformers would read the score before the end.
 */
export const withHead = (
  raw: Readonly<Record<string, unknown>>,
  head: ModelConfig["head"]
): Readonly<Record<string, unknown>> => {
  const { eos, family, head: before, pad } = modelConfig(raw)
  const own = architectures.get(family)!
  const { id2label: _i, label2id: _l, num_labels: _n, problem_type: _p, ...rest } = raw
  const named = { ...rest, architectures: [classOf(own, head)] }
  return head === "lm"
    ? named
    : {
      ...named,
      ...(before === "lm" && pad !== null && eos.includes(pad) ? { pad_token_id: null } : {}),
      id2label: { 0: "LABEL_0" },
      label2id: { LABEL_0: 0 }
    }
}
