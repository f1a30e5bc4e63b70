/**
 * A client of OpenAI-compatible endpoints. A question that gets no answer (no connection, no answer in time, cut off, not as the protocol
 * says, 408, 409, 429 or 5xx) is asked again, after waits that double and are drawn at random, or as long as `Retry-After` says.
 *
 * The key is read from the environment (`Config`) for each request and stands in its header alone: it is struck from every text that comes
 * back before anything else reads it.
 */
import * as Clock from "effect/Clock"
import * as Config from "effect/Config"
import * as Console from "effect/Console"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type { Endpoint } from "../../dsl/Judge.ts"
import { MiB } from "../model/regularFile.ts"

export interface Message {
  readonly role: "user" | "assistant"
  readonly content: string
}

/** An answer, and the tokens that the endpoint counts for it. */
export interface Reply {
  readonly text: string
  /** Of the question; null where the endpoint does not say. */
  readonly read: number | null
  readonly written: number | null
}

/** No answer, and why there is no use in asking again. */
export class NoReply extends Data.TaggedError("NoReply")<{ readonly problem: string; readonly remedy: string }> {}

/** No answer; asking again may help. */
class Unanswered extends Data.TaggedError("Unanswered")<{
  readonly problem: string
  /** Milliseconds that the endpoint asks to wait. */
  readonly after: number
}> {}

/** The first wait before a question is asked again, milliseconds. */
export const FirstWait = Context.Reference<number>("keel/FirstWait", { defaultValue: () => 1000 })

const longestWait = 60_000

/** Waits from here on are told. */
const noticed = 30_000

const Completion = Schema.fromJsonString(Schema.Struct({
  choices: Schema.NonEmptyArray(Schema.Struct({
    message: Schema.Struct({ content: Schema.optionalKey(Schema.NullOr(Schema.String)) })
  })),
  usage: Schema.optionalKey(Schema.NullOr(Schema.Struct({
    prompt_tokens: Schema.Natural,
    completion_tokens: Schema.Natural
  })))
}))

/** The fields of a request. */
export const requestOf = (
  { fields, maxTokens, model, temperature }: Endpoint,
  messages: ReadonlyArray<Message>,
  seed: number | null
): Readonly<Record<string, Schema.Json>> =>
  Object.fromEntries(
    Object.entries({
      model,
      messages: messages.map((message) => ({ ...message })),
      temperature,
      max_tokens: maxTokens,
      ...(seed === null ? {} : { seed }),
      ...fields
    }).filter(([, value]) => value !== null)
  )

/** Milliseconds of a `Retry-After`: seconds or a date; of OpenAI's own header. */
const waitIn = (headers: Readonly<Record<string, string | undefined>>, now: number): number => {
  const { ["retry-after"]: after = "", ["retry-after-ms"]: exact = "" } = headers
  const milliseconds = exact !== "" && Number.isFinite(Number(exact))
    ? Number(exact)
    : Number.isFinite(Number(after))
    ? 1000 * Number(after)
    : Date.parse(after) - now
  return Number.isFinite(milliseconds) ? Math.max(0, milliseconds) : 0
}

const oneLine = (text: string): string => text.replace(/\s+/gu, " ").trim().slice(0, 300)

const remedies: Readonly<Record<number, string>> = {
  401: "Check the key in the environment variable that `key` names.",
  403: "Check the key in the environment variable that `key` names.",
  404: "Check `url` and `model`: the endpoint has no such model, or no chat completions there."
}

const withoutKey = (text: string, key: string): string => key === "" ? text : text.replaceAll(key, "<key>")

const keyOf = ({ key }: Endpoint) =>
  key === undefined ? Effect.succeed("") : Config.Redacted(key).pipe(
    Effect.map((found) => Redacted.value(found).trim()),
    Effect.filterOrFail((found) => found !== ""),
    Effect.mapError(() =>
      new NoReply({
        problem: `the environment variable ${key} with its key is not set`,
        remedy: `Set it: export ${key}=…`
      })
    )
  )

/** The body as text; fails beyond 8 MiB. */
const bodyOf = Effect.fnUntraced(function*<E>(stream: Stream.Stream<Uint8Array, E>) {
  const decoder = new TextDecoder()
  let [text, size] = ["", 0]
  yield* Stream.runForEach(stream, (chunk) =>
    Effect.suspend(() => {
      size += chunk.length
      text += decoder.decode(chunk, { stream: true })
      return size <= 8 * MiB ? Effect.void : Effect.fail(new Unanswered({ problem: "its answer has no end", after: 0 }))
    }))
  return text + decoder.decode()
})

const once = Effect.fnUntraced(function*(
  endpoint: Endpoint,
  body: Readonly<Record<string, Schema.Json>>,
  id: string
) {
  const key = yield* keyOf(endpoint)
  const lost = ({ reason }: { readonly reason: { readonly cause?: unknown } }) => {
    const { cause, message } = (reason.cause ?? {}) as {
      readonly cause?: { readonly code?: string }
      readonly message?: string
    }
    return new Unanswered({
      problem: `the connection failed (${withoutKey(cause?.code ?? message ?? "no reason given", key)})`,
      after: 0
    })
  }
  const client = yield* HttpClient.HttpClient
  const response = yield* Effect.mapError(
    client.execute(
      HttpClientRequest.post(`${endpoint.url.replace(/\/+$/u, "")}/chat/completions`).pipe(
        HttpClientRequest.setHeaders({
          // Of a question that is asked again: who knows it does not answer, or bill, twice.
          "idempotency-key": id,
          ...(key === "" ? {} : { authorization: `Bearer ${key}` })
        }),
        HttpClientRequest.bodyJsonUnsafe(body)
      )
    ),
    lost
  )
  const { headers, status } = response
  const text = withoutKey(
    yield* Effect.mapError(bodyOf(response.stream), (error) => error._tag === "Unanswered" ? error : lost(error)),
    key
  )
  if (status === 408 || status === 409 || status === 429 || status >= 500) {
    const after = waitIn(headers, yield* Clock.currentTimeMillis)
    return yield* new Unanswered({ problem: `it answers with status ${status} (${oneLine(text)})`, after })
  }
  if (status < 200 || status >= 300) {
    // The text may hold a part of the key.
    const said = status === 401 || status === 403 ? "" : ` (${oneLine(text)})`
    return yield* new NoReply({
      problem: `it answers with status ${status}${said}`,
      remedy: remedies[status] ?? "Check `url`, `model` and `fields`."
    })
  }
  const { choices: [{ message }], usage } = yield* Effect.mapError(
    Schema.decodeUnknownEffect(Completion)(text),
    () => new Unanswered({ problem: `its answer is no chat completion (${oneLine(text)})`, after: 0 })
  )
  return {
    text: withoutKey(message.content ?? "", key),
    read: usage?.prompt_tokens ?? null,
    written: usage?.completion_tokens ?? null
  } satisfies Reply as Reply
})

const client = FetchHttpClient.layer.pipe(
  // A key goes where it was meant to go, and nowhere else.
  Layer.provideMerge(Layer.succeed(FetchHttpClient.RequestInit, { redirect: "manual" }))
)

/** Between requests a run can be stopped, also where it waits for a request that was sent. */
const pause = (milliseconds: number) => Effect.interruptible(Effect.sleep(milliseconds))

/** Asks an endpoint, within its rate and its patience. */
export const asker = (endpoint: Endpoint) => {
  const between = endpoint.requestsPerMinute === undefined ? 0 : 60_000 / endpoint.requestsPerMinute
  let free = 0
  const turn = Effect.flatMap(Clock.currentTimeMillis, (now) => {
    const at = Math.max(now, free)
    free = at + between
    return at > now ? pause(at - now) : Effect.void
  })
  const attempt = (body: Readonly<Record<string, Schema.Json>>, id: string) =>
    Effect.timeoutOrElse(once(endpoint, body, id), {
      duration: 1000 * endpoint.timeout,
      orElse: () => new Unanswered({ problem: `it gave no answer in ${endpoint.timeout} s`, after: 0 })
    })
  return (body: Readonly<Record<string, Schema.Json>>, id: string): Effect.Effect<Reply, NoReply> =>
    Effect.gen(function*() {
      const first = yield* FirstWait
      for (let again = 0;; again++) {
        yield* turn
        const reply = yield* Effect.catchTag(attempt(body, id), "Unanswered", (error) => Effect.succeed(error))
        if (!(reply instanceof Unanswered)) return reply
        if (again >= endpoint.retries) {
          return yield* new NoReply({
            problem: `it was asked ${again + 1} times: ${reply.problem}`,
            remedy: "Check that it runs, and run again: every answer so far is kept, and nothing is asked twice."
          })
        }
        const wait = Math.max(Math.min(longestWait, first * 2 ** again) * (0.5 + (yield* Random.next)), reply.after)
        if (wait >= noticed) {
          yield* Console.error(
            `${endpoint.model} at ${new URL(endpoint.url).host}: ${reply.problem}; asked again in ${
              Math.ceil(wait / 1000)
            } s`
          )
        }
        yield* pause(wait)
      }
    }).pipe(Effect.provide(client))
}
