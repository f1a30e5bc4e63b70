import { modelConfig } from "../../model/config.ts"
import { initial as tensors, llamaConfig } from "../../model/init.ts"
import { wordLevel } from "../../model/wordLevel.ts"
import type { NewModel, Weights } from "../engine.ts"

/** An untrained Llama with tied embeddings and a word-level tokenizer, as a Hugging Face folder. */
export const initial = (model: NewModel): Weights => {
  const tokenizer = wordLevel(model.words)
  // wordLevel puts <unk>, <s>, </s>, <pad> before the words.
  const config = llamaConfig({ ...model, vocab: model.words.length + 4, tied: true })
  return { config, tensors: tensors(modelConfig(config), model.seed), tokenizer }
}
