import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Pairwise } from "../../dsl/Judge.ts"
import type { Compare } from "../../dsl/stages/Compare.ts"
import { encodePrompts, textsOf } from "../data/encode.ts"
import type { PromptRow } from "../data/rows.ts"
import { CurrentEngine } from "../engine/current.ts"
import type { Weights } from "../engine/engine.ts"
import { Judge } from "../rewards/judge.ts"
import { stream } from "../sampling/random.ts"
import { type Judge as Opened, openJudge } from "../training/asking.ts"
import { chunked } from "../training/chunks.ts"
import { ofOrders, Orders, ordersBy, preferenceOf, tellJudged } from "../training/judged.ts"
import { observer } from "../training/loop.ts"
import { CurrentRehearsal } from "../training/rehearsal.ts"
import type { Scope } from "../training/scope.ts"

/** Prompts answered at a time: bounds the memory of a call. */
const atOnce = 256

const Compared = Schema.Struct({
  prompt: Schema.String,
  chosen: Schema.String,
  rejected: Schema.String,
  ended: Schema.Struct({ chosen: Schema.Boolean, rejected: Schema.Boolean }),
  /** Of a judge, for the answer that is chosen. */
  orders: Schema.optionalKey(Orders)
})

/** Samples answers and has the labeler or the judge compare every pair of each prompt; see `dsl/stages/Compare.ts`. */
export const compare = Effect.fn("compare")(function*(
  stage: Compare,
  wires: {
    readonly policy: Weights
    readonly prompts: ReadonlyArray<PromptRow>
    readonly judge: Weights | undefined
  },
  scope: Scope
) {
  const [engine, labeler] = [yield* CurrentEngine, yield* Judge]
  const policy = yield* observer(engine.policy, wires.policy)
  const codec = engine.codec(wires.policy)
  const prompts = yield* encodePrompts({ stage: scope.label, codec, context: policy.context }, wires.prompts)
  const k = stage.completionsPerPrompt
  const sampling = { ...stage, topK: 0, topP: 1, stop: codec.stop }

  /** Every pair of different answers to the prompts from number `from` on: equal answers carry no preference. */
  const pairs = (from: number, to: number) => {
    const asked = prompts.slice(from, to).flatMap((prompt) => Array.from({ length: k }, () => prompt))
    const answers = policy.sample(
      asked,
      sampling,
      asked.map((_, i) => `${scope.stream}/${from + Math.floor(i / k)}/${i % k}`)
    )
    const texts = textsOf(codec, answers)
    const found: Array<
      { readonly row: PromptRow; readonly a: Written; readonly b: Written; readonly u: number }
    > = []
    for (let index = from; index < to; index++) {
      const random = stream(`${scope.stream}/${index}/labeler`)
      const first = (index - from) * k
      const written = (i: number): Written => ({ text: texts[i]!, ended: answers[i]!.finished })
      for (let i = first; i < first + k; i++) {
        for (let j = i + 1; j < first + k; j++) {
          const u = random.next()
          if (texts[i] === texts[j]) continue
          found.push({
            row: wires.prompts[index]!,
            a: written(i),
            b: written(j),
            u
          })
        }
      }
    }
    return { pairs: found, tokens: answers.reduce((sum, { completion }) => sum + completion.length, 0) }
  }
  const labelled = ({ prompt }: PromptRow, chosen: Written, rejected: Written): typeof Compared.Type => ({
    prompt,
    chosen: chosen.text,
    rejected: rejected.text,
    ended: { chosen: chosen.ended, rejected: rejected.ended }
  })
  const { gold, judge: how } = stage
  const judge = how === undefined ? undefined : yield* openJudge(scope, how.endpoint, wires.judge)
  const byGold = (from: number, to: number) =>
    Effect.sync(() => {
      const { pairs: found, tokens } = pairs(from, to)
      const rows = found.map(({ a, b, row, u }) =>
        labeler.prefers(gold!, row.prompt, a.text, b.text, u) ? labelled(row, a, b) : labelled(row, b, a)
      )
      return { rows, tokens, metrics: {} }
    })
  const byJudge = Effect.fnUntraced(function*(judge: Opened, how: Pairwise, from: number, to: number) {
    const { pairs: found, tokens } = pairs(from, to)
    const orders = yield* ordersBy(
      judge,
      how,
      found.map(({ a, b, ...pair }) => ({ ...pair, a: a.text, b: b.text }))
    )
    const rows = found.map(({ a, b, row }, i) => {
      const { first, second } = orders[i]!
      return (preferenceOf(orders[i]!) ?? 0.5) >= 0.5
        ? { ...labelled(row, a, b), orders: orders[i]! }
        : { ...labelled(row, b, a), orders: { first: second, second: first } }
    })
    return { rows, tokens, metrics: ofOrders(orders) }
  })

  const chunks = yield* chunked(scope, { comparisons: { items: prompts.length, size: atOnce } })
  const compared = yield* chunks.rows("comparisons", {
    row: Compared,
    generates: k * stage.maxNewTokens,
    rowsPerItem: k * (k - 1) / 2,
    make: (from, to) => judge === undefined ? byGold(from, to) : byJudge(judge, how!, from, to)
  })
  if (judge !== undefined) yield* tellJudged(judge, () => ofOrders(compared.map(({ orders }) => orders!)))
  yield* chunks.finished
  return judge === undefined || (yield* CurrentRehearsal) !== null
    ? compared
    : compared.filter(({ orders }) => (preferenceOf(orders!) ?? 0.5) > 0.5).map((
      { chosen, ended, prompt, rejected }
    ) => (
      { prompt, chosen, rejected, ended }
    ))
}, Effect.scoped)

interface Written {
  readonly text: string
  readonly ended: boolean
}
