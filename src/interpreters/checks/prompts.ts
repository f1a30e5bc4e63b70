/**
 * The rows of an artefact, or of a model's training data, as boxes: a range of a file's rows or a split of a task, cut
 * again by each `Split` on the way. Disjoint boxes share no prompt; overlapping boxes are assumed to share some.
 */
import { sha256 } from "../../../dsl/Digest.ts"
import * as Artifact from "../../../dsl/Artifact.ts"
import { label } from "../../../dsl/Render.ts"
import { namedBy, type Origin } from "../../../dsl/Source.ts"
import { fieldsOf, judgesOf } from "../../../dsl/Stage.ts"

/** Half open. */
type Range = readonly [from: number, to: number]

/** Rows of one origin that lie within all of the ranges. */
interface Box {
  /** For people: a file, or a task. */
  readonly origin: string
  /** The field with a row's prompt, by which a split goes. */
  readonly prompt: string
  readonly ranges: ReadonlyMap<string, Range>
}

/** An upper bound on rows: the rows in the boxes. */
interface Rows {
  readonly boxes: ReadonlyMap<string, Box>
  /** Ids of data that contain the prompts of all of these rows. */
  readonly within: ReadonlySet<string>
  /** Ids of data whose prompts were removed. */
  readonly without: ReadonlySet<string>
}

const nothing: Rows = { boxes: new Map(), within: new Set(), without: new Set() }
const everything: Range = [-Infinity, Infinity]

const boxed = (boxes: ReadonlyArray<Box>): Rows["boxes"] =>
  new Map(boxes.map((box) => [JSON.stringify([box.origin, box.prompt, [...box.ranges].sort()]), box]))

const meet = ([a, b]: Range, [c, d]: Range): boolean => Math.max(a, c) < Math.min(b, d)

const boxesMeet = (one: Box, two: Box): boolean =>
  one.origin === two.origin &&
  [...one.ranges].every(([key, range]) => meet(range, two.ranges.get(key) ?? everything))

const overlap = <A>(one: ReadonlySet<A>, two: ReadonlySet<A>): boolean => [...one].some((a) => two.has(a))

/** The origin of a prompt that both sets may contain. */
const shared = (one: Rows, two: Rows): string | undefined => {
  if (overlap(one.without, two.within) || overlap(two.without, one.within)) return undefined
  for (const box of one.boxes.values()) {
    for (const other of two.boxes.values()) if (boxesMeet(box, other)) return box.origin
  }
  return undefined
}

/** `./a//b` is `a/b`. */
const plainPath = (path: string | ReadonlyArray<string>): string =>
  (typeof path === "string" ? [path] : path)
    .map((one) => one.split("/").filter((part, i) => part !== "." && (part !== "" || i === 0)).join("/")).join(", ")

/**
 * Tales: every list of prompts is drawn from its whole split, so two lists of a split may share prompts for any counts
 * and seeds. Demonstrations and judged answers are of the split `train`, and text has no prompts.
 */
const ofSource = (role: string, origin: Origin): ReadonlyArray<Box> => {
  if (origin._tag === "Tales") {
    if (role === "Text") return []
    const split = role === "Prompts" || role === "Preferences" ? origin.split : "train"
    return [{ origin: `the ${split} split of tales`, prompt: "", ranges: new Map() }]
  }
  if (origin._tag === "Puzzles") {
    return role === "Text"
      ? []
      : [{ origin: `the ${origin.split} split of ${origin.task}`, prompt: "", ranges: new Map() }]
  }
  if (origin._tag === "Rows") {
    return [{ origin: `the rows ${sha256(JSON.stringify(origin.rows)).slice(0, 8)}`, prompt: "", ranges: new Map() }]
  }
  if (origin._tag === "Described") {
    return [{ origin: `the rows of ${origin.name}`, prompt: "", ranges: new Map() }]
  }
  const from = origin.offset
  const prompt = role === "Text"
    ? "text"
    : origin._tag === "Openings"
    ? origin.words
    : origin.fields["prompt"] ?? "prompt"
  return [{
    origin: plainPath(namedBy(origin)!),
    prompt: String(prompt),
    ranges: new Map([["rows", [from, from + (origin.limit ?? Infinity)] as const]])
  }]
}

/** A split depends only on the prompt and the seed, so splits of equal seed cut all data alike. */
const cut = (boxes: Rows["boxes"], fraction: number, split: string, first: boolean): Rows["boxes"] =>
  boxed([...boxes.values()].map((box) => {
    const key = `${split} by ${box.prompt}`
    const [from, to] = box.ranges.get(key) ?? everything
    const side: Range = first ? [from, Math.min(to, fraction)] : [Math.max(from, fraction), to]
    return { ...box, ranges: new Map([...box.ranges, [key, side]]) }
  }))

/** The union of the sets. */
const common = (sets: ReadonlyArray<ReadonlySet<string>>): ReadonlyArray<string> =>
  [...sets[0] ?? []].filter((id) => sets.every((set) => set.has(id)))

/** Ids of data whose prompts an operation removes. */
const removedBy = ({ node: { op, wires } }: Artifact.Any): ReadonlyArray<string> =>
  op === "Decontaminate" && wires["against"] !== undefined ? [wires["against"].id] : []

/** The rows of each artefact with data; inputs come first. */
const holdings = (all: ReadonlyArray<Artifact.Any>): (artifact: Artifact.Any) => Rows => {
  const held = new Map<string, Rows>()
  // Only they are looked for in `within`, which in a chain of data would otherwise have all data before.
  const removed = new Set(all.flatMap((artifact) => removedBy(artifact)))
  for (const artifact of all) {
    const { id, node: { kind, op, wires } } = artifact
    if (Artifact.modelKinds.includes(kind)) continue
    const { fraction = 1, origin, part, role = "", seed } = fieldsOf(artifact)
    const judged = judgesOf(artifact)
    const from = Object.entries(wires).flatMap(([wire, of]) => wire in judged ? [] : held.get(of.id) ?? [])
    const boxes = op === "Source" && origin !== undefined
      ? boxed(ofSource(role, origin))
      : new Map(from.flatMap(({ boxes }) => [...boxes]))
    held.set(id, {
      boxes: op === "Split" ? cut(boxes, fraction, `split ${seed}`, part === "first") : boxes,
      within: new Set([...removed.has(id) ? [id] : [], ...common(from.map(({ within }) => within))]),
      without: new Set([...removedBy(artifact), ...common(from.map(({ without }) => without))])
    })
  }
  return ({ id }) => held.get(id) ?? nothing
}

/** The wires of a stage with data that its model is trained on. */
const dataOf = (artifact: Artifact.Any): ReadonlyArray<readonly [wire: string, data: Artifact.Any]> => {
  const judged = judgesOf(artifact)
  return Object.entries(artifact.node.wires).filter(([wire, of]) =>
    !(wire in judged) && !Artifact.modelKinds.includes(of.node.kind)
  )
}

const remedy = "use other rows (offset and limit, or the other split), one side of Split.make, or Decontaminate.make"

/** A sentence for each forbidden overlap of the artefacts `all`; inputs come first in `all`. */
export const sharing = (all: ReadonlyArray<Artifact.Any>): (artifact: Artifact.Any) => ReadonlyArray<string> => {
  const rows = holdings(all)

  /** The first stage in the history of a model that trained on rows of `own`, and the origin of these rows. */
  const training = (own: Rows) =>
    Artifact.derived<string | undefined>((stage, before) => {
      const earlier = Object.values(stage.node.wires).map(before).find((found) => found !== undefined)
      if (earlier !== undefined || !Artifact.modelKinds.includes(stage.node.kind)) return earlier
      for (const [, data] of dataOf(stage)) {
        const origin = shared(rows(data), own)
        if (origin !== undefined) return `${label(stage)} was trained on the same prompts, of ${origin}`
      }
      return undefined
    })
  const known = new Map<string, ReturnType<typeof training>>()
  const trainedOn = (models: ReadonlyArray<Artifact.Any>, own: Artifact.Any): string | undefined => {
    const found = known.get(own.id) ?? training(rows(own))
    known.set(own.id, found)
    return models.map(found).find((one) => one !== undefined)
  }

  return (artifact) => {
    const { kind, wires } = artifact.node
    const found: Array<string> = []
    for (const [judged, models = []] of Object.entries(judgesOf(artifact))) {
      const own = wires[judged]
      if (own === undefined) continue
      const trained = trainedOn(
        Object.entries(wires).flatMap(([wire, of]) => models.includes(wire.replace(/\..*/u, "")) ? [of] : []),
        own
      )
      if (trained !== undefined) {
        found.push(
          `its ${judged} ${
            judged === "text" ? "is text" : "are prompts"
          } that a model was trained on (${trained}): ${remedy}`
        )
      }
      if (!Artifact.modelKinds.includes(kind)) continue
      for (const [wire, of] of dataOf(artifact)) {
        const origin = of.id === own.id ? label(of) : shared(rows(of), rows(own))
        if (origin === undefined) continue
        found.push(
          `${wire} and ${judged} share prompts, of ${origin}: KL would be measured on the prompts it trains on; ${remedy}`
        )
      }
    }
    return found
  }
}
