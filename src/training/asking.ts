/**
 * Asks a judge, and gives the value of each of its verdicts. An endpoint's answers are kept in the store as they come: what was answered
 * before a kill is not asked again, and is counted once, for the stage that paid. A policy is not sampled: a verdict's
 * value is the mean over all verdicts, under the policy's probabilities of them as whole answers.
 */
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type * as Schema from "effect/Schema"
import { canonical } from "../../dsl/Canonical.ts"
import { sha256 } from "../../dsl/Digest.ts"
import { BudgetExceeded, JudgeFailed, UnusableData } from "../../dsl/Errors.ts"
import type { Endpoint } from "../../dsl/Judge.ts"
import { encodeWithin, lengthOf } from "../data/encode.ts"
import type { Codec, Policy, Weights } from "../engine/engine.ts"
import { CurrentEngine } from "../engine/current.ts"
import { offsetsOf } from "../engine/engine.ts"
import type { Message, Reply } from "../rewards/endpoint.ts"
import { forToken, inWords, type Question, reminder, valueIn } from "../rewards/question.ts"
import { waiting } from "../rewards/waiting.ts"
import { type Answer, Store, type StoreError } from "../store/store.ts"
import { hold } from "./budgets.ts"
import { observer } from "./loop.ts"
import type { Scope } from "./scope.ts"
import { CurrentMeter } from "./spendingMeter.ts"

/** Who is asked. */
export type Judging =
  | { readonly endpoint: Endpoint }
  | { readonly policy: Policy; readonly codec: Codec }
  /** Of a simulation. */
  | { readonly people: string }

export interface Asked {
  readonly question: Question
  /** Distinguishes repetitions of one question to an endpoint. */
  readonly seed?: number
}

/** The values, in the order of the questions; null for an answer that cannot be read, however often it was asked for. */
export type Asking = (
  asked: ReadonlyArray<Asked>
) => Effect.Effect<
  ReadonlyArray<number | null>,
  JudgeFailed | BudgetExceeded | UnusableData | StoreError,
  Store
>

type Body = Readonly<Record<string, Schema.Json>>

type Named = Pick<Scope, "key" | "label" | "limits">

/** How often an answer that cannot be read is asked for. */
const attempts = 3

export const nameOf = ({ model, url }: Endpoint): string => `${model} at ${URL.canParse(url) ? new URL(url).host : url}`

/** Of text without a count, as of `Spent.judged`. */
export const tokensOf = (text: string): number => Math.ceil(text.length / 4)

/** Millionths of the currency; the price is per million tokens. */
export const feesOf = ({ price }: Endpoint, read: number, written: number): number =>
  price === undefined ? 0 : Math.ceil(Number((price.read * read + price.written * written).toFixed(6)))

const asEndpoint = Effect.fnUntraced(function*(scope: Named, endpoint: Endpoint) {
  const [store, meter] = [yield* Store, yield* CurrentMeter]
  // Loaded by who asks: a client of HTTP takes 0.01 s of every command.
  const { asker, requestOf } = yield* Effect.promise(() => import("../rewards/endpoint.ts"))
  const ask = asker(endpoint)
  let [tokens, fees] = [0, 0]
  let settled = Deferred.makeUnsafe<void>()

  /** Waits until the caps have room for a question that takes so much at most, beside those under way. */
  const room = Effect.fnUntraced(function*(most: number, price: number) {
    for (;;) {
      const spent = yield* meter.spent
      const after = { ...spent, asked: spent.asked + tokens + most, fees: spent.fees + fees + price }
      const fits = yield* Effect.exit(hold(scope, after, Effect.succeed("its answers, in the store")))
      if (Exit.isSuccess(fits)) {
        tokens += most
        fees += price
        return
      }
      if (tokens === 0) {
        return yield* Effect.catchTag(fits, "BudgetExceeded", (error) =>
          new BudgetExceeded({
            ...error,
            ...(error.dimension === "money" && endpoint.price !== undefined
              ? { currency: endpoint.price.currency }
              : {}),
            next: true
          }))
      }
      yield* Effect.interruptible(Deferred.await(settled))
    }
  })

  const paid = ({ read, text, written }: Reply, body: string) => {
    const [asked, answered] = [read ?? tokensOf(body), written ?? tokensOf(text)]
    const estimated = read === null || written === null
    return { text, tokens: asked + answered, fees: feesOf(endpoint, asked, answered), estimated }
  }

  /** The answer to a question that was not asked before. A question that was sent is paid for: its answer is waited for and kept. */
  const request = Effect.fnUntraced(function*(question: Body, id: string) {
    const text = canonical(question)
    const [most, price] = [tokensOf(text) + endpoint.maxTokens, feesOf(endpoint, tokensOf(text), endpoint.maxTokens)]
    yield* room(most, price)
    return yield* Effect.ensuring(
      Effect.gen(function*() {
        const reply = yield* Effect.mapError(
          ask(question, id),
          ({ problem, remedy }) => new JudgeFailed({ stage: scope.label, judge: nameOf(endpoint), problem, remedy })
        )
        const of = paid(reply, text)
        const answer: Answer = { ...of, payer: scope.key, nth: meter.answered(id, of) }
        yield* store.keepAnswer(id, answer)
        return answer
      }),
      Effect.suspend(() => {
        tokens -= most
        fees -= price
        const before = settled
        settled = Deferred.makeUnsafe()
        return Deferred.succeed(before, undefined)
      })
    )
  }, Effect.uninterruptible)

  /** The value of an answer, asked for again while it cannot be read; undefined where `find` does not find one. */
  const value = Effect.fnUntraced(function*<E>(
    { question, seed }: Asked,
    find: (question: Body, id: string) => Effect.Effect<Answer | undefined, E>
  ) {
    const messages: Array<Message> = [{ role: "user", content: inWords(question) }]
    for (let attempt = 1; attempt <= attempts; attempt++) {
      const body = requestOf(endpoint, messages, seed ?? null)
      const id = sha256(canonical({ url: endpoint.url, body }))
      const answer = yield* find(body, id)
      if (answer === undefined) return undefined
      const read = valueIn(question, answer.text)
      if (read !== null) return read
      messages.push({ role: "assistant", content: answer.text }, { role: "user", content: reminder(question) })
    }
    return null
  })

  return ((asked) =>
    Effect.gen(function*() {
      const answers = new Map<string, Deferred.Deferred<Answer, Effect.Error<ReturnType<typeof request>>>>()
      // Answers of before come first, so that the caps see what they took before anything is asked.
      const known = yield* Effect.forEach(asked, (one) =>
        value(
          one,
          Effect.fnUntraced(function*(_, id) {
            const answer = Option.getOrUndefined(yield* store.answer(id))
            if (answer === undefined) return undefined
            if (answer.payer === scope.key) meter.answered(id, answer)
            answers.set(id, Deferred.makeUnsafe())
            Deferred.doneUnsafe(answers.get(id)!, Effect.succeed(answer))
            return answer
          })
        ))
      // Questions under way are waited for when another fails.
      let stopped = false
      const all = yield* waiting(scope.label, nameOf(endpoint), asked.length, (answered) =>
        Effect.forEach(asked, (one, i) => {
          if (known[i] !== undefined) {
            return Effect.succeed(Exit.succeed(known[i]))
          }
          if (stopped) {
            return Effect.succeed(Exit.succeed(null))
          }
          const asking = value(one, (question, id) => {
            const under = answers.get(id)
            if (under !== undefined) {
              return Deferred.await(under)
            }
            const mine = Deferred.makeUnsafe<Answer, Effect.Error<ReturnType<typeof request>>>()
            answers.set(id, mine)
            return Effect.onExit(request(question, id), (exit) =>
              Deferred.done(mine, exit))
          })
          return Effect.exit(asking).pipe(
            Effect.tap((exit) =>
              Effect.sync(() => (stopped ||= Exit.isFailure(exit)))
            ),
            Effect.tap(answered)
          )
        }, { concurrency: endpoint.concurrency }))
      const values: Array<number | null> = []
      for (const exit of all) {
        values.push((yield* exit) ?? null)
      }
      return values
    }).pipe(Effect.interruptible)) satisfies Asking as Asking
})

/** Questions that a policy reads at a time. */
const atOnce = 64

/** A policy, of which every verdict's probability is computed. */
export const asPolicy = (
  scope: Named,
  { codec, policy }: Extract<Judging, { readonly policy: Policy }>
): Effect.Effect<Asking> => {
  /** By its chat template, if it has one. */
  const encoded = (content: string): Int32Array => {
    let text: string
    try {
      text = codec.chat([{ role: "user", content }])
    } catch {
      text = `${content}\n\nVerdict: `
    }
    return codec.encodePrompt(text)
  }
  const some = Effect.fnUntraced(function*(asked: ReadonlyArray<Asked>) {
    const { encoded: rows } = yield* encodeWithin(
      { stage: scope.label, codec, context: policy.context, told: true },
      asked,
      {
        encode: ({ question }) => {
          const prompt = encoded(forToken(question))
          return question.verdicts.map(({ mark }) => ({
            prompt,
            completion: codec.encodeCompletion(mark, { end: true })
          }))
        },
        tokens: (verdicts) => Math.max(...verdicts.map(lengthOf)),
        cut: (verdicts) => verdicts
      }
    ).pipe(Effect.mapError(({ problem, stage }) =>
      new UnusableData({
        stage,
        problem: `of the questions to its judge, ${problem}`,
        remedy: "Take a judge with a longer context and a tokenizer that knows these texts, or leave such rows out."
      })
    ))
    const batch = rows.flat()
    const { logps } = policy.logprobs(batch)
    const offsets = offsetsOf(batch)
    let row = 0
    return asked.map(({ question: { verdicts } }) => {
      const sums = verdicts.map(() => {
        const [from, to] = [offsets[row]!, offsets[++row]!]
        return logps.subarray(from, to).reduce((sum, logp) => sum + logp, 0)
      })
      const most = Math.max(...sums)
      const weights = sums.map((sum) => Math.exp(sum - most))
      const total = weights.reduce((sum, weight) => sum + weight, 0)
      return weights.reduce((mean, weight, i) => mean + weight / total * verdicts[i]!.value, 0)
    })
  })
  return Effect.succeed(Effect.fnUntraced(function*(asked: ReadonlyArray<Asked>) {
    const values: Array<number> = []
    for (let from = 0; from < asked.length; from += atOnce) {
      values.push(...yield* some(asked.slice(from, from + atOnce)))
    }
    return values
  }))
}

export type Opening = (scope: Named, judging: Judging) => Effect.Effect<Asking, never, Store>

/** How a judge is asked in a stage: `simulate` and plans have their own. */
export const CurrentAsking = Context.Reference<Opening>("keel/Asking", {
  defaultValue: () => (scope, judging) =>
    "endpoint" in judging
      ? asEndpoint(scope, judging.endpoint)
      : "people" in judging
      ? Effect.die(new Error(`${judging.people} are people, who are asked in a simulation alone`))
      : asPolicy(scope, judging)
})

/** A judge that is open in a stage. */
export interface Judge {
  readonly stage: string
  readonly name: string
  readonly ask: Asking
}

/** Opens the judge of a stage, which is an endpoint, the policy `weights` or, in a simulation, people. */
export const openJudge = Effect.fnUntraced(function*(
  scope: Named,
  endpoint: Endpoint | undefined,
  weights: Weights | undefined,
  people?: string
) {
  const [engine, asking, stage] = [yield* CurrentEngine, yield* CurrentAsking, scope.label]
  if (people !== undefined) {
    return { stage, name: people, ask: yield* asking(scope, { people }) } satisfies Judge as Judge
  }
  if (endpoint !== undefined) {
    return { stage, name: nameOf(endpoint), ask: yield* asking(scope, { endpoint }) } satisfies Judge as Judge
  }
  if (weights === undefined) throw new Error(`${stage} has no judge`)
  const judging = { policy: yield* observer(engine.policy, weights), codec: engine.codec(weights) }
  return { stage, name: "on the wire judge", ask: yield* asking(scope, judging) } satisfies Judge as Judge
})
