/** Data made of data: sampled, scored, chosen, curated. */
import fc from "fast-check"
import * as Ask from "../../../dsl/Ask.ts"
import * as Decontaminate from "../../../dsl/stages/Decontaminate.ts"
import * as Deduplicate from "../../../dsl/stages/Deduplicate.ts"
import * as Difficulty from "../../../dsl/stages/Difficulty.ts"
import * as Filter from "../../../dsl/stages/Filter.ts"
import * as Judge from "../../../dsl/stages/Judge.ts"
import * as Mix from "../../../dsl/stages/Mix.ts"
import * as Pair from "../../../dsl/stages/Pair.ts"
import * as Sample from "../../../dsl/stages/Sample.ts"
import * as Score from "../../../dsl/stages/Score.ts"
import * as Select from "../../../dsl/stages/Select.ts"
import * as Split from "../../../dsl/stages/Split.ts"
import { composedRewards, rubrics } from "./composedRewards.ts"
import { gold, index, maxNewTokens, seed, some } from "./parameters.ts"
import { family, onShelf, pick, type ShelfStep, stocked } from "./shelf.ts"

/** Completions of one policy or of two together, scored by a checker, by a judge, or by a reward when there is a reward model. */
export const scored: fc.Arbitrary<ShelfStep> = fc.record({
  family,
  policy: index,
  other: fc.option(index),
  data: index,
  reward: fc.option(index),
  composed: composedRewards,
  rubric: fc.option(rubrics),
  judge: index,
  gold,
  params: fc.record({ completionsPerPrompt: fc.integer({ min: 2, max: 3 }), maxNewTokens, seed }),
  extra: some({
    temperature: fc.double({ min: 0.1, max: 2, noNaN: true }),
    topK: fc.constantFrom(0, 2, 3),
    topP: fc.double({ min: 0.5, max: 1, noNaN: true }),
    batchSize: fc.integer({ min: 1, max: 3 }),
    ask: fc.constantFrom(
      Ask.template("{{prompt}}"),
      Ask.system("Be brief."),
      Ask.chat({ enable_thinking: false }),
      Ask.context({ system: "Be brief.", template: "Q: {{prompt}} A:", shots: 1 })
    )
  })
}).map(({ composed, data, extra, family, gold, judge: n, other, params, policy, reward, rubric }) => (shelf) => {
  const of = stocked(shelf, family)
  const policies = onShelf(shelf.policies, of)
  const judge = pick(policies, n)
  const by = (n: number) =>
    Sample.make({
      policy: pick(policies, n),
      prompts: pick(shelf.prompts, data),
      ...(extra.ask?.shots === undefined ? {} : { examples: pick(shelf.demonstrations, data) })
    }, { ...extra, ...params })
  const completions = other === null
    ? by(policy)
    : Mix.make({ one: by(policy), two: by(other) }, data % 2 === 0 ? {} : { take: { perPrompt: 3 } })
  if (data % 3 === 0) shelf.preferences.push(Judge.make({ completions }, { by: gold }))
  if (data % 3 === 1) shelf.preferences.push(Judge.make({ completions, judge }, { asks: "It ends." }))
  const own = onShelf(shelf.rewards, of)
  shelf.scored.push(
    rubric !== null
      ? Score.byRubric({ completions, judge }, { rubric })
      : reward === null || own.length === 0
      ? Score.byJudge({ completions }, { gold })
      : Score.byReward({ completions, reward: composed(pick(own, reward), judge) })
  )
})

const rule: fc.Arbitrary<Select.Rule> = fc.oneof(
  fc.integer({ min: 1, max: 2 }).map(Select.perPrompt),
  fc.integer({ min: 4, max: 8 }).map(Select.overall),
  // Low enough to accept some in any world, mostly.
  fc.constantFrom(-9, 0).map(Select.accept)
)

/** Choices among scored completions; no step while there are none. */
export const chosen: fc.Arbitrary<ShelfStep> = fc.record({
  of: index,
  rule,
  control: fc.boolean(),
  rejected: fc.constantFrom("random-lower" as const, "worst" as const, "every-lower" as const),
  margins: fc.constantFrom({}, { margins: true as const }),
  pairs: fc.boolean(),
  seed
}).map(({ control, margins, of, pairs, rejected, rule, seed }) => (shelf) => {
  if (shelf.scored.length === 0) return
  const completions = pick(shelf.scored, of)
  if (pairs) shelf.preferences.push(Pair.make({ completions }, { ...margins, rejected, seed }))
  else shelf.demonstrations.push(Select.make({ completions }, { rule, control, seed }))
})

/** Operations on data, of prompts and of demonstrations. */
export const curated: fc.Arbitrary<ShelfStep> = fc.record({
  of: index,
  other: index,
  op: fc.constantFrom("mix", "filter", "split", "deduplicate", "decontaminate", "difficulty"),
  // No mixture has fewer rows than the largest batch.
  n: fc.integer({ min: 4, max: 6 }),
  fraction: fc.double({ min: 0.1, max: 0.9, noNaN: true }),
  seed
}).map(({ fraction, n, of, op, other, seed }) => (shelf) => {
  const [one, two] = [pick(shelf.demonstrations, of), pick(shelf.demonstrations, other)]
  const [asked, held] = [pick(shelf.prompts, of), pick(shelf.held, other)]
  switch (op) {
    case "mix":
      // Not the whole of both: mixtures of mixtures would double and double. Never fewer rows than the largest batch.
      shelf.demonstrations.push(
        Mix.make({ one, two }, { take: { weights: { one: fraction, two: 1 }, count: 2 * n }, seed }),
        Mix.make({ one, two }, { take: { counts: { one: n, two: n } }, seed }),
        Mix.make({ one, two }, { take: { temperature: n, count: 2 * n }, seed }),
        Mix.make({ one, two }, { take: { epochs: { one: 1, two: fraction } }, atMost: { one: 2 * n, two: n }, seed })
      )
      break
    case "filter":
      shelf.demonstrations.push(Filter.make({ of: one }, { maxWords: 9, ended: true }))
      break
    case "split":
      shelf.prompts.push(...Split.make({ of: asked }, { fraction, seed }))
      break
    case "deduplicate":
      shelf.demonstrations.push(Deduplicate.make({ of: one }))
      shelf.prompts.push(Deduplicate.make({ of: asked }, { by: "prompt" }))
      break
    case "decontaminate":
      shelf.prompts.push(Decontaminate.make({ of: asked, against: held }, { ngram: n, overlap: fraction }))
      break
    case "difficulty":
      if (shelf.scored.length > 0) {
        const completions = pick(shelf.scored, of)
        // Nothing is solved: in any world all of them are left.
        shelf.prompts.push(Difficulty.make({ completions }, { atLeast: 0, atMost: 0.99, solved: 1e9 }))
      }
  }
})
