import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Environment } from "../../dsl/Environment.ts"
import type { BrokenExtension, BudgetExceeded, JudgeFailed, NoSandbox } from "../../dsl/Errors.ts"
import { Gold } from "../../dsl/Gold.ts"
import type { Check, Verifier } from "../../dsl/Verifier.ts"
import { unbroken } from "./broken.ts"
import { canRun, codeVerdicts } from "./code/verdict.ts"
import { type Acts, actsOf } from "./environment.ts"
import { features, preference } from "./labeler.ts"
import type { KindOf } from "./composed.ts"
import { type Judging, type RewardImplementation, verdictsOf } from "./own.ts"
import { stories } from "./stories.ts"
import type { PromptRow } from "../data/rows.ts"
import { tales } from "../data/tales/gold.ts"
import { type Question, unreachable, verify } from "./verifier.ts"

/** The errors of judging. */
export type Unjudged = BrokenExtension | BudgetExceeded | JudgeFailed | NoSandbox

/** The gold reward of a completion, and a labeler's choice between two completions. */
export class Judge extends Context.Service<Judge, {
  /** Pure, total and bounded; in the units of the checker. */
  readonly gold: (gold: Gold, prompt: string, completion: string) => number
  /** Whether the labeler prefers `a` to `b`, given a uniform random number in [0, 1). */
  readonly prefers: (gold: Gold, prompt: string, a: string, b: string, u: number) => boolean
  /**
   * The verdict of a verifier on each completion, a share of its weight: in [0, 1], except for that of a verifier from outside, which is
   * any finite number. Pure and total. All that judges by asking elsewhere (a process, a server) answers here, with as many questions at a
   * time as it can bear; `stage` stands in its errors.
   */
  readonly verifies: (
    stage: string,
    verifier: Verifier,
    questions: ReadonlyArray<Question>
  ) => Effect.Effect<ReadonlyArray<number>, Unjudged>
  /** The kind of a row; left out by a judge that reads its column. */
  readonly kindOf?: KindOf
  /** The tools of an environment, and its answers to turns; left out by a judge that knows none. */
  readonly environment?: (environment: Environment) => Acts
  /** Why no completion of the prompt can pass a verifier's check; left out by a judge that does not read the text. */
  readonly unreachable?: typeof unreachable
  /** Fails where a verifier cannot answer on this machine; left out by a judge that always can. */
  readonly ready?: (stage: string, verifier: Verifier, rows: ReadonlyArray<PromptRow>) => Effect.Effect<void, Unjudged>
}>()("keel/Judge") {}

/** The door of a judge that knows each verdict at once. */
export const atOnce =
  <V extends Verifier = Verifier>(verdict: (question: Question, verifier: V) => number | boolean) =>
  (_: string, verifier: V, questions: ReadonlyArray<Question>): Effect.Effect<ReadonlyArray<number>> =>
    Effect.sync(() => questions.map((question) => Number(verdict(question, verifier))))

const check = atOnce<Check>((question, verifier) => verify(verifier, question, question.completion))

const checker = (gold: Gold, own: ReadonlyArray<Judging>) =>
  Gold.match(gold, {
    TalesChecker: () => tales,
    StoryChecker: () => stories,
    OwnReward: ({ name, params }) => {
      const reward = own.find((one): one is RewardImplementation => one.name === name && "score" in one)
      if (reward === undefined) throw new Error(`the reward ${name} has no implementation: pass it in \`rewards\``)
      return (prompt: string, completion: string) =>
        unbroken(
          "reward",
          name,
          () => reward.score(prompt, completion, params),
          (score) =>
            Number.isFinite(score) ? null : `gave ${String(score)} for the completion ${JSON.stringify(completion)}`
        )
    }
  })

/** The built-in checkers, rewards and verifiers from outside, and labelers with their tastes and mistakes (`labeler.ts`). */
export const layer = (own: ReadonlyArray<Judging> = []): Layer.Layer<Judge> =>
  Layer.succeed(Judge, {
    gold: (gold, prompt, completion) => checker(gold, own)(prompt, completion),
    prefers: (gold, prompt, a, b, u) => {
      const score = checker(gold, own)
      return u < preference(score(prompt, a), score(prompt, b), features(a), features(b))
    },
    verifies: (stage, verifier, questions) =>
      verifier._tag === "OwnVerifier"
        ? verdictsOf(stage, verifier, own, questions)
        : verifier._tag === "Code"
        ? codeVerdicts(stage, verifier, questions)
        : check(stage, verifier, questions),
    environment: (environment) => actsOf(environment, own.filter((one) => "step" in one)),
    unreachable,
    ready: (stage, verifier, rows) => verifier._tag === "Code" ? canRun(stage, verifier, rows) : Effect.void
  })
