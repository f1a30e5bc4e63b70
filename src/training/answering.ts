/** How a stage asks its policy: for a completion of each prompt, or in an environment for an episode of several turns. */
import * as Effect from "effect/Effect"
import type { Environment } from "../../dsl/Environment.ts"
import { type BrokenExtension, UnusableData } from "../../dsl/Errors.ts"
import { conversation } from "../data/conversation.ts"
import { encodeWithin, type Encoding, type For, prompts, textsOf, Unfit } from "../data/encode.ts"
import type { PromptRow } from "../data/rows.ts"
import type { Policy, Row, Sampled, Sampling } from "../engine/engine.ts"
import { joinedTokens } from "../losses/ragged.ts"
import type { Situation, Stepped, Turn } from "../rewards/environment.ts"
import { Judge } from "../rewards/judge.ts"
import type { Placed } from "./scoring.ts"

/** A prompt to be asked. */
export interface Prompt {
  readonly ids: Int32Array
  readonly row: Placed
  /** Seeds the environment's random numbers; equal for a group. */
  readonly world: string
}

/** Of the rows, those at the places `asked`; each is a group of its own. */
export const promptsOf = (
  rows: ReadonlyArray<PromptRow>,
  ids: ReadonlyArray<Int32Array>,
  asked: ReadonlyArray<number>,
  seeds: ReadonlyArray<string>
): ReadonlyArray<Prompt> =>
  asked.map((i, k) => ({ ids: ids[i]!, row: { ...rows[i]!, row: i + 1 }, world: `${seeds[k]!}/world` }))

/** What the policy wrote, and what was answered. */
export interface Played {
  readonly row: Row
  /** Its last message. */
  readonly last: Sampled
  /** Of its own tokens, as `Sampled.logps`. */
  readonly logps: Float64Array
  /** γ^k r_k at the last token of turn k, one number for each of its own tokens; null without an environment. */
  readonly earned: Float64Array | null
  /** None without an environment. */
  readonly turns: ReadonlyArray<Turn>
  /** Whether it ended by a limit (of a turn, of turns, of the context): the environment had more to say. */
  readonly unanswered: boolean
}

export interface Answering {
  /** Most messages of the policy. */
  readonly maxTurns: number
  /** Prompts that leave room for a turn. */
  readonly encoding: (maxNewTokens?: number) => Encoding<PromptRow, Int32Array>
  /** Answer i draws from the stream of `seeds[i]`. */
  readonly sample: (
    policy: Policy,
    prompts: ReadonlyArray<Prompt>,
    sampling: Sampling,
    seeds: ReadonlyArray<string>
  ) => Effect.Effect<ReadonlyArray<Played>, BrokenExtension>
}

/** A completion of each prompt. */
export const once = (use: For): Answering => ({
  maxTurns: 1,
  encoding: (maxNewTokens) => prompts(use.codec, maxNewTokens),
  sample: (policy, prompts, sampling, seeds) =>
    Effect.sync(() =>
      policy.sample(prompts.map(({ ids }) => ids), sampling, seeds).map((last, i): Played => ({
        row: { prompt: prompts[i]!.ids, completion: last.completion },
        last,
        logps: last.logps,
        earned: null,
        turns: [],
        unanswered: false
      }))
    )
})

/** An episode in progress: its tokens turn by turn, and the answers between them. */
interface Playing {
  readonly prompt: Prompt
  readonly own: Array<Sampled>
  readonly answers: Array<Int32Array>
  readonly turns: Array<Turn>
  readonly rewards: Array<number>
  unanswered: boolean
}

const tokensOf = ({ answers, own }: Playing): Int32Array =>
  Int32Array.from(own.flatMap(({ completion }, k) => [...completion, ...answers[k] ?? []]))

const played = (playing: Playing, discount: number): Playing & Played => {
  const { answers, own, prompt, rewards } = playing
  const earned = own.flatMap(({ completion }, k) =>
    Array.from(completion, (_, t) => t + 1 === completion.length ? discount ** k * rewards[k]! : 0)
  )
  const given = own.flatMap(({ completion }, k) => [
    ...new Uint8Array(completion.length),
    ...new Uint8Array(answers[k]?.length ?? 0).fill(1)
  ])
  return {
    ...playing,
    row: { prompt: prompt.ids, completion: tokensOf(playing), given: Uint8Array.from(given) },
    last: own.at(-1)!,
    logps: joinedTokens(own.map(({ logps }) => logps)),
    earned: Float64Array.from(earned)
  }
}

/** An episode of each prompt. Fails where the model's chat template cannot carry one. */
const episodes = Effect.fnUntraced(function*(use: For, environment: Environment) {
  const { codec, context, stage } = use
  const { discount, maxTurns } = environment
  const acts = (yield* Judge).environment?.(environment)
  if (acts === undefined) throw new Error("a judge that knows no environments")
  const speaking = yield* Effect.try({
    try: () => conversation(codec, acts.tools),
    catch: (error) => {
      if (error instanceof Unfit) return new UnusableData({ stage, problem: error.message, remedy: error.remedy })
      throw error
    }
  })
  /** Appends the answers and says whether the policy has another turn. */
  const goesOn = (one: Playing, { replies, reward }: Stepped): boolean => {
    const turn = one.turns.at(-1)!
    one.rewards.push(reward)
    if (replies.length === 0) return false
    one.unanswered = true
    const tokens = one.turns.length < maxTurns ? speaking.reply(turn, replies) : null
    // An answer that leaves no room for a word ends it too.
    if (tokens === null || one.prompt.ids.length + tokensOf(one).length + tokens.length >= context) return false
    one.unanswered = false
    one.answers.push(tokens)
    one.turns[one.turns.length - 1] = { ...turn, replies }
    return true
  }
  return {
    maxTurns,
    encoding: (maxNewTokens) => ({ ...prompts(codec, maxNewTokens), encode: speaking.prompt }),
    sample: Effect.fnUntraced(function*(policy, prompts, sampling, seeds) {
      const all = prompts.map((prompt): Playing => ({
        prompt,
        own: [],
        answers: [],
        turns: [],
        rewards: [],
        unanswered: false
      }))
      let active = all.map((one, i) => ({ one, seed: seeds[i]! }))
      for (let turn = 0; active.length > 0; turn++) {
        const given = active.reduce((sum, { one }) => sum + (one.answers.at(-1)?.length ?? 0), 0)
        const sampled = policy.sample(
          active.map(({ one }) => turn === 0 ? one.prompt.ids : Int32Array.of(...one.prompt.ids, ...tokensOf(one))),
          turn === 0 ? sampling : { ...sampling, given },
          active.map(({ seed }) => turn === 0 ? seed : `${seed}/turn${turn}`)
        )
        const texts = textsOf(codec, sampled)
        const situations = active.map(({ one }, i): Situation => {
          const text = texts[i]!
          one.own.push(sampled[i]!)
          one.turns.push({ text, calls: speaking.calls(text), ended: sampled[i]!.finished, replies: [] })
          const { row: { columns, messages: _, row: __, ...row }, world } = one.prompt
          return { row: { ...columns, ...row }, turns: [...one.turns] as unknown as Situation["turns"], seed: world }
        })
        // An environment may keep it waiting: a stop gets through.
        const steps = yield* Effect.interruptible(acts.step(stage, situations))
        active = active.filter(({ one }, i) => goesOn(one, steps[i]!))
      }
      return all.map((one) => played(one, discount))
    })
  } satisfies Answering as Answering
})

/** All rows as the prompts that they are. */
export const encoded = (use: For, answering: Answering, rows: ReadonlyArray<PromptRow>) =>
  Effect.map(encodeWithin(use, rows, answering.encoding()), ({ encoded }) => encoded)

export const answeringOf = (use: For, environment: Environment | undefined) =>
  environment === undefined ? Effect.succeed(once(use)) : episodes(use, environment)

/** What was said, with a line for each answer. */
export const transcriptOf = (codec: Pick<For["codec"], "decode">, { last, turns }: Played): string =>
  turns.length === 0
    ? codec.decode(last.completion)
    : turns.flatMap(({ replies, text }) => [text, ...replies.map(({ content, role }) => `[${role}] ${content}`)]).join(
      "\n"
    )
