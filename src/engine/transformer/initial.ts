import { templateFile } from "../../model/chatTemplate.ts"
import { modelConfig } from "../../model/config.ts"
import { initial as tensors, llamaConfig } from "../../model/init.ts"
import { plainWords, special, wordLevel } from "../../model/wordLevel.ts"
import type { NewModel, Weights } from "../engine.ts"

/** An untrained Llama with tied embeddings and a word-level tokenizer, as a Hugging Face folder. */
export const initial = (model: NewModel): Weights => {
  const words = plainWords(model.words)
  const template = model.chatTemplate === undefined ? [] : [[templateFile, model.chatTemplate] as const]
  const tokenizer = new Map([...wordLevel(words), ...template])
  const config = llamaConfig({ ...model, vocab: special.length + words.length, tied: true })
  return { config, tensors: tensors(modelConfig(config), model.seed), tokenizer }
}
