/** `adapter_config.json` of PEFT: every field of `LoraConfig` (0.21), and the scale that a module has by it. */
import { createRequire } from "node:module"
import type * as Re2 from "re2js"
import { type FieldTable, never, off, only, read } from "./foreignFields.ts"

const initialisations = [true, false, null, "gaussian", "eva", "orthogonal"]
const rebased =
  "PEFT takes an initial adapter off the base's weights when it loads this method (PiSSA, OLoRA, CorDA, LoRA-GA, LoftQ)"

export const adapterFields: FieldTable = {
  owner: "LoraConfig of PEFT 0.21",
  file: "adapter_config.json",
  fields: {
    peft_type: read,
    r: read,
    lora_alpha: read,
    rank_pattern: read,
    alpha_pattern: read,
    use_rslora: read,
    target_modules: read,
    modules_to_save: read,
    exclude_modules: never("the tensors say which modules have an adapter"),
    layers_to_transform: never("the tensors say which layers have an adapter"),
    layers_pattern: never("the tensors say which layers have an adapter"),
    task_type: never("the base says what it computes"),
    auto_mapping: never("the class of the base in Python"),
    base_model_name_or_path: never("the base is given beside the adapter"),
    revision: never("the base is given beside the adapter"),
    peft_version: never("the version that wrote the file"),
    inference_mode: never("whether PEFT would train it"),
    lora_dropout: never("dropout is for training alone"),
    megatron_core: never("in use with megatron_config alone"),
    qalora_group_size: never("in use with use_qalora alone"),
    eva_config: never("how the first A was found"),
    init_lora_weights: only(initialisations, rebased),
    bias: only(["none"], "biases of the base are trained"),
    fan_in_fan_out: only([false], "the base has its matrices transposed"),
    use_dora: off("DoRA has a magnitude beside the matrices"),
    lora_bias: off("B has a bias"),
    use_qalora: off("QA-LoRA pools its inputs"),
    use_bdlora: off("BD-LoRA has blocks of matrices"),
    layer_replication: off("layers of the base stand several times"),
    trainable_token_indices: off("rows of the embedding are trained"),
    target_parameters: off("parameters that are no modules are trained"),
    alora_invocation_tokens: off("the adapter counts after these tokens alone"),
    arrow_config: off("several adapters are mixed by a router"),
    kasa_config: off("KaSA has singular values beside the matrices"),
    monteclora_config: off("MonteCLoRA draws the matrices"),
    velora_config: off("VeLoRA has projections beside the matrices"),
    loftq_config: off(rebased),
    corda_config: off(rebased),
    lora_ga_config: off(rebased),
    megatron_config: off("matrices are divided over devices"),
    ensure_weight_tying: off("the embedding and the head are trained as one")
  }
}

/** The fields that decide the scale of a module. */
export interface Scaling {
  readonly r: number
  readonly lora_alpha: number
  readonly use_rslora?: boolean | undefined
  readonly rank_pattern?: Readonly<Record<string, number>> | null | undefined
  readonly alpha_pattern?: Readonly<Record<string, number>> | null | undefined
}

/**
 * The first key of the pattern that the module's name ends in, after a dot or as a whole, as `get_pattern_key` of PEFT has it. Keys are
 * regular expressions, which RE2 reads in linear time: throws for a key that it cannot read.
 */
const valueOf = (
  pattern: Readonly<Record<string, number>> | null | undefined,
  module: string,
  otherwise: number
): number => {
  const entries = Object.entries(pattern ?? {})
  if (entries.length === 0) return otherwise
  const { RE2JS } = createRequire(import.meta.url)("re2js") as typeof Re2
  for (const [key, value] of entries) {
    if (RE2JS.matches(`(.*\\.)?(${key})`, module)) return value
  }
  return otherwise
}

/** Rank and scale of a module: α/r, or α/√r with rank-stabilised scaling (arXiv 2312.03732). */
export const scalingOf = (config: Scaling, module: string): { readonly rank: number; readonly scale: number } => {
  const rank = valueOf(config.rank_pattern, module, config.r)
  const alpha = valueOf(config.alpha_pattern, module, config.lora_alpha)
  return { rank, scale: alpha / (config.use_rslora === true ? Math.sqrt(rank) : rank) }
}
