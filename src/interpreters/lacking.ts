/** Requirements of a description on the place where it runs: precisions of the engine, implementations, prices. */
import * as Effect from "effect/Effect"
import * as Artifact from "../../dsl/Artifact.ts"
import { label } from "../../dsl/Render.ts"
import { fieldsOf } from "../../dsl/Stage.ts"
import type { Code } from "../../dsl/Verifier.ts"
import type { Engine } from "../engine/engine.ts"
import { canRun } from "../rewards/code/verdict.ts"
import type { Price } from "../store/spent.ts"
import { type KnownShapes, type Problem, problems, Refused } from "./check.ts"
import { type Extensions, lackingExtensions } from "./extensions.ts"
import { currenciesOf } from "./capsOf.ts"
import { feesIn } from "./checks/endpoints.ts"

/** The engines that offer a precision, if not all do. */
const offeredBy: Readonly<Record<string, string>> = {
  bf16:
    "--backend native on a CPU with AVX512-BF16 or AMX (Intel Sapphire Rapids, AMD Zen 4 and later), or --backend torch on an NVIDIA GPU"
}

/** Stages whose precision the engine lacks. An engine without precisions computes exactly. */
export const lackingPrecisions = (
  root: Artifact.Any,
  { precisions }: Pick<Engine, "precisions">
): ReadonlyArray<Problem> =>
  Artifact.lineage(root).flatMap((artifact) => {
    const { precision } = fieldsOf(artifact)
    if (precision === undefined || precisions === undefined || precisions.some((one) => one === precision)) return []
    return [{
      stage: label(artifact),
      problem: `precision ${precision} is not offered here, only ${precisions.join(", ")}; ${precision} needs ${
        offeredBy[precision] ?? "another backend"
      }. Leave precision out to compute in f32`
    }]
  })

/**
 * Caps on money that cannot be enforced without prices. `check` cannot find them: a description names no place to run
 * and no prices but those of judges. Without a price table, a cap holds the fees of judges alone.
 */
export const lackingPrices = (root: Artifact.Any, price: Price | null): ReadonlyArray<Problem> => {
  const fees = Artifact.lineage(root).flatMap(feesIn)
  const other = price === null ? undefined : fees.find((currency) => currency !== price.currency)
  const known = price === null ? fees : [price.currency]
  return Artifact.lineage(root).flatMap((cap) => {
    if (other !== undefined && feesIn(cap).includes(other)) {
      return [{
        stage: label(cap),
        problem: `its judge is paid in ${other} and the price table is in ${price!.currency}: give both in one currency`
      }]
    }
    const others = currenciesOf(cap).filter((currency) => !known.includes(currency))
    if (others.length === 0) return []
    const problem = price === null
      ? "its money is capped and there is no price table: give one with --prices FILE.json, or cap seconds"
      : `its money is capped in ${
        others.join(" and ")
      } and the price table is in ${price.currency}: give both in one currency`
    return [{ stage: label(cap), problem }]
  })
}

/** The verifiers of code anywhere in some parameters. */
const codesIn = (params: unknown): ReadonlyArray<Code> => {
  if (typeof params !== "object" || params === null) return []
  return "_tag" in params && params._tag === "Code" ? [params as Code] : Object.values(params).flatMap(codesIn)
}

/** Stages that run the code of completions, where it cannot be run in isolation. */
export const lackingSandbox = (root: Artifact.Any): Effect.Effect<ReadonlyArray<Problem>> =>
  Effect.map(
    Effect.forEach(Artifact.lineage(root), (artifact) =>
      Effect.forEach(codesIn(artifact.node.params), (code) =>
        Effect.match(canRun(label(artifact), code), {
          onFailure: ({ detail, stage }) => [{ stage, problem: detail }],
          onSuccess: () => []
        }))),
    (found) =>
      found.flat(2)
  )

/** Checkpoints of which only the shape is known, which a run cannot start from. */
export const lackingWeights = (root: Artifact.Any): ReadonlyArray<Problem> =>
  Artifact.lineage(root).flatMap((artifact) => {
    const { family, shape } = fieldsOf(artifact)
    if (artifact.node.op !== "Checkpoint" || shape === undefined) return []
    const { dim, hub, layers, name } = shape
    return [{
      stage: label(artifact),
      problem:
        `${name ?? family} is a shape alone (${layers} layers of ${dim}): it plans, and has no weights to run. ` +
        `Put a checkpoint in its place: ${
          hub === undefined
            ? `Checkpoint.huggingFace("${family}", FOLDER)`
            : `Checkpoint.hub("${family}", "${hub}")`
        }`
    }]
  })

/** The place where a description runs; omitted fields are not checked. */
export interface Tried extends KnownShapes {
  readonly extensions?: Extensions
  /** Whether implementations of its rewards are needed too (default true). */
  readonly rewards?: boolean
  readonly engine?: Pick<Engine, "precisions">
  readonly price?: Price | null
  /** Whether the code of completions is to be run. */
  readonly sandbox?: boolean
}

/** Fails with every mistake of a description and every missing requirement at once. */
export const judged = (
  root: Artifact.Any,
  { engine, extensions, price, rewards = true, sandbox = false, ...known }: Tried
): Effect.Effect<void, Refused> =>
  Effect.gen(function*() {
    const mistakes = [
      ...problems(root, known),
      ...(extensions === undefined ? [] : lackingExtensions(root, extensions, { rewards })),
      ...(engine === undefined ? [] : lackingPrecisions(root, engine)),
      ...(price === undefined ? [] : lackingPrices(root, price)),
      ...(sandbox ? yield* lackingSandbox(root) : [])
    ]
    if (mistakes.length > 0) return yield* new Refused({ problems: mistakes })
  })
