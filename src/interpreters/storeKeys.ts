/** The keys of a pipeline's nodes in the store, and which of its results are there. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Schema from "effect/Schema"
import * as Artifact from "../../dsl/Artifact.ts"
import { canonical } from "../../dsl/Canonical.ts"
import { sha256 } from "../../dsl/Digest.ts"
import { deciding } from "../../dsl/Instruments.ts"
import { isEnding, keyOfCap, type KlCap } from "../../dsl/KlCap.ts"
import { label } from "../../dsl/Render.ts"
import { initialOf } from "../../dsl/Stage.ts"
import type { Spent } from "../store/spent.ts"
import { Store, type StoreError } from "../store/store.ts"
import { CapsHold } from "../training/budgets.ts"
import { type KeyedKlCap, type MeasuredHow, measuredWithin } from "../training/measuredWithin.ts"
import { capsIn, measuringOf } from "./capsOf.ts"
import { streamsIn } from "./streams.ts"

/**
 * What a node reads beside its description, as JSON: digests of its files, the version of its code; null where it reads nothing.
 * `simulate` and plans read no files, which count by their names there.
 */
export const CurrentContents = Context.Reference<(artifact: Artifact.Any) => Schema.Json>("keel/Contents", {
  defaultValue: () => () => null
})

export interface NodeKeys {
  /** A digest of everything that decides the weights or rows, and of nothing else. Checkpoints have this key. */
  readonly weights: string
  /** A result that a KL cap ended early has this key: a digest of the caps too. Without such caps it is `weights`. */
  readonly capped: string
}

export interface Keys {
  /** Of a node whose inputs' results are known. */
  readonly of: (artifact: Artifact.Any) => NodeKeys | undefined
  /** The key of a result, of the artefact below caps; a capped node's is known once it is in the store. */
  readonly result: (artifact: Artifact.Any) => string | undefined
  /** A node whose result has to be made before the keys of `artifact` are known; itself if they are. */
  readonly first: (artifact: Artifact.Any) => Artifact.Any
  /** Looks for the result of a capped node. */
  readonly look: (artifact: Artifact.Any) => Effect.Effect<string | undefined, StoreError>
  /** Where the checkpoints of a node are. */
  readonly place: (artifact: Artifact.Any) => Effect.Effect<string, StoreError>
  /** Takes the key of a result that was just made. */
  readonly settle: (artifact: Artifact.Any, result: string) => Effect.Effect<void, StoreError>
}

/** Operations without a result of their own. */
export const transparent: ReadonlySet<string> = new Set([
  "Cap",
  "Input",
  "Source",
  "Checkpoint",
  "Ensemble",
  "Reward",
  "Outputs"
])

/** Parameters that only name what is read. */
const named: Readonly<Record<string, (params: { readonly [key: string]: any }) => object>> = {
  Source: ({ origin, ...params }) => ({ ...params, origin: { ...origin, path: null } }),
  Checkpoint: ({ chatTemplate }) => chatTemplate === undefined ? {} : { chatTemplate }
}

/** The keys of the nodes of the pipeline `root`. */
export const keysIn = Effect.fnUntraced(function*(root: Artifact.Any) {
  const [store, contents, holds] = [yield* Store, yield* CurrentContents, yield* CapsHold]
  const [limits, streams] = [capsIn(root), streamsIn(root)]
  const keys = new Map<string, NodeKeys>()
  const results = new Map<string, string>()
  const ending = (artifact: Artifact.Any): ReadonlyArray<KlCap> => holds ? limits(artifact).kl.filter(isEnding) : []
  const result = (artifact: Artifact.Any) => results.get(initialOf(artifact).id)
  /** The artefacts whose keys are part of those of a node. */
  const needs = (artifact: Artifact.Any): ReadonlyArray<Artifact.Any> =>
    Object.values(artifact.node.wires).map(initialOf)

  const keysOf = (artifact: Artifact.Any): NodeKeys => {
    const { op, wires } = artifact.node
    const content = contents(artifact)
    const params = deciding(artifact)
    const weights = sha256(canonical({
      op,
      params: (content === null ? params : named[op]?.(params) ?? params) as Schema.Json,
      content,
      stream: streams(artifact),
      inputs: Object.fromEntries(Object.entries(wires).map(([wire, of]) => [wire, result(of)!]))
    }))
    const caps = keyed(artifact, ending(artifact))
    return {
      weights,
      capped: caps.length === 0
        ? weights
        : sha256(canonical({ weights, caps, measures: measures(artifact) } as never))
    }
  }
  const measures = (artifact: Artifact.Any): MeasuredHow => measuringOf(artifact, limits(artifact))
  const keyed = (artifact: Artifact.Any, caps: ReturnType<typeof ending>): ReadonlyArray<KeyedKlCap> =>
    caps.map(({ from, ...cap }) => ({ ...cap, key: keyOfCap(result(from)!, limits(artifact).measured) }))

  const look = Effect.fnUntraced(function*(artifact: Artifact.Any) {
    const [{ capped, weights }, name] = [keys.get(artifact.id)!, label(artifact)]
    if (yield* store.has(capped, name)) return capped
    if (!(yield* store.has(weights, name))) return undefined
    const measured = (yield* store.told(weights, name)).flatMap((event) =>
      event._tag === "Measured" ? [event.measurement] : []
    )
    const last = Math.max(1, ...measured.map(({ step }) => step))
    const caps = keyed(artifact, limits(artifact).kl)
    return measuredWithin(caps, measures(artifact), measured, last, last) ? weights : undefined
  })
  let pending = Artifact.lineage(root).filter(({ node }) => node.op !== "Cap")
  const advance = Effect.gen(function*() {
    const left: Array<Artifact.Any> = []
    for (const artifact of pending) {
      if (results.has(artifact.id)) continue
      if (!keys.has(artifact.id) && needs(artifact).every(({ id }) => results.has(id))) {
        const { capped, weights } = keysOf(artifact)
        keys.set(artifact.id, { capped, weights })
        const found = capped === weights ? weights : yield* look(artifact)
        if (found !== undefined) results.set(artifact.id, found)
      }
      if (!results.has(artifact.id)) left.push(artifact)
    }
    pending = left
  })
  yield* advance
  return {
    of: ({ id }) => keys.get(id),
    result,
    first: (artifact) => {
      let at = artifact
      for (;;) {
        const next = keys.has(at.id) ? undefined : needs(at).find(({ id }) => !results.has(id))
        if (next === undefined) return at
        at = next
      }
    },
    look,
    // Beside a result that these caps do not take, its own checkpoints would be removed.
    place: Effect.fnUntraced(function*(artifact) {
      const { capped, weights } = keys.get(artifact.id)!
      return capped !== weights && (yield* store.has(weights, label(artifact))) ? capped : weights
    }),
    settle: (artifact, result) =>
      Effect.suspend(() => {
        results.set(artifact.id, result)
        return pending.length === 0 ? Effect.void : advance
      })
  } satisfies Keys as Keys
})

/** Whether the store has the result of a node of the pipeline `root`; `known` are its keys, if they were made before. */
export const finishedIn = Effect.fnUntraced(function*(root: Artifact.Any, known?: Keys) {
  const keys = known ?? (yield* keysIn(root))
  return (artifact: Artifact.Any) => {
    const key = keys.result(artifact)
    return key === undefined || transparent.has(artifact.node.op)
      ? Effect.succeed(false)
      : Effect.flatMap(Store, (store) => store.has(key, label(artifact)))
  }
})

/**
 * Artefacts that are made with `root`, inputs first: without `finished` artefacts, inputs that only they need, and
 * initial models of caps without KL.
 */
export const wantedIn = Effect.fnUntraced(function*<E = never, R = never>(
  root: Artifact.Any,
  finished: (artifact: Artifact.Any) => Effect.Effect<boolean, E, R> = () => Effect.succeed(false)
) {
  const wanted = new Set<string>()
  const left = new Set<string>([root.id])
  for (const artifact of Artifact.lineage(root).toReversed()) {
    if (!left.has(artifact.id) || (yield* finished(artifact))) continue
    const { op, params, wires } = artifact.node
    const needed = op === "Cap" && !Object.hasOwn(params as object, "kl") ? [wires["of"]!] : Object.values(wires)
    for (const { id } of needed) left.add(id)
    if (!transparent.has(op)) wanted.add(artifact.id)
  }
  return Artifact.lineage(root).filter(({ id }) => wanted.has(id))
})

/** The stored spending of each artefact of the pipeline `root`. */
export const spentIn = Effect.fn("spentIn")(function*(root: Artifact.Any, known?: Keys) {
  const store = yield* Store
  const keys = known ?? (yield* keysIn(root))
  const found = new Map<string, Spent>()
  for (const artifact of Artifact.lineage(root)) {
    if (transparent.has(artifact.node.op) || keys.of(artifact) === undefined) continue
    const spent = yield* store.spent(keys.result(artifact) ?? (yield* keys.place(artifact)), label(artifact))
    if (Option.isSome(spent)) found.set(artifact.id, spent.value)
  }
  return found
})
