import type { ModelConfig } from "../../model/architecture.ts"
import { tables } from "../../model/rope.ts"
import type { Backend, Host, Tensor } from "../../tensor/backend.ts"

/** Cosines and sines of a rotary embedding, [positions, turned / 2]. */
export interface Rotary {
  readonly cos: Tensor
  readonly sin: Tensor
}

/** Tables of each rope for `positions` positions, at most the model's context: they double when a longer sequence comes. */
export interface RotaryTables {
  readonly upTo: (positions: number) => ReadonlyArray<Rotary>
  /**
   * Rows of the tables for positions of sequences of these lengths. They are the positions themselves, unless the model turns
   * longer sequences differently (LongRoPE): its tables for these stand behind the others.
   */
  readonly rowsOf: (positions: Int32Array, lengthOf: (row: number) => number) => Int32Array
  /** The length, tokens, beyond which a sequence turns differently. */
  readonly original: number
  readonly dispose: () => void
}

export const rotaryTables = (backend: Backend, { context, ropes }: ModelConfig): RotaryTables => {
  let held: { readonly tables: ReadonlyArray<Rotary>; readonly positions: number } | null = null
  const dispose = (): void => {
    for (const { cos, sin } of held?.tables ?? []) {
      backend.free(cos)
      backend.free(sin)
    }
    held = null
  }
  const original = Math.min(...ropes.map((rope) => rope.type === "longrope" ? rope.originalContext : Infinity))
  const differs = original < context
  const put = (parts: ReadonlyArray<Host>): Tensor => {
    const made = backend.reals(parts.reduce((sum, { length }) => sum + length, 0))
    let at = 0
    for (const part of parts) {
      backend.write(made, part, at)
      at += part.length
    }
    return made
  }
  return {
    upTo: (positions) => {
      const enough = Math.min(context, Math.max(512, 2 ** Math.ceil(Math.log2(positions))))
      if (held !== null && held.positions >= enough) return held.tables
      dispose()
      const made = ropes.map((rope) => {
        const rows = differs ? original + (enough > original ? enough : 0) : enough
        const none = backend.unread?.(rows * rope.dim / 2)
        if (none !== undefined) return { cos: put([none]), sin: put([none]) }
        const values = differs
          ? [tables(rope, context, original), ...(enough > original ? [tables(rope, context, enough)] : [])]
          : [tables(rope, context, enough)]
        return { cos: put(values.map(({ cos }) => cos)), sin: put(values.map(({ sin }) => sin)) }
      })
      held = { tables: made, positions: enough }
      return made
    },
    rowsOf: (positions, lengthOf) =>
      differs ? positions.map((at, row) => lengthOf(row) > original ? original + at : at) : positions,
    original: differs ? original : Infinity,
    dispose
  }
}
