/** The objective of a reward model, for each loss: the rows of a batch, and the loss of the numbers that the model gives them. */
import * as Effect from "effect/Effect"
import { UnusableData } from "../../dsl/Errors.ts"
import { RewardLoss } from "../../dsl/RewardLoss.ts"
import type { Dataset } from "../data/dataset.ts"
import { type Encoding, type For, pairs, unpaired } from "../data/encode.ts"
import { rankings, separated, steps } from "../data/encodeJudged.ts"
import { placeOf } from "../data/places.ts"
import type { AnyRow } from "../data/rows.ts"
import type { Row } from "../engine/engine.ts"
import { bradleyTerry } from "../losses/bradleyTerry.ts"
import type { Loss } from "../losses/loss.ts"
import { outcome } from "../losses/outcome.ts"
import { processLoss } from "../losses/process.ts"
import { afterLast, afterLastBackward, afterTokens, afterTokensBackward } from "../losses/ragged.ts"
import { kWise, plackettLuce } from "../losses/ranking.ts"

/** A batch as the model reads it, and its loss: `values` and the gradient have a number per position (`Values`). */
export interface RewardBatch {
  readonly rows: ReadonlyArray<Row>
  readonly loss: (values: Float64Array, offsets: Int32Array) => Loss
}

export interface RewardObjective {
  /** Pairs, rankings or answers there are. */
  readonly count: number
  /** They as text, in the same order. */
  readonly from: ReadonlyArray<AnyRow>
  /** The sequences that the model reads for an example. */
  readonly rows: (index: number) => ReadonlyArray<Row>
  readonly batch: (indices: ReadonlyArray<number>) => RewardBatch
}

/** The rows of a data set of the role that a loss learns from; `check` has refused any other. */
const rowsOf = <R extends Dataset["role"]>(data: Dataset, role: R) => {
  if (data.role !== role) throw new Error(`${data.role} where ${role} are needed`)
  return data.rows as Extract<Dataset, { readonly role: R }>["rows"]
}

/** A loss of the scores after the last token of each row. */
const ofScores = (score: (scores: Float64Array) => Loss) => (values: Float64Array, offsets: Int32Array): Loss => {
  const loss = score(afterLast(values, offsets))
  return { ...loss, gradient: afterLastBackward(loss.gradient, offsets) }
}

const groupsOf = (lengths: ReadonlyArray<number>): Int32Array => {
  const groups = new Int32Array(lengths.length + 1)
  lengths.forEach((length, i) => (groups[i + 1] = groups[i]! + length))
  return groups
}

/** Encodes rows: cuts or drops as a stage is told to. */
export type Fitting<E, R> = <A extends object, B>(
  rows: ReadonlyArray<A>,
  encoding: Encoding<A, B>
) => Effect.Effect<{ readonly encoded: ReadonlyArray<B>; readonly rows: ReadonlyArray<A> }, E, R>

/** Of encoded examples: `rows` are the sequences of one, `loss` is that of a batch of them, `laid` the order of its rows. */
const over = <A, E, R>(
  examples: Effect.Effect<{ readonly encoded: ReadonlyArray<A>; readonly rows: ReadonlyArray<object> }, E, R>,
  rows: (example: A) => ReadonlyArray<Row>,
  loss: (batch: ReadonlyArray<A>) => RewardBatch["loss"],
  laid: (batch: ReadonlyArray<A>) => ReadonlyArray<Row> = (batch) => batch.flatMap(rows)
) =>
  Effect.map(examples, ({ encoded: examples, rows: from }): RewardObjective => ({
    count: examples.length,
    from: from as ReadonlyArray<AnyRow>,
    rows: (i) => rows(examples[i]!),
    batch: (indices) => {
      const batch = indices.map((i) => examples[i]!)
      return { rows: laid(batch), loss: loss(batch) }
    }
  }))

/** `rows` of a batch are: of pairs all chosen, then all rejected; of others example by example. */
export const rewardObjective = <E, R>(
  loss: RewardLoss,
  use: For,
  data: Dataset,
  fit: Fitting<E, R>
): Effect.Effect<RewardObjective, UnusableData | E, R> =>
  RewardLoss.match(loss, {
    BradleyTerry: (options) =>
      over(
        fit(rowsOf(data, "Preferences"), pairs(use.codec)),
        ({ chosen, rejected }) => [chosen, rejected],
        (batch) => {
          const margin = Float64Array.from(batch, ({ margin }) => margin)
          return ofScores((scores) => {
            const { gradients, ...rest } = bradleyTerry(scores.slice(0, batch.length), scores.slice(batch.length), {
              ...options,
              margin
            })
            return { ...rest, gradient: Float64Array.of(...gradients.chosen, ...gradients.rejected) }
          })
        },
        (batch) => [...batch.map(({ chosen }) => chosen), ...batch.map(({ rejected }) => rejected)]
      ),
    KWise: (options) => ranked(use, data, fit, (scores, ranks, groups) => kWise(scores, ranks, groups, options)),
    PlackettLuce: () =>
      Effect.andThen(
        strict(use, data),
        ranked(use, data, fit, (scores, _, groups) => plackettLuce(scores, groups))
      ),
    Outcome: () =>
      over(fit(rowsOf(data, "UnpairedPreferences"), unpaired(use.codec)), ({ row }) => [row], (batch) => {
        const labels = batch.flatMap(({ label, row }) => Array.from(row.completion, () => label ? 1 : 0))
        return (values, offsets) => {
          const loss = outcome(afterTokens(values, offsets), labels)
          return { ...loss, gradient: afterTokensBackward(loss.gradient, offsets) }
        }
      }),
    Process: (options) =>
      over(
        Effect.flatMap(
          separated(use, options.separator),
          (after) => fit(rowsOf(data, "Stepwise"), steps(use.codec, after, options.labels))
        ),
        ({ row }) => [row],
        (batch) => (values, offsets) => {
          // After the token that ends the step; a row of n tokens has n + 1 positions.
          const at = batch.flatMap(({ ends }, row) => ends.map((t) => offsets[row]! + row + t + 1))
          const loss = processLoss(
            Float64Array.from(at, (position) => values[position]!),
            batch.flatMap(({ labels }) => labels),
            options.labels
          )
          const gradient = new Float64Array(values.length)
          at.forEach((position, i) => (gradient[position] = loss.gradient[i]!))
          return { ...loss, gradient }
        }
      )
  })

const ranked = <E, R>(
  { codec }: For,
  data: Dataset,
  fit: Fitting<E, R>,
  score: (scores: Float64Array, ranks: ReadonlyArray<number>, groups: Int32Array) => Loss
) =>
  over(fit(rowsOf(data, "Rankings"), rankings(codec)), ({ rows }) => rows, (batch) => {
    const ranks = batch.flatMap(({ ranks }) => ranks)
    const groups = groupsOf(batch.map(({ rows }) => rows.length))
    return ofScores((scores) => score(scores, ranks, groups))
  })

/** Plackett–Luce has no place for ties. */
const strict = ({ stage }: For, data: Dataset): Effect.Effect<void, UnusableData> => {
  const tied = rowsOf(data, "Rankings").findIndex(({ ranks }) => new Set(ranks).size < ranks.length)
  return tied < 0 ? Effect.void : Effect.fail(
    new UnusableData({
      stage,
      problem: `${
        placeOf(rowsOf(data, "Rankings")[tied], tied)
      } has completions that tie, and Plackett–Luce ranks without ties`,
      remedy: "Leave such rows out, or take the loss kWise."
    })
  )
}
