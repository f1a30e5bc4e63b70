/** Losses from outside Keel (`PreferenceLoss.own`, `PolicyLoss.own`): their functions, and the loss that a stage trains with. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import type { Loss as DescribedPolicyLoss } from "../../dsl/PolicyLoss.ts"
import type { OwnPreferenceLoss, PreferenceLoss } from "../../dsl/PreferenceLoss.ts"
import { dpo } from "../losses/dpo.ts"
import type { Loss } from "../losses/loss.ts"
import { type PolicyBatch, policyGradient } from "../losses/policyGradient.ts"
import { unbroken } from "../rewards/broken.ts"
import { finite, type NotFinite } from "./loop.ts"

type Params = Readonly<Record<string, Schema.Json>>

/** N pairs: N chosen answers, then N rejected ones in the same order. Row i owns `offsets[i] … offsets[i + 1]`. */
export interface PairBatch {
  /** log π of each token, nats. */
  readonly logps: Float64Array
  /** log π_ref of each whole row, nats; null where the loss has no reference. */
  readonly refLogps: Float64Array | null
  /** How much higher each chosen answer scores than the rejected one; 0 where the pair does not say. */
  readonly margins: Float64Array
  readonly offsets: Int32Array
}

/** Completions of one update: `logps`, `oldLogps`, `samplerLogps`, `entropies` and `advantages` of each token. */
export interface CompletionBatch extends Required<PolicyBatch> {
  /** Coefficient of the KL penalty; the function applies it where the description says `KlInOwnLoss`. */
  readonly beta: number
}

interface Batches {
  readonly preference: PairBatch
  readonly policy: CompletionBatch
}

/**
 * A pure function of a batch and the description's parameters: the loss to minimise, its exact gradient in `logps`, and
 * metrics by name, all finite. It changes no array of the batch. `laws.ownLoss` of `keel/testing` tests this.
 */
type Of<B> = (batch: B, params: Params) => Loss

export interface LossImplementation<
  out Kind extends keyof Batches = keyof Batches,
  out Name extends string = string
> {
  readonly kind: Kind
  readonly name: Name
  // A method: implementations of both kinds stand in one list.
  of(batch: Batches[Kind], params: Params): Loss
  /** Of the code: with another version, everything that was trained with it is made again. */
  readonly version?: string | undefined
}

/**
 * The function of the loss on pairs that descriptions call `name`. Change the `version` with the code; without it, the text of the function
 * itself counts, which leaves out the code that it calls.
 */
export const preferenceLoss = <const Name extends string>(
  name: Name,
  of: Of<PairBatch>,
  { version }: { readonly version?: string } = {}
): LossImplementation<"preference", Name> => ({ kind: "preference", name, of, version })

/** The function of the policy-gradient loss that descriptions call `name`; with a `version` as in `preferenceLoss`. */
export const policyLoss = <const Name extends string>(
  name: Name,
  of: Of<CompletionBatch>,
  { version }: { readonly version?: string } = {}
): LossImplementation<"policy", Name> => ({ kind: "policy", name, of, version })

/** The functions that the interpreter was given. */
export const CurrentLosses = Context.Reference<ReadonlyArray<LossImplementation>>("keel/Losses", {
  defaultValue: () => []
})

/** The first mistake in the result of an own loss. */
const wrong = (length: number) => (result: Loss | undefined): string | null => {
  if (typeof result?.loss !== "number") return `returned ${String(result)} instead of { loss, gradient, metrics }`
  if (!(result.gradient instanceof Float64Array)) return "returned a gradient that is no Float64Array"
  return result.gradient.length === length
    ? null
    : `returned a gradient of ${result.gradient.length} numbers for ${length} tokens`
}

/** An own loss. It fails where a number of the batch, loss or gradient is not finite: the stage ends before an update. */
const own = <K extends keyof Batches>(kind: K, { name, params }: { readonly name: string; readonly params: Params }) =>
  Effect.map(CurrentLosses, (losses) => {
    const found = losses.find((one): one is LossImplementation<K> => one.kind === kind && one.name === name)
    if (found === undefined) throw new Error(`no function for the ${kind} loss ${name}: pass it in \`losses\``)
    return Effect.fnUntraced(function*(batch: Batches[K]) {
      const numbers = (of: Readonly<Record<string, unknown>>, whose: string) =>
        finite(Object.fromEntries(
          Object.entries(of).flatMap(([of, all]) =>
            all instanceof Float64Array ? [[`${of} ${whose}`, all.find((x) => !Number.isFinite(x)) ?? 0]] : []
          )
        ))
      yield* numbers({ ...batch }, `for the loss ${name}`)
      const one = unbroken(`${kind} loss`, name, () => found.of(batch, params), wrong(batch.logps.length))
      yield* finite({ [`loss ${name}`]: one.loss })
      yield* numbers({ gradient: one.gradient }, `of the loss ${name}`)
      return one
    })
  })

/** The loss of a stage on pairs. */
export const preferenceLossOf = (
  loss: PreferenceLoss | OwnPreferenceLoss
): Effect.Effect<(batch: PairBatch) => Effect.Effect<Loss, NotFinite>> =>
  "_tag" in loss
    ? own("preference", loss)
    : Effect.succeed(({ logps, margins, offsets, refLogps }) =>
      Effect.sync(() => dpo(logps, refLogps, offsets, loss, margins))
    )

/** Whether a loss reads the log-probabilities of the sampler. */
export const readsSampler = (loss: DescribedPolicyLoss): boolean =>
  loss._tag === "OwnPolicyLoss" || loss.importanceCap !== undefined

/** The loss of a stage that samples. An own loss gets the metrics that stages read, `approx_kl` and `ratio`, as means over tokens. */
export const policyLossOf = (
  loss: DescribedPolicyLoss,
  { maxLength }: { readonly maxLength: number }
): Effect.Effect<(batch: CompletionBatch) => Effect.Effect<Loss, NotFinite>> =>
  loss._tag === "OwnPolicyLoss"
    ? Effect.map(own("policy", loss), (of) =>
      Effect.fnUntraced(function*(batch) {
        const one = yield* of(batch)
        const differences = batch.logps.map((x, t) => x - batch.oldLogps[t]!)
        const mean = (f: (d: number) => number) => differences.reduce((sum, d) => sum + f(d), 0) / differences.length
        return {
          ...one,
          metrics: { ...one.metrics, loss: one.loss, approx_kl: mean((d) => 0.5 * d ** 2), ratio: mean(Math.exp) }
        }
      }))
    : Effect.succeed((batch) => Effect.sync(() => policyGradient(batch, loss, { beta: batch.beta, maxLength })))
