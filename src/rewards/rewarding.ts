/** Asks the leaves of a reward: values of reward models, verdicts of verifiers. */
import * as Effect from "effect/Effect"
import { UnusableData } from "../../dsl/Errors.ts"
import { encodeDemonstrations } from "../data/encode.ts"
import type { PromptRow } from "../data/rows.ts"
import { type Codec, offsetsOf, type Row, type Scorer, type Weights } from "../engine/engine.ts"
import { afterLast } from "../losses/ragged.ts"
import { answered } from "./answers.ts"
import {
  asked,
  combined,
  type Composed,
  type JudgeLeaf,
  kindOf,
  type Leaf,
  leavesOf,
  type Moment,
  withModels
} from "./composed.ts"
import type { Judge } from "./judge.ts"
import type { Question } from "./verifier.ts"

/** An open reward model, with the tokenizer of its weights. */
export interface OpenModel {
  readonly scorer: Scorer
  readonly codec: Codec
}

export type OpenReward = Composed<OpenModel>

/** A reward whose models are open, each once. */
export const opened = Effect.fnUntraced(function*<E, R>(
  reward: Composed<Weights>,
  open: (weights: Weights) => Effect.Effect<Scorer, E, R>,
  codec: (weights: Weights) => Codec,
  judge: (leaf: JudgeLeaf) => Effect.Effect<JudgeLeaf, E, R>
) {
  const models = new Map<Weights, OpenModel>()
  const judges = new Map<JudgeLeaf, JudgeLeaf>()
  for (const leaf of leavesOf(reward)) {
    if (leaf._tag === "Judge") judges.set(leaf, yield* judge(leaf))
    if (leaf._tag !== "Model" || models.has(leaf.model)) continue
    models.set(leaf.model, { scorer: yield* open(leaf.model), codec: codec(leaf.model) })
  }
  return withModels(reward, (weights) => models.get(weights)!, (leaf) => judges.get(leaf)!)
})

type Judging = Pick<Judge["Service"], "verifies" | "unreachable" | "kindOf">

export const momentOf = (judge: Judging, step = Infinity): Moment => ({ step, kindOf: judge.kindOf ?? kindOf })

/** Whether a reward reads texts, not only tokens. */
export const readsText = <M>(reward: Composed<M>): boolean =>
  leavesOf(reward).some((leaf) => leaf._tag !== "Model" || leaf.after !== null)

/** Fails when the reward of a row's kind, or the answer that one of its verifiers needs, is not there. */
export const judgeable = Effect.fnUntraced(function*<M>(
  stage: string,
  judge: Judging,
  reward: Composed<M>,
  rows: ReadonlyArray<PromptRow>
) {
  const questions = rows.map((row, i): Question => ({ ...row, completion: "", row: i + 1 }))
  const without: Array<
    { readonly row: number; readonly column: string; readonly kind: unknown; readonly kinds: string }
  > = []
  const leaves = asked(reward, questions, momentOf(judge), (row, column, kind, kinds) => {
    without.push({ row: row + 1, column, kind, kinds: kinds.join(", ") })
  })
  const [first, ...more] = without
  if (first !== undefined) {
    const has = first.kind === undefined
      ? `no column "${first.column}"`
      : `the ${first.column} ${JSON.stringify(first.kind)}`
    const others = more.length === 0 ? "" : ` (as ${more.length} more of ${rows.length})`
    return yield* new UnusableData({
      stage,
      problem: `row ${first.row} of its prompts has ${has}, and its reward is for the kinds ${first.kinds}${others}`,
      remedy: "Add a reward for it to Reward.byKind, name the column that holds the kind, or leave such rows out."
    })
  }
  for (const [leaf, at] of leaves) {
    if (leaf._tag === "Verify") yield* answered(stage, judge, [leaf.verifier], at.map((row) => questions[row]!))
  }
})

const end = (text: string, after: string): string => {
  const at = text.lastIndexOf(after)
  return at < 0 ? "" : text.slice(at + after.length)
}

/** The number of each leaf for each completion, null where it is not asked; only leaves of which `which` is true are. `rowsFor` are the completions as a model reads them. */
export const numbersOf = Effect.fnUntraced(function*<E = never, R = never>(
  { judge, stage }: { readonly stage: string; readonly judge: Judging },
  reward: OpenReward,
  questions: ReadonlyArray<Question>,
  rowsFor: (model: OpenModel) => Effect.Effect<ReadonlyArray<Row>, E, R>,
  moment: Moment,
  which: (leaf: Leaf<OpenModel>) => boolean = () => true
) {
  const numbers = new Map<Leaf<OpenModel>, ReadonlyArray<number | null>>()
  const rowsOf = asked(reward, questions, moment)
  for (const leaf of leavesOf(reward)) {
    const values = new Array<number | null>(questions.length).fill(null)
    numbers.set(leaf, values)
    const at = which(leaf) ? rowsOf.get(leaf) ?? [] : []
    if (at.length === 0) continue
    const some = at.map((row) => questions[row]!)
    let found: ArrayLike<number>
    if (leaf._tag === "Verify") {
      // A server or a process may keep it waiting: a stop gets through, and nothing has been learnt yet in this step.
      found = yield* Effect.interruptible(judge.verifies(stage, leaf.verifier, some))
    } else if (leaf._tag === "Judge") {
      found = yield* leaf.ask!(some)
    } else {
      const { after, model } = leaf
      const { codec, scorer } = model
      const rows = after === null
        ? yield* Effect.map(rowsFor(model), (all) => at.length === all.length ? all : at.map((row) => all[row]!))
        : yield* encodeDemonstrations(
          { stage, codec, context: scorer.context, told: true },
          some.map(({ completion, ended, prompt }) => ({
            prompt,
            completion: end(completion, after),
            ...(ended === undefined ? {} : { ended })
          }))
        )
      found = afterLast(scorer.values(rows).values, offsetsOf(rows))
    }
    at.forEach((row, i) => (values[row] = found[i]!))
  }
  return numbers
})

/** The reward of sampled completions as it is observed: not whitened. */
export const proxyOf = Effect.fnUntraced(function*(
  use: { readonly stage: string; readonly judge: Judging },
  reward: OpenReward,
  questions: ReadonlyArray<Question>,
  rows: ReadonlyArray<Row>,
  step = Infinity
) {
  const moment = momentOf(use.judge, step)
  const numbers = yield* numbersOf(use, reward, questions, () => Effect.succeed(rows), moment)
  return (yield* combined(use.stage, reward, numbers, questions, moment, { whitened: false })).scores
})
