import { modelConfig } from "../../model/config.ts"
import { initial as tensors } from "../../model/init.ts"
import { wordLevel } from "../../model/wordLevel.ts"
import type { NewModel, Weights } from "../engine.ts"

/** An untrained Llama with tied embeddings and a word-level tokenizer, as the Hugging Face folder it will be saved as. */
export const initial = (model: NewModel): Weights => {
  const tokenizer = wordLevel(model.words)
  const config = {
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    hidden_act: "silu",
    hidden_size: model.dim,
    intermediate_size: model.ffn,
    num_hidden_layers: model.layers,
    num_attention_heads: model.heads,
    num_key_value_heads: model.kvHeads,
    max_position_embeddings: model.context,
    rms_norm_eps: 1e-5,
    rope_theta: 10000,
    rope_scaling: null,
    tie_word_embeddings: true,
    attention_bias: false,
    mlp_bias: false,
    // wordLevel puts <unk>, <s>, </s>, <pad> before the words.
    bos_token_id: 1,
    eos_token_id: 2,
    pad_token_id: 3,
    vocab_size: model.words.length + 4
  }
  return { config, tensors: tensors(modelConfig(config), model.seed), tokenizer }
}
