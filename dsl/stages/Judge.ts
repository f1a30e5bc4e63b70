/**
 * Feedback on completions that are there already: of one policy or of several (`Mix`), or of models elsewhere (`Source.completions`). Who
 * judges is an endpoint, a policy on the wire `judge`, people, or the labeler of a world whose gold reward is known.
 *
 * With a rubric every completion gets a score (`Score`), for `Pair`, `Select` and `Difficulty`. Without, the judge compares every two
 * different completions of a prompt: preferences as of `Compare`, which samples too. Pairs on which a judge contradicts itself, or sees a tie,
 * are left out and counted; of people, completions and pairs without a verdict. Done by `src/stages/judge.ts`.
 */
import * as Schema from "effect/Schema"
import { type Artifact, isArtifact } from "../Artifact.ts"
import type { Computed } from "../Data.ts"
import { build, define } from "../Definition.ts"
import type { JudgeFailed } from "../Errors.ts"
import type { RewardsOf } from "../Extension.ts"
import { Gold } from "../Gold.ts"
import {
  type Comparing,
  type Endpoint,
  Pairwise,
  pairwise,
  type People,
  type Rubric,
  whoMistake,
  wire
} from "../Judge.ts"
import * as Source from "../Source.ts"
import { Seed } from "../Training.ts"
import { type Checked, data, type Given, optional } from "../Wires.ts"
import * as Score from "./Score.ts"

export * from "../Judge.ts"

/** Which completions are compared, and by whom: exactly one of `gold`, `judge` and `people`. */
export class Judge extends Schema.TaggedClass<Judge>()("Judge", {
  /** What the labeler sees, who prefers by Bradley–Terry on it. */
  gold: Schema.optionalKey(Gold),
  judge: Schema.optionalKey(Pairwise),
  /** Their name; their verdicts are on the wire `verdicts`. */
  people: Schema.optionalKey(Schema.NonEmptyString),
  /** Of the labeler. */
  seed: Seed
}) {}

const completions = data("Completions", "completions, e.g. Sample.make(…) or Source.completions(…)")
const wires = {
  completions,
  judge: wire,
  verdicts: optional(data("Preferences", "the pairs that people chose, e.g. Source.preferences(…)"))
} as const
const given = { completions, judge: wire } as const

export const definition = define(Judge, wires, {
  opens: {},
  compares: () => ["a pair", 2],
  mistakes: ({ gold, judge, people }, connected) => [
    [gold, judge, people].filter((who) => who !== undefined).length !== 1 &&
    "Judge needs who compares the completions: a policy on the wire judge, or by, an endpoint, people or a gold reward",
    judge === undefined
      ? connected.judge !== undefined && "Judge.judge is connected, but others judge: leave by out, or the judge"
      : whoMistake("Judge", judge.endpoint, connected.judge),
    (people === undefined) !== (connected.verdicts === undefined) &&
    (people === undefined
      ? "Judge.verdicts is connected, but no people judge: leave it out"
      : `Judge.verdicts is missing: connect ${wires.verdicts.needs}`)
  ],
  makes: "Preferences",
  rows: (_, { verdicts }) => verdicts
})

/** Who judges, where it is no policy on the wire `judge`. */
type By = Endpoint | People
type Batched = Pick<typeof Score.Score["~type.make.in"], "batchSize">

/** With a rubric: a score for each completion. Without: preferences. */
export interface Make {
  <W extends Given>(
    connected: Checked<"Judge", typeof given, never, W>,
    params: Batched & { readonly rubric: Rubric; readonly by?: By }
  ): Computed<W, "ScoredCompletions", never, JudgeFailed>
  <W extends Given, const G extends Gold = never>(
    connected: Checked<"Judge", typeof given, never, W>,
    params:
      & { readonly rubric?: never; readonly seed?: number }
      & (({ readonly by?: By } & Omit<Comparing, "endpoint">) | {
        readonly by: G
        readonly asks?: never
        readonly reference?: never
      })
  ): Computed<W, "Preferences", RewardsOf<G>, JudgeFailed>
}

interface Params extends Omit<Comparing, "endpoint">, Batched {
  readonly by?: By | Gold
  readonly rubric?: Rubric
  readonly seed?: number
}

const verdictsOf = ({ verdicts }: People, read: (of: Source.Origin) => unknown): unknown =>
  isArtifact(verdicts) ? verdicts : read(verdicts)

const made = (connected: Given, { asks, batchSize, by, reference, rubric, seed }: Params): unknown => {
  const endpoint = by?._tag === "Endpoint" ? by : undefined
  const people = by?._tag === "People" ? by : undefined
  if (rubric !== undefined) {
    const options = { rubric, ...(batchSize === undefined ? {} : { batchSize }) }
    return people === undefined
      ? Score.byRubric(connected, { ...options, ...(endpoint === undefined ? {} : { endpoint }) })
      : Score.byPeople(
        { ...connected, verdicts: verdictsOf(people, Source.scoredCompletions) } as {
          readonly completions: Artifact<"Completions">
          readonly verdicts: Artifact<"ScoredCompletions">
        },
        { ...options, name: people.name }
      )
  }
  const seeded = seed === undefined ? {} : { seed }
  if (people !== undefined) {
    return build(definition, { ...connected, verdicts: verdictsOf(people, Source.preferences) }, {
      people: people.name,
      ...seeded
    })
  }
  return by === undefined || by._tag === "Endpoint"
    ? build(definition, connected, { judge: pairwise({ asks, endpoint, reference }), ...seeded })
    : build(definition, connected, { gold: by, ...seeded })
}

export const make = made as Make
