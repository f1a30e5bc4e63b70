/** Laws of losses from outside Keel (`PreferenceLoss.own`, `PolicyLoss.own`). */
import fc from "fast-check"
import assert from "node:assert/strict"
import type { OwnPolicyLoss } from "../../../dsl/PolicyLoss.ts"
import type { OwnPreferenceLoss } from "../../../dsl/PreferenceLoss.ts"
import type { CompletionBatch, LossImplementation, PairBatch } from "../../training/ownLosses.ts"
import { numbers } from "../arrays.ts"
import { gradient, type GradientOptions } from "./loss.ts"

export interface OwnLossOptions extends Pick<GradientOptions<Batch>, "numRuns" | "seed" | "step" | "tolerance"> {
  /** Some part of the loss is held constant, so its gradient is not the slope of its value: no differences. */
  readonly detached?: boolean
}

type Batch = PairBatch | CompletionBatch

/** Log-probabilities, nats, of tokens that are not certain. */
const logps = (length: number) => numbers(-3, -0.01, length)

const offsetsOf = (lengths: ReadonlyArray<number>): Int32Array => {
  let sum = 0
  return Int32Array.from([0, ...lengths.map((length) => sum += length)])
}

const pairs = (reference: boolean): fc.Arbitrary<PairBatch> =>
  fc.array(fc.tuple(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 4 })), { minLength: 1, maxLength: 3 })
    .map((lengths) => offsetsOf([...lengths.map(([chosen]) => chosen), ...lengths.map(([, rejected]) => rejected)]))
    .chain((offsets) =>
      fc.record({
        offsets: fc.constant(offsets),
        logps: logps(offsets.at(-1)!),
        refLogps: reference ? numbers(-6, -0.1, offsets.length - 1) : fc.constant(null),
        margins: numbers(-2, 2, (offsets.length - 1) / 2)
      })
    )

/** With β 0 there is no reference, as in a stage. */
const completions: fc.Arbitrary<CompletionBatch> = fc.tuple(
  fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 4 }).map(offsetsOf),
  fc.oneof(fc.constant(0), fc.double({ min: 0.01, max: 1, noNaN: true }))
).chain(([offsets, beta]) => {
  const tokens = offsets.at(-1)!
  return fc.record({
    offsets: fc.constant(offsets),
    beta: fc.constant(beta),
    logps: logps(tokens),
    oldLogps: logps(tokens),
    samplerLogps: logps(tokens),
    refLogps: beta > 0 ? logps(tokens) : fc.constant(null),
    advantages: numbers(-2, 2, tokens),
    entropies: numbers(0, 2, tokens)
  })
})

/** The rows of a batch in another order; of pairs both rows move. */
const reordered = (batch: Batch, order: ReadonlyArray<number>): Batch => {
  const { offsets } = batch
  const lengths = order.map((row) => offsets[row + 1]! - offsets[row]!)
  const moved = Object.entries(batch).map(([name, of]) => [
    name,
    !(of instanceof Float64Array)
      ? of
      : Float64Array.from(
        name === "margins"
          ? order.slice(0, of.length).map((row) => of[row]!)
          : name === "refLogps" && !("beta" in batch)
          ? order.map((row) => of[row]!)
          : order.flatMap((row) => [...of.subarray(offsets[row], offsets[row + 1])])
      )
  ])
  return { ...Object.fromEntries(moved), offsets: offsetsOf(lengths) }
}

const close = (actual: number, expected: number, what: string) =>
  assert.ok(
    Math.abs(actual - expected) <= 1e-9 * Math.max(1, Math.abs(expected)),
    `${what}: ${actual}, not ${expected}`
  )

/**
 * The function is a loss, with the parameters of `described`: its gradient is the finite difference; its numbers are finite; it
 * changes no array of the batch; the same batch has the same loss; the order of the rows (of pairs: of the pairs) does not matter.
 * A NaN in the batch or in the gradient is found by Keel itself when a stage trains, so no law asks for it.
 */
export const ownLoss = <D extends OwnPreferenceLoss | OwnPolicyLoss>(
  described: D,
  implementation: LossImplementation<D extends OwnPreferenceLoss ? "preference" : "policy", D["name"]>,
  { detached = false, ...options }: OwnLossOptions = {}
): void => {
  const kind = described._tag === "OwnPreferenceLoss" ? "preference" : "policy"
  const names = [`${kind} loss ${described.name}`, `${implementation.kind} loss ${implementation.name}`]
  assert.ok(names[0] === names[1], `the description is of the ${names.join(", the function of the ")}`)
  const batches: fc.Arbitrary<Batch> = described._tag === "OwnPolicyLoss" ? completions : pairs(described.reference)
  // The kind of the loss decides which of the two batches it takes.
  const of = (batch: Batch) => implementation.of(batch as PairBatch & CompletionBatch, described.params)
  if (!detached) gradient(batches, ({ logps }) => logps, (batch, logps) => of({ ...batch, logps }), options)
  fc.assert(
    fc.property(batches.chain((batch) => fc.tuple(fc.constant(batch), shuffled(batch))), ([drawn, order]) => {
      const [batch, before] = [{ ...drawn }, structuredClone(drawn)]
      const one = of(batch)
      assert.deepEqual(batch, before, "the loss changed its input")
      assert.deepEqual(of(batch), one, "a second call gave another loss")
      assert.equal(one.gradient.length, batch.logps.length, "one slope for each token")
      for (const [name, x] of Object.entries({ loss: one.loss, ...one.metrics, ...one.gradient })) {
        assert.ok(Number.isFinite(x), `${name} is ${x}`)
      }
      const moved = of(reordered(batch, order))
      close(moved.loss, one.loss, "the loss in another order")
      const expected = reordered({ ...batch, logps: one.gradient }, order).logps
      expected.forEach((slope, t) => close(moved.gradient[t]!, slope, `slope ${t} in another order`))
    }),
    options
  )
}

const shuffled = (batch: Batch): fc.Arbitrary<ReadonlyArray<number>> => {
  const rows = batch.offsets.length - 1
  const units = Array.from({ length: "beta" in batch ? rows : rows / 2 }, (_, i) => i)
  return fc.shuffledSubarray(units, { minLength: units.length })
    .map((order) => "beta" in batch ? order : [...order, ...order.map((i) => i + units.length)])
}
