import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { namesOf } from "../../dsl/Verifier.ts"
import type { WinRate } from "../../dsl/Judge.ts"
import type { Evaluate } from "../../dsl/stages/Evaluate.ts"
import { encodePairs, encodePrompts } from "../data/encode.ts"
import type { PreferenceRow, PromptRow } from "../data/rows.ts"
import { CurrentEngine } from "../engine/current.ts"
import type { Weights } from "../engine/engine.ts"
import type { Composed } from "../rewards/composed.ts"
import { answered } from "../rewards/answers.ts"
import { Judge } from "../rewards/judge.ts"
import { judgeable, proxyOf } from "../rewards/rewarding.ts"
import { estimate, type ModelReport, type Report } from "../store/report.ts"
import { type Judge as OpenJudge, openJudge } from "../training/asking.ts"
import { chunked } from "../training/chunks.ts"
import { ofOrders, Orders, ordersBy, preferenceOf, referenced, tellJudged } from "../training/judged.ts"
import { observer } from "../training/loop.ts"
import { openReward } from "../training/openReward.ts"
import { observedRows } from "../training/observedRows.ts"
import type { Scope } from "../training/scope.ts"

/** Prompts or pairs read at a time: bounds the memory of a call. */
const size = 256

/** Reports on models side by side; see `dsl/stages/Evaluate.ts`. Each model answers each prompt once, with the same seeds. */
export const evaluate = Effect.fn("evaluate")(function*(
  stage: Evaluate,
  wires: {
    readonly initial: Weights
    readonly models: Readonly<Record<string, Weights>>
    readonly prompts: ReadonlyArray<PromptRow>
    readonly reward: Composed<Weights> | undefined
    readonly preferences: ReadonlyArray<PreferenceRow> | undefined
    readonly judge: Weights | undefined
  },
  scope: Scope
) {
  const [engine, judge] = [yield* CurrentEngine, yield* Judge]
  const { gold, verifiers = [] } = stage
  yield* answered(scope.label, judge, verifiers, wires.prompts)
  const names = Object.keys(wires.models)
  const initial = yield* observer(engine.policy, wires.initial)
  const reward = wires.reward === undefined ? undefined : yield* openReward(scope, wires.reward, engine.scorer)
  if (wires.reward !== undefined) yield* judgeable(scope.label, judge, wires.reward, wires.prompts)
  const codec = engine.codec(wires.initial)
  const use = { stage: scope.label, codec, context: initial.context }
  const prompts = yield* encodePrompts(use, wires.prompts)
  const pairs = reward === undefined || wires.preferences === undefined
    ? []
    : yield* encodePairs(use, wires.preferences)
  const part = (name: string): string => `models.${name}`
  const { winRate } = stage
  const compared = winRate === undefined ? [] : names.filter((name) => name !== winRate.against)
  const chunks = yield* chunked(
    scope,
    Object.fromEntries([
      ...names.map((name) => [part(name), { items: prompts.length, size }] as const),
      ["preferences", { items: pairs.length, size }] as const,
      ...compared.map((name) => [`wins.${name}`, { items: prompts.length, size }] as const)
    ])
  )

  const models: Array<ModelReport> = []
  const golds: Array<ReadonlyArray<number>> = []
  const texts = new Map<string, ReadonlyArray<string>>()
  for (const [name, weights] of Object.entries(wires.models)) {
    const rows = yield* Effect.scoped(Effect.gen(function*() {
      const policy = yield* observer(engine.policy, weights)
      return yield* chunks.rows(
        part(name),
        observedRows(policy, {
          name,
          stage: scope.label,
          prompts,
          rows: wires.prompts,
          sampling: { maxNewTokens: stage.maxNewTokens, temperature: stage.temperature, stop: codec.stop },
          seed: (i) => `${scope.stream}/${i}`,
          decode: codec.decode,
          gold,
          verifiers,
          initial,
          reward
        })
      )
    }))
    texts.set(name, rows.map(({ text }) => text))
    const known = (values: ReadonlyArray<number | null>) =>
      values.some((value) => value === null) ? null : estimate(values as ReadonlyArray<number>)
    models.push({
      name,
      gold: known(rows.map(({ gold }) => gold)),
      ...(verifiers.length === 0 ? {} : {
        verdicts: Object.fromEntries(
          namesOf(verifiers).map((verifier) => [verifier, estimate(rows.map(({ verdicts }) => verdicts![verifier]!))])
        )
      }),
      proxy: known(rows.map(({ proxy }) => proxy)),
      kl: known(rows.map(({ kl }) => kl)),
      length: estimate(rows.map(({ length }) => length)),
      finished: rows.reduce((sum, { finished }) => sum + finished, 0) / rows.length,
      completions: rows.slice(0, stage.shown).map(({ text }) => text)
    })
    if (gold !== undefined) golds.push(rows.map(({ gold }) => gold!))
  }
  let rewardAccuracy: Report["rewardAccuracy"] = null
  if (reward !== undefined && pairs.length > 0) {
    const right = yield* chunks.rows("preferences", {
      row: Schema.Number,
      make: (from, to) =>
        Effect.gen(function*() {
          const some = pairs.slice(from, to)
          const texts = wires.preferences!.slice(from, to)
          const batch = [...some.map(({ chosen }) => chosen), ...some.map(({ rejected }) => rejected)]
          const asked = (side: "chosen" | "rejected") =>
            texts.map(({ ended, prompt, [side]: completion }, i) => ({
              prompt,
              completion,
              ended: ended?.[side] ?? true,
              row: from + i + 1
            }))
          const questions = [...asked("chosen"), ...asked("rejected")]
          const scores = yield* proxyOf({ stage: scope.label, judge }, reward, questions, batch)
          const rows = some.map((_, i) => scores[i]! > scores[some.length + i]! ? 1 : 0)
          return { rows, tokens: 0, metrics: {} }
        })
    })
    rewardAccuracy = estimate(right)
  }
  if (winRate !== undefined) {
    const { against } = winRate
    const asked = yield* openJudge(scope, winRate.endpoint, wires.judge)
    const orders: Array<Orders> = []
    for (const name of compared) {
      const own = yield* winsOver(chunks.rows, asked, winRate, `wins.${name}`, texts.get(name)!, {
        rows: wires.prompts,
        texts: texts.get(against)
      })
      const wins = own.map(preferenceOf).filter((wins) => wins !== null)
      const at = names.indexOf(name)
      if (wins.length > 0) models[at] = { ...models[at]!, winRate: { against, ...estimate(wins) } }
      orders.push(...own)
    }
    yield* tellJudged(asked, () => ofOrders(orders))
  }
  yield* chunks.finished
  const last = golds.at(-1)
  const report: Report = {
    models,
    rewardAccuracy,
    prompts: wires.prompts.slice(0, stage.shown).map(({ prompt }) => prompt),
    goldGain: last === undefined ? [] : golds.slice(0, -1).map((earlier, i) => ({
      from: names[i]!,
      to: names.at(-1)!,
      difference: estimate(last.map((gold, j) => gold - earlier[j]!))
    }))
  }
  return report
}, Effect.scoped)

/** A model's answers against those of a reference: the answers of another model, or those of the rows. Equal answers are a tie. */
const winsOver = (
  rows: Effect.Success<ReturnType<typeof chunked>>["rows"],
  judge: OpenJudge,
  how: WinRate,
  part: string,
  answers: ReadonlyArray<string>,
  reference: { readonly rows: ReadonlyArray<PromptRow>; readonly texts: ReadonlyArray<string> | undefined }
) =>
  rows(part, {
    row: Orders,
    make: Effect.fnUntraced(function*(from, to) {
      const some = reference.rows.slice(from, to)
      if (reference.texts === undefined) yield* referenced(judge.stage, { reference: true }, some)
      const pairs = some.map((row, i) => ({
        row,
        a: answers[from + i]!,
        b: reference.texts?.[from + i] ?? row.answer!
      }))
      const different = pairs.filter(({ a, b }) => a !== b)
      const judged = yield* ordersBy(judge, how, different)
      const orders = pairs.map((pair) => judged[different.indexOf(pair)] ?? { first: 0.5, second: 0.5 })
      return { rows: orders, tokens: 0, metrics: ofOrders(orders) }
    })
  })
