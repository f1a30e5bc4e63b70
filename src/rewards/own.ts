/**
 * The implementations of rewards and verifiers from outside Keel: the meanings of an `OwnReward` (`dsl/Extension.ts`) and of an
 * `OwnVerifier` (`dsl/Verifier.ts`).
 */
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import { BrokenExtension } from "../../dsl/Errors.ts"
import type { OwnVerifier } from "../../dsl/Verifier.ts"
import { thrown } from "./broken.ts"
import type { EnvironmentImplementation } from "./environment.ts"
import { waiting } from "./waiting.ts"
import type { Asked, Question, VerifiedRow } from "./verifier.ts"

export type { VerifiedRow } from "./verifier.ts"

type Params = Readonly<Record<string, Schema.Json>>

export interface RewardImplementation<out Name extends string = string> {
  readonly name: Name
  /**
   * Pure, total and bounded, in units of its own: it never throws, and the same text has the same score. `params` come from the
   * description. `laws.reward` of `keel/testing` holds it to that.
   */
  readonly score: (prompt: string, completion: string, params: Params) => number
  /** Of the code: with another version, everything that it judged is made again. */
  readonly version?: string | undefined
}

/**
 * The implementation of the reward that descriptions call `name`. Change the `version` with the code; without it, the text of `score` itself
 * counts, which leaves out the code that it calls.
 */
export const reward = <const Name extends string>(
  name: Name,
  score: RewardImplementation["score"],
  { version }: { readonly version?: string } = {}
): RewardImplementation<Name> => ({ name, score, version })

/** The parameters of the description, and how the completion was sampled, where that is known. */
export type Verified = Pick<Asked, "ended" | "tokens"> & { readonly params: Params }

type Verdict = number | boolean

export interface VerifierImplementation<out Name extends string = string> {
  readonly name: Name
  /** Pure and total, as a reward: a finite number, or true for 1. `laws.verifier` of `keel/testing` holds it to that. */
  readonly verify: (
    row: VerifiedRow,
    completion: string,
    about: Verified
  ) => Verdict | PromiseLike<Verdict> | Effect.Effect<Verdict, unknown>
  /** Completions that are judged at the same time, where it answers later. */
  readonly concurrency: number
  /** Of the code: with another version, everything that it judged is made again. */
  readonly version?: string | undefined
}

/** The implementation of the verifier that descriptions call `name`; its `version` as that of a reward. */
export const verifier = <const Name extends string>(
  name: Name,
  verify: VerifierImplementation["verify"],
  { concurrency = 16, version }: { readonly concurrency?: number; readonly version?: string } = {}
): VerifierImplementation<Name> => ({ name, verify, concurrency, version })

/** What `rewards` takes. */
export type Judging<Name extends string = string> =
  | RewardImplementation<Name>
  | VerifierImplementation<Name>
  | EnvironmentImplementation<Name>

const short = (text: string): string => JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text)

/** The verdicts of a verifier from outside, which may come later. */
export const verdictsOf = (
  stage: string,
  { name, params, seconds }: OwnVerifier,
  own: ReadonlyArray<Judging>,
  questions: ReadonlyArray<Question>
): Effect.Effect<ReadonlyArray<number>, BrokenExtension> => {
  const found = own.find((one): one is VerifierImplementation => one.name === name && "verify" in one)
  if (found === undefined) throw new Error(`the verifier ${name} has no implementation: pass it in \`rewards\``)
  const one = ({ columns, completion, ended, row, tokens, ...asked }: Question) => {
    const broken = (problem: string) =>
      new BrokenExtension({
        stage,
        kind: "verifier",
        name,
        problem: `${problem} for the prompt of row ${row}, ${short(asked.prompt)}, and the completion ${
          short(completion)
        }`
      })
    const about = { params, ...(ended === undefined ? {} : { ended }), ...(tokens === undefined ? {} : { tokens }) }
    return Effect.suspend(() => {
      const answer = found.verify({ ...columns, ...asked }, completion, about)
      if (Effect.isEffect(answer)) return answer
      return typeof answer === "object"
        ? Effect.tryPromise({ try: () => answer, catch: (error) => error })
        : Effect.succeed(answer)
    }).pipe(
      Effect.catchDefect((defect) => Effect.fail(defect)),
      Effect.mapError((error) => broken(thrown(error))),
      Effect.flatMap((verdict) =>
        typeof verdict === "boolean" || (typeof verdict === "number" && Number.isFinite(verdict))
          ? Effect.succeed(Number(verdict))
          : Effect.fail(broken(`gave ${String(verdict)}`))
      ),
      (judging) =>
        seconds === undefined ? judging : Effect.timeoutOrElse(judging, {
          duration: seconds * 1000,
          orElse: () => Effect.fail(broken(`gave no answer within its ${seconds} seconds`))
        })
    )
  }
  return waiting(
    stage,
    `the verifier ${name}`,
    questions.length,
    (answered) =>
      Effect.forEach(questions, (question) => Effect.tap(one(question), answered), { concurrency: found.concurrency })
  )
}
