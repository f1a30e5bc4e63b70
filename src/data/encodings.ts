/** How the rows of each role become token ids in a stage with these parameters. */
import type { Codec } from "../engine/engine.ts"
import type { Dataset } from "./dataset.ts"
import { demonstrations, type Encoding, pairs, prompts, texts, unpaired } from "./encode.ts"
import { rankings, steps } from "./encodeJudged.ts"
import { masked, type SftLoss } from "./encodeSft.ts"

/** The parameters that decide it, by the names that they have in every stage. */
export interface Reading {
  /** Of demonstrations: the learned part. */
  readonly learned?: SftLoss
  /** Of prompts: the room for an answer. */
  readonly maxNewTokens?: number
  /** Of answers in steps. */
  readonly separator?: string
  readonly labels?: "binary" | "ternary"
}

export const encodingOf = (
  role: Dataset["role"],
  codec: Codec,
  { labels = "ternary", learned = "completion", maxNewTokens, separator = "" }: Reading = {}
): Encoding<any, any> => {
  switch (role) {
    case "Text":
      return texts(codec)
    case "Prompts":
      return prompts(codec, maxNewTokens)
    case "Demonstrations":
      return masked(codec, learned)
    case "Completions":
    case "ScoredCompletions":
      return demonstrations(codec)
    case "Preferences":
      return pairs(codec)
    case "Rankings":
      return rankings(codec)
    case "UnpairedPreferences":
      return unpaired(codec)
    case "Stepwise":
      return steps(codec, codec.encodeCompletion(separator, { end: false }), labels)
  }
}
