/**
 * Host work: the engine's verbs outside of kernels, tokenizers, judging, data, events and files. A `Watch` counts it
 * (`plan`) or times it (`calibrate`).
 */
import * as Effect from "effect/Effect"
import type { Dataset, Datasets } from "../../data/dataset.ts"
import { type Around, aroundEngine, same } from "../../engine/around.ts"
import type { Codec, Engine, Weights } from "../../engine/engine.ts"
import { offsetsOf } from "../../engine/engine.ts"
import type { Judge } from "../../rewards/judge.ts"
import type { Made } from "../../store/made.ts"
import type { RunLog } from "../../store/runLog.ts"
import type { Store } from "../../store/store.ts"

/**
 * Units. Tokens: `learn` (passes with a gradient), `pass` (without), `sample`, `decode`. Probabilities: `diverge`
 * (passes that compare whole distributions). Characters: `encode`, `judge`, `data`, `judgedData` (rows that a checker
 * graded). Bytes: `open` (a model from weights), `save`, `find` (weights read back). Lines of the log: `event`.
 */
export type HostWork =
  | "learn"
  | "pass"
  | "sample"
  | "diverge"
  | "encode"
  | "decode"
  | "judge"
  | "data"
  | "judgedData"
  | "open"
  | "save"
  | "find"
  | "event"

export interface Watch {
  /** `work` does `amount(result)` units of `what`. */
  readonly during: <A>(what: HostWork, work: () => A, amount: (value: A) => number) => A
  readonly effect: <A, E, R>(
    what: HostWork,
    work: Effect.Effect<A, E, R>,
    amount: (value: A) => number
  ) => Effect.Effect<A, E, R>
}

const bytesOf = ({ tensors }: Pick<Weights, "tensors">): number => {
  let sum = 0
  for (const { data } of tensors.values()) sum += 4 * data.length
  return sum
}

const fewRows = 32

/** Estimated from a few rows, because reading a row may make it. */
const characters = (rows: ReadonlyArray<unknown>): number => {
  const count = Math.min(fewRows, rows.length)
  let sum = 0
  for (let i = 0; i < count; i++) {
    for (const value of Object.values(rows[Math.floor(i * rows.length / count)] as object).flat()) {
      if (typeof value === "string") sum += value.length
    }
  }
  return count === 0 ? 0 : sum * rows.length / count
}

const watchedCodec = (codec: Codec, { during }: Watch): Codec => ({
  ...codec,
  encodePrompt: (text) => during("encode", () => codec.encodePrompt(text), () => text.length),
  encodeCompletion: (text, how) => during("encode", () => codec.encodeCompletion(text, how), () => text.length),
  encodeParts: (parts) =>
    during(
      "encode",
      () => codec.encodeParts?.(parts) ?? null,
      () => parts.reduce((sum, { length }) => sum + length, 0)
    ),
  decode: (ids) => during("decode", () => codec.decode(ids), () => ids.length)
})

/** An engine with watched verbs. */
export const watchedEngine = (engine: Engine, watch: Watch): Engine => {
  const { during } = watch
  const model = (): Around => {
    let compared = 0
    let retains: "learn" | "diverge" = "learn"
    const diverging = <A>(work: () => A): A => {
      const before = compared
      return during("diverge", work, () => compared - before)
    }
    return {
      pass: (own) => (batch, how) => {
        if (how?.retain === true) retains = "learn"
        return during(how?.retain === true ? "learn" : "pass", () => own(batch, how), ({ offsets }) => offsets.at(-1)!)
      },
      compare: (own) => (batch, teacher, divergence, how) => {
        if (how?.retain === true) retains = "diverge"
        const counted: typeof divergence = (student, other, gradient) => {
          compared += student.length
          return divergence(student, other, gradient)
        }
        return diverging(() => own(batch, teacher, counted, how))
      },
      // Part of learning, like the step; the passes count the tokens.
      backward: (own) => (gradient) =>
        retains === "diverge" ? diverging(() => own(gradient)) : during("learn", () => own(gradient), () => 0),
      learn: (own) => (batch, gradientOf) =>
        during("learn", () => own(batch, gradientOf), () => offsetsOf(batch)[batch.length]!),
      step: (own) => (update) => during("learn", () => own(update), () => 0),
      sample: (own) => (...asked) =>
        during(
          "sample",
          () => own(...asked),
          (sampled) => sampled.reduce((sum, { completion }) => sum + completion.length, 0)
        ),
      state: same,
      dispose: same
    }
  }
  return aroundEngine(engine, {
    model,
    codec: (own) => watchedCodec(own, watch),
    open: (work, weights) => weights === null ? work() : during("open", work, () => bytesOf(weights))
  })
}

export const watchedJudge = (judge: Judge["Service"], { during, effect }: Watch): Judge["Service"] => ({
  ...judge,
  gold: (gold, prompt, completion) =>
    during("judge", () => judge.gold(gold, prompt, completion), () => completion.length),
  prefers: (gold, prompt, a, b, u) =>
    during("judge", () => judge.prefers(gold, prompt, a, b, u), () => a.length + b.length),
  verifies: (stage, verifier, questions) =>
    effect(
      "judge",
      judge.verifies(stage, verifier, questions),
      () => questions.reduce((sum, { completion }) => sum + completion.length, 0)
    )
})

const judged: ReadonlySet<string> = new Set(["Rankings", "Stepwise", "UnpairedPreferences"])

export const watchedDatasets = (datasets: Datasets["Service"], { effect }: Watch): Datasets["Service"] => ({
  load: (role, origin, chat) =>
    effect(
      judged.has(role) ? "judgedData" : "data",
      Effect.suspend(() => datasets.load(role, origin, chat)),
      ({ rows }: Dataset) => characters(rows)
    )
})

export const watchedLog = (log: RunLog["Service"], { effect }: Watch): RunLog["Service"] => ({
  emit: (event) => effect("event", log.emit(event), () => 1)
})

const bytesOfMade = (made: Made): number =>
  made._tag === "Model" ? bytesOf(made.weights) : made._tag === "Data" ? characters(made.dataset.rows) : 0

export const watchedStore = (store: Store["Service"], { effect }: Watch): Store["Service"] => ({
  ...store,
  find: (key, label) =>
    effect("find", store.find(key, label), (found) => found._tag === "None" ? 0 : bytesOfMade(found.value)),
  finish: (key, label, made) => effect("save", store.finish(key, label, made), () => bytesOfMade(made)),
  save: (key, label, snapshot) =>
    effect("save", store.save(key, label, snapshot), () =>
      // Two moments of every weight; the moments of adapters are small and left out.
      Object.values(snapshot.models).reduce(
        (sum, { optimizer, weights }) =>
          sum + bytesOf(weights) * (optimizer.step > 0 && weights.adapter === undefined ? 3 : 1),
        0
      ))
})
