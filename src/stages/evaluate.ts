import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { namesOf } from "../../dsl/Verifier.ts"
import type { WinRate } from "../../dsl/Judge.ts"
import type { Evaluate } from "../../dsl/stages/Evaluate.ts"
import { encodePairs, encodePrompts } from "../data/encode.ts"
import type { PreferenceRow, PromptRow, TextRow } from "../data/rows.ts"
import { encodeWindows } from "../data/windows.ts"
import { CurrentEngine } from "../engine/current.ts"
import type { Weights } from "../engine/engine.ts"
import { meanOf, scoresOf } from "../evaluation/scores.ts"
import { winRate as winRateOf } from "../evaluation/winRate.ts"
import type { ObservedRow } from "../ledger/observe.ts"
import { answered } from "../rewards/answers.ts"
import type { Composed } from "../rewards/composed.ts"
import { Judge } from "../rewards/judge.ts"
import { judgeable, proxyOf } from "../rewards/rewarding.ts"
import { estimate, type ModelReport, type Report, type Sample } from "../store/report.ts"
import { type Judge as OpenJudge, openJudge } from "../training/asking.ts"
import { chunked } from "../training/chunks.ts"
import { likelihoods, textReport, type TextRows } from "../training/likelihoods.ts"
import { observer } from "../training/loop.ts"
import { observedRows } from "../training/observedRows.ts"
import { compared } from "../training/compared.ts"
import { ofOrders, Orders, ordersBy, preferenceOf, referenced, tellJudged } from "../training/judged.ts"
import { openReward } from "../training/openReward.ts"
import { CurrentRehearsal } from "../training/rehearsal.ts"
import type { Scope } from "../training/scope.ts"

/** Completions or pairs read at a time: bounds the memory of a call, and the work that a kill costs. */
const size = 64

/** Documents read at a time. */
const documents = 32

/** Reports on models side by side; see `dsl/stages/Evaluate.ts`. Each model answers each prompt with the same seeds. */
export const evaluate = Effect.fn("evaluate")(function*(
  stage: Evaluate,
  wires: {
    readonly initial: Weights
    readonly models: Readonly<Record<string, Weights>>
    readonly prompts: ReadonlyArray<PromptRow> | undefined
    readonly reward: Composed<Weights> | undefined
    readonly preferences: ReadonlyArray<PreferenceRow> | undefined
    readonly text: ReadonlyArray<TextRow> | undefined
    readonly judge: Weights | undefined
  },
  scope: Scope
) {
  const [engine, judge] = [yield* CurrentEngine, yield* Judge]
  const { completionsPerPrompt: n = 1, gold, passAt = [], verifiers = [] } = stage
  const asked = wires.prompts ?? []
  yield* answered(scope.label, judge, verifiers, asked)
  const names = Object.keys(wires.models)
  const initial = yield* observer(engine.policy, wires.initial)
  const reward = wires.reward === undefined ? undefined : yield* openReward(scope, wires.reward, engine.scorer)
  if (wires.reward !== undefined) yield* judgeable(scope.label, judge, wires.reward, asked)
  const codec = engine.codec(wires.initial)
  const use = { stage: scope.label, codec, context: initial.context }
  const prompts = wires.prompts === undefined ? [] : yield* encodePrompts(use, wires.prompts)
  const texts = wires.text === undefined ? [] : yield* encodeWindows(use, wires.text)
  const pairs = reward === undefined || wires.preferences === undefined
    ? []
    : yield* encodePairs(use, wires.preferences)
  const part = (name: string): string => `models.${name}`
  const { winRate } = stage
  const contenders = winRate === undefined ? [] : names.filter((name) => name !== winRate.against)
  const textPart = (name: string): string => `text.${name}`
  const chunks = yield* chunked(
    scope,
    Object.fromEntries([
      ...names.flatMap((name) => [
        [part(name), { items: prompts.length, size: Math.max(1, Math.floor(size / n)) }] as const,
        ...(texts.length === 0 ? [] : [[textPart(name), { items: texts.length, size: documents }] as const])
      ]),
      ["preferences", { items: pairs.length, size }] as const,
      ...contenders.map((name) => [`wins.${name}`, { items: prompts.length, size }] as const)
    ])
  )

  const models: Array<ModelReport> = []
  /** The rows of each model, by prompt, and its likelihoods. */
  const all: Array<{ readonly rows: ReadonlyArray<ReadonlyArray<ObservedRow>>; readonly text: TextRows }> = []
  for (const [name, weights] of Object.entries(wires.models)) {
    const { rows, text } = yield* Effect.scoped(Effect.gen(function*() {
      const policy = yield* observer(engine.policy, weights)
      const rows = yield* chunks.rows(
        part(name),
        observedRows(policy, {
          name,
          stage: scope.label,
          prompts,
          rows: asked,
          completions: n,
          sampling: { maxNewTokens: stage.maxNewTokens, temperature: stage.temperature, stop: codec.stop },
          ...(stage.stop === undefined ? {} : { stopTexts: stage.stop }),
          seed: (i) => `${scope.stream}/${i}`,
          decode: codec.decode,
          gold,
          verifiers,
          initial,
          reward
        })
      )
      const text = texts.length === 0 ? [] : yield* chunks.rows(textPart(name), likelihoods(policy, name, texts))
      return { rows: asked.map((_, i) => rows.slice(n * i, n * (i + 1))), text }
    }))
    /** The mean over the completions of each prompt. */
    const over = (of: (row: ObservedRow) => number) => estimate(rows.map((group) => meanOf(group.map(of))))
    const known = (of: (row: ObservedRow) => number | null) =>
      rows.length === 0 || rows.some((group) => group.some((row) => of(row) === null)) ? null : over((row) => of(row)!)
    const verdicts = (verifier: string) => rows.map((group) => group.map(({ verdicts }) => verdicts![verifier]!))
    const votes = (verifier: string) =>
      rows[0]?.[0]?.votes?.[verifier] === undefined
        ? undefined
        : rows.map((group) => group.map(({ votes }) => votes![verifier]!))
    models.push({
      name,
      gold: known(({ gold }) => gold),
      ...(verifiers.length === 0 ? {} : {
        verdicts: Object.fromEntries(
          namesOf(verifiers).map((verifier) => [verifier, over(({ verdicts }) => verdicts![verifier]!)])
        ),
        scores: Object.fromEntries(
          namesOf(verifiers).map((verifier) => [verifier, scoresOf(verdicts(verifier), votes(verifier), passAt)])
        )
      }),
      ...(texts.length === 0 ? {} : { text: textReport(text) }),
      proxy: known(({ proxy }) => proxy),
      kl: known(({ kl }) => kl),
      length: over(({ length }) => length),
      finished: rows.length === 0 ? 0 : over(({ finished }) => finished).mean,
      completions: rows.slice(0, stage.shown).map(([row]) => row!.text)
    })
    all.push({ rows, text })
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
    /** The first answers of a model. */
    const firsts = (name: string) => all[names.indexOf(name)]?.rows.map(([row]) => row!.text)
    const opened = yield* openJudge(scope, winRate.endpoint, wires.judge)
    const orders: Array<Orders> = []
    for (const name of contenders) {
      const own = yield* winsOver(chunks.rows, opened, winRate, `wins.${name}`, firsts(name)!, {
        rows: asked,
        texts: firsts(against)
      })
      const wins = own.flatMap((orders, i) => {
        const preference = preferenceOf(orders)
        const baseline = firsts(against)?.[i] ?? asked[i]!.answer!
        return preference === null ? [] : [{ preference, length: firsts(name)![i]!.length, baseline: baseline.length }]
      })
      const at = names.indexOf(name)
      if (wins.length > 0) {
        const { lengthBias, lengthControlled: value, lengthControlledInterval: within } = winRateOf(wins)
        models[at] = {
          ...models[at]!,
          winRate: {
            against,
            ...estimate(wins.map(({ preference }) => preference)),
            lengthControlled: { value, low: within?.low ?? null, high: within?.high ?? null, lengthBias }
          }
        }
      }
      orders.push(...own)
    }
    yield* tellJudged(opened, () => ofOrders(orders))
  }
  yield* chunks.finished
  const planned = (yield* CurrentRehearsal) !== null
  const goldOf = (i: number) => all[i]!.rows.map((group) => meanOf(group.map(({ gold }) => gold!)))
  const report: Report = {
    models,
    rewardAccuracy,
    prompts: asked.slice(0, stage.shown).map(({ prompt }) => prompt),
    ...(n === 1 ? {} : { completionsPerPrompt: n }),
    ...(planned || verifiers.length + texts.length === 0
      ? {}
      : { paired: compared(names, all, namesOf(verifiers), scope.stream) }),
    goldGain: gold === undefined || asked.length === 0 ? [] : names.slice(0, -1).map((from, i) => ({
      from,
      to: names.at(-1)!,
      difference: estimate(goldOf(names.length - 1).map((gold, j) => gold - goldOf(i)[j]!))
    }))
  }
  const samples = verifiers.length === 0 || planned ? {} : {
    samples: all.flatMap(({ rows }, m) =>
      rows.map((group, i): Sample => ({
        model: names[m]!,
        prompt: i,
        text: asked[i]!.prompt,
        ...(asked[i]!.answer === undefined ? {} : { answer: asked[i]!.answer }),
        completions: group.map(({ text }) => text),
        tokens: group.map(({ length }) => length),
        ended: group.map(({ finished }) => finished === 1),
        verdicts: Object.fromEntries(
          namesOf(verifiers).map((verifier) => [verifier, group.map(({ verdicts }) => verdicts![verifier]!)])
        )
      }))
    )
  }
  return { report, ...samples }
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
