/** Policies that spend KL, capped, so that drawn pipelines satisfy `check`. */
import type * as Artifact from "../../../dsl/Artifact.ts"
import type { Definition } from "../../../dsl/Definition.ts"
import * as Kl from "../../../dsl/Kl.ts"
import * as Pipeline from "../../../dsl/Pipeline.ts"
import { definitionOf, fieldsOf } from "../../../dsl/Stage.ts"
import { type Of, pick, type ShelfPolicy } from "./shelf.ts"

/** KL allotted on the way back from `of`, up to each model it descends from. */
const ancestors = (of: Artifact.Any): ReadonlyArray<{ readonly at: ShelfPolicy; readonly allotted: number }> => {
  const found: Array<{ readonly at: ShelfPolicy; readonly allotted: number }> = []
  let allotted = 0
  let at: Artifact.Any | undefined = of
  while (at !== undefined) {
    const { parent = "", spendsKl }: Pick<Definition, "parent" | "spendsKl"> = definitionOf(at.node) ?? {}
    if (spendsKl === true) allotted += fieldsOf(at).allowance?.mnats ?? 0
    at = at.node.wires[parent]
    if (at !== undefined && at.node.op !== "Cap") found.push({ at: at as ShelfPolicy, allotted })
  }
  return found
}

/**
 * A policy that spends KL, capped: from the `index`-th of the models it descends from, with `slack` milli-nats more than is
 * allotted on the way.
 */
export const capped = (
  policy: Of<"Policy">,
  { index, limits = {}, slack }: {
    readonly index: number
    readonly slack: number
    readonly limits?: Omit<Pipeline.Limits, "kl" | "from">
  }
): ShelfPolicy => {
  const { allotted, at } = pick(ancestors(policy), index)
  return Pipeline.cap(policy, {
    ...limits,
    kl: Kl.mnatsPerSequence<number>(allotted + slack),
    from: at
  }) as ShelfPolicy
}
