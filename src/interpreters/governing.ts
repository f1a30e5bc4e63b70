/**
 * Which caps govern which artefacts of a pipeline. A cap governs everything that its artefact was made from, and not what its initial model
 * `from` is or was made from. Pipelines have ten thousand nodes, and chains of as many caps: sets of artefacts for each cap, or of caps for
 * each artefact, would be 10⁸ entries, so artefacts share lists.
 */
import * as Artifact from "../../dsl/Artifact.ts"

/** The caps with one initial model that govern an artefact: `cap`, and the others in `rest`. */
export interface Governing<E> {
  readonly cap: Artifact.Any
  readonly rest: Governing<E> | undefined
  readonly size: number
  /** What the caller adds up over the caps. */
  readonly sum: E
}

export const listed = <E>(all: ReadonlyArray<Governing<E>>): ReadonlyArray<Artifact.Any> => {
  const caps: Array<Artifact.Any> = []
  for (const one of all) for (let at: Governing<E> | undefined = one; at !== undefined; at = at.rest) caps.push(at.cap)
  return caps
}

export const someListed = <E>(all: ReadonlyArray<Governing<E>>, is: (cap: Artifact.Any) => boolean): boolean => {
  for (const one of all) {
    for (let at: Governing<E> | undefined = one; at !== undefined; at = at.rest) if (is(at.cap)) return true
  }
  return false
}

/** Whether one artefact stands in the history of another or is it, asked of many. */
type Within = (artifact: Artifact.Any, of: Artifact.Any) => boolean

/**
 * Of models `ofs`, inputs first. Models that were made from one another share a history: an artefact has the number of the first of them
 * that it belongs to, so the whole history is walked once, and not for each.
 */
const histories = (ofs: ReadonlyArray<Artifact.Any>): Within => {
  interface Line {
    readonly numbers: Map<string, number>
    last: string
  }
  const lines: Array<Line> = []
  const places = new Map<string, readonly [line: Line, number: number]>()
  ofs.forEach((of, number) => {
    const goesOn = lines.find((line) => {
      const fresh: Array<string> = []
      const [seen, stack] = [new Set<string>(), [of]]
      let met = false
      for (let at = stack.pop(); at !== undefined; at = stack.pop()) {
        met ||= at.id === line.last
        if (seen.has(at.id) || line.numbers.has(at.id)) continue
        seen.add(at.id)
        fresh.push(at.id)
        stack.push(...Object.values(at.node.wires))
      }
      if (met) { for (const id of fresh) line.numbers.set(id, number) }
      return met
    })
    const line = goesOn ?? {
      numbers: new Map(Artifact.lineage(of).map(({ id }) => [id, number])),
      last: of.id
    }
    if (goesOn === undefined) lines.unshift(line)
    line.last = of.id
    places.set(of.id, [line, number])
  })
  return ({ id }, of) => {
    const [line, number] = places.get(of.id)!
    return (line.numbers.get(id) ?? Infinity) <= number
  }
}

/** The lists of caps, one for each initial model, that govern an artefact of the pipeline `root`; `add` adds a cap to a sum. */
export const governing = <E>(
  root: Artifact.Any,
  add: (cap: Artifact.Any, to: E | undefined) => E
): (artifact: Artifact.Any) => ReadonlyArray<Governing<E>> => {
  const all = Artifact.lineage(root)
  const places = new Map(all.map(({ id }, place) => [id, place]))
  const place = ({ id }: Artifact.Any): number => places.get(id)!
  const [froms, groups] = [new Map<string, Artifact.Any>(), new Map<string, Array<Artifact.Any>>()]
  for (const cap of all) {
    const { op, wires: { from, of } } = cap.node
    if (op !== "Cap" || of === undefined) continue
    if (from !== undefined) froms.set(from.id, from)
    const group = groups.get(from?.id ?? "")
    if (group === undefined) groups.set(from?.id ?? "", [cap])
    else group.push(cap)
  }
  const within = histories([...froms.values()].sort((a, b) => place(a) - place(b)))

  const cons = (cap: Artifact.Any, rest: Governing<E> | undefined): Governing<E> => ({
    cap,
    rest,
    size: 1 + (rest?.size ?? 0),
    sum: add(cap, rest?.sum)
  })
  /** Both lists; mostly one is the end of the other. */
  const union = (one: Governing<E> | undefined, other: Governing<E>): Governing<E> => {
    if (one === undefined) return other
    const [longer, shorter] = one.size < other.size ? [other, one] : [one, other]
    let end: Governing<E> | undefined = longer
    while (end !== undefined && end.size > shorter.size) end = end.rest
    if (end === shorter) return longer
    const caps = new Set(listed([one, other]))
    return [...caps].sort((a, b) => place(b) - place(a)).reduce<Governing<E> | undefined>(
      (rest, cap) => cons(cap, rest),
      undefined
    )!
  }

  const found = new Map<string, Array<Governing<E>>>()
  for (const [id, caps] of groups) {
    const from = froms.get(id)
    const [region, stack] = [new Map<string, Artifact.Any>(), caps.map((cap) => cap.node.wires["of"]!)]
    for (let at = stack.pop(); at !== undefined; at = stack.pop()) {
      if (region.has(at.id) || (from !== undefined && within(at, from))) continue
      region.set(at.id, at)
      stack.push(...Object.values(at.node.wires))
    }
    const starts = new Map<string, Array<Artifact.Any>>()
    for (const cap of caps) {
      const of = cap.node.wires["of"]!.id
      starts.set(of, [...starts.get(of) ?? [], cap])
    }
    const lists = new Map<string, Governing<E>>()
    // Consumers first: the list of an artefact is whole before it is passed on to its inputs.
    for (const at of [...region.values()].sort((a, b) => place(b) - place(a))) {
      const list = (starts.get(at.id) ?? []).reduce<Governing<E> | undefined>(
        (rest, cap) => cons(cap, rest),
        lists.get(at.id)
      )!
      found.set(at.id, [...found.get(at.id) ?? [], list])
      for (const input of Object.values(at.node.wires)) {
        if (region.has(input.id)) lists.set(input.id, union(lists.get(input.id), list))
      }
    }
  }
  return ({ id }) => found.get(id) ?? []
}
