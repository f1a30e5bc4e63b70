/** Which model reads the rows on the wires of a stage, and how. */
import * as Artifact from "../../dsl/Artifact.ts"
import { definitionOf, fieldsOf, judgesOf } from "../../dsl/Stage.ts"
import type { Truncating } from "../../dsl/Truncation.ts"
import type { Reading } from "../data/encodings.ts"

export const isModel = ({ node }: Artifact.Any): boolean => Artifact.modelKinds.includes(node.kind)

/** The model with whose tokenizer a stage reads rows; undefined if there is none. */
export const readerOf = (artifact: Artifact.Any): Artifact.Any | undefined => {
  const { op, wires } = artifact.node
  if (op === "Pretrain") return artifact
  const first = Object.keys(wires).find((wire) => wire.startsWith("models."))
  const wire = op === "Cap" ? "from" : op === "Filter" ? "tokenizer" : op === "Merge" ? first : undefined
  const reader = wires[wire ?? definitionOf(artifact.node)?.main ?? ""]
  return reader !== undefined && isModel(reader) ? reader : undefined
}

/** `maxLength` is of the rows that a stage is about, not of rows beside them. */
const beside: Readonly<Record<string, string>> = {
  Ppo: "pretraining",
  Sft: "pretraining",
  OnPolicyDistill: "demonstrations"
}

/** How a stage reads the rows on a wire. */
export const readingOf = (artifact: Artifact.Any, wire: string): Reading & Truncating => {
  const { op, params } = artifact.node
  const { maxLength, maxNewTokens, truncation } = fieldsOf(artifact)
  const { loss } = params as { readonly loss?: unknown }
  const { _tag, labels, separator } = loss as Reading & { readonly _tag?: string } ?? {}
  const trained = !Object.hasOwn(judgesOf(artifact), wire)
  return {
    ...(op === "Sft" ? { learned: loss as NonNullable<Reading["learned"]> } : {}),
    ...(_tag === "Process" ? { labels: labels!, separator: separator! } : {}),
    ...(maxNewTokens === undefined ? {} : { maxNewTokens }),
    ...(trained && maxLength !== undefined && beside[op] !== wire ? { maxLength } : {}),
    ...(trained && truncation !== undefined ? { truncation } : {})
  }
}
