/** A description for people: an indented list and a Mermaid graph. */
import type * as Schema from "effect/Schema"
import * as Artifact from "./Artifact.ts"
import { initialOf, outputsOf } from "./Stage.ts"

/** A list of more items than `most` is shown by its `first`. */
const [most, first] = [24, 3]

/** A parameter for people: a tagged object as its tag with its fields, and of a long list the first three. */
export const short = (value: Schema.Json): string => {
  if (Array.isArray(value)) {
    const more = value.length > most ? [`… ${value.length - first} more`] : []
    return `[${[...value.slice(0, more.length > 0 ? first : most).map(short), ...more].join(", ")}]`
  }
  if (typeof value === "object" && value !== null) {
    const { _tag, ...rest } = value as Readonly<Record<string, Schema.Json>>
    const inner = Object.entries(rest).filter(([, v]) => JSON.stringify(v) !== "{}").map(([k, v]) =>
      `${k} ${short(v!)}`
    )
    return [...(typeof _tag === "string" ? [_tag] : []), ...(inner.length > 0 ? [`(${inner.join(", ")})`] : [])].join(
      " "
    )
  }
  return typeof value === "string" ? value : JSON.stringify(value)
}

/** `sft-1a2b3c4d`: the operation and the beginning of the id; how logs, files and reports call a node. */
export const label = (artifact: Artifact.Any): string => `${artifact.node.op.toLowerCase()}-${artifact.id.slice(0, 8)}`

/** Calls the outputs of a pipeline by their names, in a text that calls them by their labels; a cell of a table keeps its width. */
export const naming = (root: Artifact.Any): (text: string) => string => {
  const names = new Map<string, string>()
  for (const [name, of] of Object.entries(outputsOf(root))) {
    for (const one of [initialOf(of), of]) if (!names.has(label(one))) names.set(label(one), name)
  }
  return names.size === 0 ?
    (text) => text :
    (text) =>
      text.replace(/\b([A-Za-z]+-[0-9a-f]{8})\b(?:( \([^|)]*\))? +\|)?/gu, (whole, label: string, note = "") => {
        const name = names.get(label) ?? label
        return whole === label ? name : `${`${name}${note} `.padEnd(whole.length - 1)}|`
      })
}

const shownIn = (root: Artifact.Any): ReadonlyArray<Artifact.Any> =>
  Artifact.lineage(root).filter(({ node }) => node.op !== "Outputs")

/** One node a line in the order in which they are made, with its wires, then its parameters, defaults last. */
export const text = (root: Artifact.Any): string => {
  const named = naming(root)
  return shownIn(root).map((artifact) => {
    const { node } = artifact
    const wires = Object.entries(node.wires).map(([wire, of]) => `${wire}: ${named(label(of))}`).join("  ")
    const params = Object.entries(node.params as Record<string, Schema.Json>)
    const shown = (written: boolean) =>
      params.filter(([name]) => (node.written?.includes(name) ?? true) === written)
        .map(([name, value]) => `${name}=${short(value)}`)
    const [first, ...defaults] = shown(false)
    const kind = `${node.kind}${node.family === "" ? "" : ` of ${node.family}`}`
    const name = node.op === "Cap" ? label(artifact) : named(label(artifact))
    const op = name === label(artifact) ? "" : `${node.op}, `
    return [
      `${name} → ${op}${kind}${wires === "" ? "" : `   ← ${wires}`}`,
      ...wrap(shown(true), 116, "    "),
      ...(first === undefined ? [] : wrap([`defaults: ${first}`, ...defaults], 116, "    "))
    ].join("\n")
  }).join("\n")
}

/** A parameter that is too long for a line, in parts that end with a comma. */
const broken = (word: string, width: number): ReadonlyArray<string> => {
  const comma = word.lastIndexOf(", ", width - 1)
  return word.length <= width || comma < 0
    ? [word]
    : [word.slice(0, comma + 1), ...broken(word.slice(comma + 2), width)]
}

const wrap = (words: ReadonlyArray<string>, width: number, indent: string): ReadonlyArray<string> => {
  const lines: Array<string> = []
  for (const word of words.flatMap((word) => broken(word, width))) {
    const last = lines.at(-1)
    if (last !== undefined && last.length + 2 + word.length <= width) lines[lines.length - 1] = `${last}  ${word}`
    else lines.push(indent + word)
  }
  return lines
}

/** A Mermaid flowchart: data are rounded, models are boxes, caps are hexagons. */
export const mermaid = (root: Artifact.Any): string => {
  const named = naming(root)
  const box = (artifact: Artifact.Any): string => {
    const { kind, op } = artifact.node
    const name = named(label(artifact))
    const is = op === "Source" || op === "Input" ? kind : op
    const text = name === label(artifact) || op === "Cap" ? is : `${name}: ${is}`
    if (op === "Cap") return `{{"${text}"}}`
    return Artifact.modelKinds.includes(kind) ? `["${text}"]` : `(["${text}"])`
  }
  const nodes = shownIn(root)
  return [
    "flowchart LR",
    ...nodes.map((artifact) => `  ${label(artifact)}${box(artifact)}`),
    ...nodes.flatMap((artifact) =>
      Object.entries(artifact.node.wires).map(([wire, of]) => `  ${label(of)} -- ${wire} --> ${label(artifact)}`)
    )
  ].join("\n")
}
