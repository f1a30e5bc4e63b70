/** What an environment (`dsl/Environment.ts`) does: its tools, and its answer to the turns of an episode. */
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import { Environment } from "../../dsl/Environment.ts"
import { BrokenExtension } from "../../dsl/Errors.ts"
import type { Reply } from "../data/conversation.ts"
import type { Tool, ToolCall } from "../data/toolCalls.ts"
import { limited, Overran } from "../model/foreign.ts"
import { type Random, stream } from "../sampling/random.ts"
import { thrown } from "./broken.ts"
import { calculate } from "./environments/calculator.ts"
import { guess } from "./environments/guessNumber.ts"
import type { VerifiedRow } from "./verifier.ts"

/** A message of the policy, and the answers to it. */
export interface Turn {
  /** Without special tokens. */
  readonly text: string
  /** The tool calls in it. */
  readonly calls: ReadonlyArray<ToolCall>
  /** Whether it ended by itself, before `maxNewTokens`: a message that was cut off gets no answer, and ends the episode. */
  readonly ended: boolean
  /** None of the turn that is to be answered now. */
  readonly replies: ReadonlyArray<Reply>
}

/** An episode up to the turn that is to be answered, the last of `turns`. */
export interface Episode {
  /** The row of the prompt with all its columns, `prompt` and `answer` under these names whatever they are called in the file. */
  readonly row: VerifiedRow
  readonly turns: readonly [Turn, ...ReadonlyArray<Turn>]
  /** Of the description. */
  readonly params: Readonly<Record<string, Schema.Json>>
  /** Random numbers of the episode under a name: the same at each turn, and in all episodes of a group. */
  readonly random: (name: string) => Random
}

/** An answer to a turn; without a `reply` the episode ends. */
export interface Step {
  /** A text is the result of the tool that was called, or without a call a message of the user. */
  readonly reply?: string | ReadonlyArray<Reply> | undefined
  /** r_k of this turn. Default: 0. */
  readonly reward?: number | undefined
}

export interface EnvironmentImplementation<out Name extends string = string> {
  readonly name: Name
  /** Pure and total: it never throws, and the same episode gets the same answer. `laws.environment` of `keel/testing` holds it to that. */
  readonly step: (episode: Episode) => Step | PromiseLike<Step>
  /** The chat template shows them to the policy at the start of each episode. */
  readonly tools: ReadonlyArray<Tool>
  /** The time of one answer. Code that never waits is stopped too, except after an `await`. */
  readonly seconds: number
  /** Of the code: with another version, everything that was trained in it is made again. */
  readonly version?: string | undefined
}

/**
 * The implementation of the environment that descriptions call `name`: one function of the row and the turns so far.
 *
 *     const echo = environment("Echo", ({ turns }) => turns.length < 3 ? { reply: turns.at(-1)!.text } : { reward: 1 })
 *
 * Change the `version` with the code; without it, the text of `step` itself counts, which leaves out the code that it calls.
 */
export const environment = <const Name extends string>(
  name: Name,
  step: EnvironmentImplementation["step"],
  { seconds = 10, tools = [], version }: Partial<Pick<EnvironmentImplementation, "seconds" | "tools" | "version">> = {}
): EnvironmentImplementation<Name> => ({ name, step, tools, seconds, version })

/** An episode by its row and its random streams, `${seed}/${name}`. */
export type Situation = Omit<Episode, "params" | "random"> & { readonly seed: string }

/** An answer with its defaults. */
export interface Stepped {
  readonly replies: ReadonlyArray<Reply>
  readonly reward: number
}

/** An environment in use. */
export interface Acts {
  readonly tools: ReadonlyArray<Tool>
  /** The answer to each; `stage` stands in its errors. */
  readonly step: (
    stage: string,
    situations: ReadonlyArray<Situation>
  ) => Effect.Effect<ReadonlyArray<Stepped>, BrokenExtension>
}

const isReply = (value: unknown): value is Reply => {
  const { content, role } = (value ?? {}) as Partial<Record<keyof Reply, unknown>>
  return typeof content === "string" && (role === "tool" || role === "user")
}

/** The answer with its defaults, or the mistake in it. */
export const stepped = ({ calls }: Turn, answer: Step | undefined): Stepped | string => {
  if (typeof answer !== "object" || answer === null) return `gave ${String(answer)} instead of { reply, reward }`
  const { reply, reward = 0 } = answer
  if (typeof reward !== "number" || !Number.isFinite(reward)) return `gave the reward ${String(reward)}`
  const role = calls.length > 0 ? "tool" : "user"
  const replies: unknown = typeof reply === "string" ? [{ role, content: reply }] : reply ?? []
  if (!Array.isArray(replies) || !replies.every(isReply)) {
    return 'gave a reply that is neither a text nor a list of messages { role: "tool" or "user", content }'
  }
  return { replies, reward }
}

/** Of Keel's own environments: each answers at once. */
const atOnce = (tools: ReadonlyArray<Tool>, step: (episode: Situation) => Step): Acts => ({
  tools,
  step: (_, situations) => Effect.sync(() => situations.map((one) => stepped(one.turns.at(-1)!, step(one)) as Stepped))
})

const own = (
  { name, params }: { readonly name: string; readonly params: Episode["params"] },
  { seconds, step, tools }: EnvironmentImplementation
): Acts => ({
  tools,
  step: (stage, situations) =>
    Effect.forEach(situations, ({ seed, ...episode }) => {
      const turn = episode.turns.at(-1)!
      const broken = (problem: string) =>
        new BrokenExtension({
          stage,
          kind: "environment",
          name,
          problem: `${problem} at turn ${episode.turns.length}, ${JSON.stringify(turn.text.slice(0, 60))}`
        })
      const late = `did not answer within ${seconds} s`
      const failed = (cause: unknown) => broken(cause instanceof Overran ? late : thrown(cause))
      const random = (name: string): Random => stream(`${seed}/${name}`)
      return Effect.try({ try: () => limited(() => step({ ...episode, params, random }), seconds), catch: failed })
        .pipe(
          Effect.flatMap((answer) =>
            typeof (answer as Partial<PromiseLike<Step>> | null)?.then === "function"
              ? Effect.timeoutOrElse(Effect.tryPromise({ try: () => answer as PromiseLike<Step>, catch: failed }), {
                duration: 1000 * seconds,
                orElse: () => Effect.fail(broken(late))
              })
              : Effect.succeed(answer as Step)
          ),
          Effect.flatMap((answer) => {
            const found = stepped(turn, answer)
            return typeof found === "string" ? Effect.fail(broken(found)) : Effect.succeed(found)
          })
        )
    }, { concurrency: 64 })
})

/** The tools of an environment of Keel's own: those of one from outside are known with its implementation only. */
export const toolsOf = ({ _tag }: Environment): ReadonlyArray<Tool> => _tag === "Calculator" ? calculate.tools : []

/** The environment that a description means. */
export const actsOf = (environment: Environment, given: ReadonlyArray<EnvironmentImplementation>): Acts =>
  Environment.match(environment, {
    Calculator: () => atOnce(calculate.tools, ({ turns }) => calculate.step(turns.at(-1)!.calls)),
    GuessNumber: () => atOnce([], ({ row, turns }) => guess(row.answer, turns.at(-1)!.text)),
    OwnEnvironment: (described) => {
      const found = given.find(({ name }) => name === described.name)
      if (found === undefined) {
        throw new Error(`the environment ${described.name} has no implementation: pass it in \`rewards\``)
      }
      return own(described, found)
    }
  })
