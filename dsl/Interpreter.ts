/**
 * Interpreters of your own: a fold over the artefacts of a pipeline, inputs first, with one case for each operation. A
 * missing or extra case is a compile error, for Keel's operations and for the pipeline's operations from outside.
 *
 *     const cost = Interpreter.fold(policy, { Sft: (stage, inputs) => …, Ppo: …, … })
 *
 * An interpreter of only a few operations has a default case for all others:
 *
 * ```ts
 * import { Interpreter, Pretrain, Sft, Source } from "../dsl/index.ts"
 *
 * const base = Pretrain.make({ text: Source.text(Source.tales({ count: 9 })) }, {
 *   family: "tales",
 *   model: { dim: 16, layers: 1, heads: 2, kvHeads: 1, ffn: 24, context: 96 },
 *   steps: 300,
 *   batchSize: 4,
 *   learningRate: 1e-3
 * })
 * const sft = Sft.make({ base, demonstrations: Source.demonstrations(Source.tales({ count: 8 })) }, {
 *   batchSize: 4,
 *   learningRate: 1e-3
 * })
 * const passedOn = (_: object, { inputs }: Interpreter.At<number>) => Math.max(0, ...Object.values(inputs))
 * Interpreter.foldOr(sft, { Pretrain: ({ steps, batchSize }) => steps * batchSize }, passedOn) // => 1200
 * ```
 *
 * `check`, `simulate` and `run` give descriptions Keel's meaning; a fold computes anything else from them: a table of
 * costs, a graph, the method section of a paper (`examples/14-own-interpreter.ts`).
 */
import * as Artifact from "./Artifact.ts"
import * as Pipeline from "./Pipeline.ts"
import type { Stage } from "./Stage.ts"

/** The input of a case, besides the parameters. */
export interface At<R> {
  readonly artifact: Artifact.Any
  /** The results of the fold for the artefacts on the wires. */
  readonly inputs: Readonly<Record<string, R>>
}

/** One case for each of Keel's operations. */
export type Cases<R> = {
  readonly [Op in Stage["_tag"]]: (stage: Extract<Stage, { readonly _tag: Op }>, at: At<R>) => R
}

type OpsOf<X> = X extends `stage ${infer Op}` ? string extends Op ? never : Op : never

/** One case for each operation from outside among the needs `X`. */
export type OwnCases<R, X extends string> = { readonly [Op in OpsOf<X>]: (stage: any, at: At<R>) => R }

type Case<R> = (stage: any, at: At<R>) => R

const each = <R>(root: Artifact.Any, cases: object, otherwise?: Case<R>): ReadonlyMap<Artifact.Any, R> => {
  const results = new Map<string, R>()
  const all = new Map<Artifact.Any, R>()
  for (const artifact of Artifact.lineage(root)) {
    const inputs = Object.fromEntries(
      Object.entries(artifact.node.wires).map(([wire, of]) => [wire, results.get(of.id)!])
    )
    const stage = Pipeline.stageOf(artifact)
    const of = (cases as Readonly<Record<string, Case<R> | undefined>>)[artifact.node.op] ?? otherwise
    if (of === undefined) throw new Error(`no case for ${artifact.node.op}: add one to the interpreter`)
    const result = of(stage._tag === "Extension" ? stage.params : stage, { artifact, inputs })
    results.set(artifact.id, result)
    all.set(artifact, result)
  }
  return all
}

/** The results of the cases for every artefact of a pipeline, inputs first. */
export const foldAll = <R, P extends Artifact.Any>(
  root: P,
  cases: Cases<R> & OwnCases<R, Artifact.OutsideOf<P>>
): ReadonlyMap<Artifact.Any, R> => each(root, cases)

/** The result of the cases for the root artefact. Parameters have to be valid: `check` first. */
export const fold = <R, P extends Artifact.Any>(
  root: P,
  cases: Cases<R> & OwnCases<R, Artifact.OutsideOf<P>>
): R => foldAll(root, cases).get(root)!

/** The same, where `otherwise` is the case of every operation that `cases` has none for. */
export const foldOr = <R, P extends Artifact.Any>(
  root: P,
  cases: Partial<Cases<R> & OwnCases<R, Artifact.OutsideOf<P>>>,
  otherwise: (stage: { readonly _tag: string }, at: At<R>) => R
): R => each<R>(root, cases, otherwise).get(root)!
