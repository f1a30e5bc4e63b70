/**
 * The pool of solved prompts (`solvedAgain` of `dsl/Rollout.ts`): which prompts a batch takes, and which have been solved. It is a function of the prompts
 * solved so far and of the place of the batch, so a stage that is resumed with the pool of its checkpoint takes the same prompts.
 */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { stream } from "../sampling/random.ts"
import { batchAt } from "./batches.ts"
import { CurrentRehearsal } from "./rehearsal.ts"

export interface Solved {
  /** The prompts whose last group was solved. */
  readonly rows: ReadonlySet<number>
  /** Prompts that were taken or passed over, in the order of the epochs. */
  readonly taken: number
}

const Saved = Schema.Struct({
  solved: Schema.optionalKey(Schema.Struct({ rows: Schema.Array(Schema.Number), taken: Schema.Number }))
})

/** From the `state` of a checkpoint. */
export const solvedOf = (state: Schema.Json): Solved => {
  const { rows, taken } = Schema.decodeUnknownSync(Saved)(state ?? {}).solved ?? { rows: [], taken: 0 }
  return { rows: new Set(rows), taken }
}

/** As JSON for a checkpoint; nothing in a stage without a pool. */
export const solvedState = ({ rows, taken }: Solved) =>
  taken === 0 && rows.size === 0 ? {} : { solved: { rows: [...rows].sort((a, b) => a - b), taken } }

export interface Drawing {
  /** Of all prompts, and of the batch. */
  readonly count: number
  readonly size: number
  /** The probability that a prompt is one of the pool. */
  readonly again: number
  /** The stage's stream, and the place of the batch in it. */
  readonly key: string
  readonly place: string
}

/**
 * The prompts of a batch. Each is one of the pool, uniformly and none twice, with the probability `again`; else it is the next of the
 * shuffled epochs that is not in the pool. Once all prompts are solved, all are of the pool.
 */
export const drawn = (solved: Solved, { again, count, key, place, size }: Drawing) => {
  const random = stream(`${key}/${place}/solved`)
  const pool = [...solved.rows].sort((a, b) => a - b)
  const all = pool.length === count
  const passedOver = all ? new Set<number>() : solved.rows
  const chosen: Array<number> = []
  let { taken } = solved
  let ofPool = 0
  while (chosen.length < size) {
    if ((random.next() < again || all) && pool.length > 0) {
      chosen.push(pool.splice(random.int(pool.length), 1)[0]!)
      ofPool++
      continue
    }
    let next: number
    do next = batchAt(key, count, 1, taken++)[0]!
    while (passedOver.has(next))
    chosen.push(next)
  }
  return { chosen, ofPool, solved: { rows: solved.rows, taken } satisfies Solved as Solved }
}

/** After the groups of a batch: a prompt whose whole group passed comes into the pool, and another leaves it. */
export const after = (
  { rows, taken }: Solved,
  chosen: ReadonlyArray<number>,
  passed: ReadonlyArray<boolean>,
  groupSize: number
): Solved => {
  const now = new Set(rows)
  chosen.forEach((row, g) => {
    if (passed.slice(g * groupSize, (g + 1) * groupSize).every(Boolean)) now.add(row)
    else now.delete(row)
  })
  return { rows: now, taken }
}

/** Says when every prompt has been solved, and at the end of the stage how many are. */
export const tellSolved = Effect.fnUntraced(function*(
  stage: string,
  before: Solved,
  { rows: { size } }: Solved,
  count: number,
  last: boolean
) {
  if ((yield* CurrentRehearsal) !== null) return
  if (size === count && before.rows.size < count) {
    yield* Console.error(`! ${stage}  all ${count} prompts are solved: every prompt is one of the pool from here on`)
  }
  if (last) yield* Console.error(`${stage}  ${size} of ${count} prompts are in its pool of solved prompts at its end`)
})
