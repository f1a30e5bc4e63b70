/** Feedback on completions that are there already: by gold, a judge, people; in a run by their files, in a simulation by the world's gold. */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { Effect } from "effect"
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "vitest"
import type * as Artifact from "../../dsl/Artifact.ts"
import { Checkpoint, Gold, Judge, Mix, Pair, RewardModeling, Sample, Source } from "../../dsl/index.ts"
import type { CompletionRow, PreferenceRow, ScoredRow } from "../../src/data/rows.ts"
import { pairsIn, scoresIn } from "../../src/data/verdicts.ts"
import { problems } from "../../src/interpreters/check.ts"
import { simulate } from "../../src/interpreters/simulate.ts"
import { plan } from "../../src/planning/plan.ts"
import type { Event } from "../../src/store/runLog.ts"
import { folders } from "../store/faultyFileSystem.ts"
import { failed, folderIn, runs, succeeded, tiny } from "./tiny.ts"
import { rowsOf, small } from "./worldly.ts"

const base = Checkpoint.huggingFace("world", "anywhere")
const prompts = Source.prompts(Source.tales({ count: 2 }))
const completions = Sample.make({ policy: base, prompts }, { completionsPerPrompt: 4, maxNewTokens: small.horizon })
const rubric = Judge.rubric("How good it is.", { scale: { min: 1, max: 5 } })
const folder = folders("judge")
const said = (root: Artifact.Any): string => problems(root).map(({ problem }) => problem).join("\n")

const written = (name: string, rows: ReadonlyArray<object>): string => {
  const at = folder()
  mkdirSync(at, { recursive: true })
  const path = join(at, name)
  writeFileSync(path, rows.map((row) => `${JSON.stringify(row)}\n`).join(""))
  return path
}

describe("completions compared two by two", () => {
  it("are every pair of different completions of a prompt, the one with more gold chosen, of own and foreign ones alike", async () => {
    const pool = Source.completions(Source.tales({ count: 12 }))
    const all = Mix.make({ completions, pool })
    const [rows, pairs] = [
      await rowsOf<CompletionRow>(all),
      await rowsOf<PreferenceRow>(Judge.make({ completions: all }, { by: Gold.tales }))
    ]
    const expected = rows.flatMap((a, i) =>
      rows.slice(i + 1).filter((b) => b.prompt === a.prompt && b.completion !== a.completion).map((b) =>
        [a.prompt, ...[a.completion, b.completion].sort()].join(" / ")
      )
    )
    assert.isAbove(expected.length, 20)
    assert.deepStrictEqual(
      pairs.map(({ chosen, prompt, rejected }) => [prompt, ...[chosen, rejected].sort()].join(" / ")).sort(),
      expected.sort()
    )
    for (const { chosen, prompt, rejected } of pairs) {
      assert.isAtLeast(small.gold(prompt, chosen), small.gold(prompt, rejected))
    }
  })
})

describe("who judges", () => {
  const crowd = Judge.people("crowd", { verdicts: "none.jsonl", rows: 8 })
  it("is one of them, and said where there is none or two", () => {
    assert.match(
      said(Judge.make({ completions }, {})),
      /Judge has no judge: connect a policy as judge, or give an endpoint/u
    )
    const endpoint = Judge.endpoint("http://localhost:1/v1", "m")
    assert.match(said(Judge.make({ completions, judge: base }, { by: endpoint })), /Judge has two judges/u)
    assert.match(
      said(Judge.make({ completions, judge: base }, { by: crowd })),
      /Judge.judge is connected, but others judge/u
    )
    assert.match(
      said(Judge.make({ completions, judge: base }, { by: crowd, rubric })),
      /its scorer is PeopleScorer: leave the judge out/u
    )
    assert.match(
      said(
        Judge.make({
          completions: Sample.make({ policy: base, prompts }, { completionsPerPrompt: 1, maxNewTokens: 3 })
        }, { by: crowd })
      ),
      /a pair needs 2 completions of a prompt, and there is 1/u
    )
    for (
      const params of [{ by: endpoint }, { by: crowd }, { by: Gold.tales }, { by: endpoint, rubric }, {
        by: crowd,
        rubric
      }]
    ) {
      assert.strictEqual(said(Judge.make({ completions }, params as { readonly by: Judge.Endpoint })), "")
    }
    assert.strictEqual(said(Judge.make({ completions, judge: base }, {})), "")
  })

  it("people of a simulation see the world's gold, as a judge does: the same scores, the same pairs", async () => {
    const judgedBy = async (by: Judge.Endpoint | Judge.People) => {
      const events: Array<Event> = []
      const preferences = Mix.make({
        pairs: Judge.make({ completions }, { by }),
        scores: Pair.make({ completions: Judge.make({ completions }, { by, rubric }) })
      })
      const root = RewardModeling.make({ init: base, preferences }, { batchSize: 4, learningRate: 1e-3 })
      await Effect.runPromise(simulate(root, { onEvent: (event) => events.push(event) }))
      return events.flatMap((event) => event._tag === "Judged" ? [[event.judge, event.judged] as const] : [])
    }
    const people = await judgedBy(crowd)
    const endpoint = await judgedBy(Judge.endpoint("http://localhost:1/v1", "m"))
    assert.deepStrictEqual(people.map(([name]) => name), ["crowd", "crowd"])
    assert.deepStrictEqual(people.map(([, judged]) => judged), endpoint.map(([, judged]) => judged))
  })

  it("people of a plan are counted by their rows", async () => {
    const { base, prompts } = tiny()
    const completions = Sample.make({ policy: base, prompts }, { completionsPerPrompt: 4, maxNewTokens: 4 })
    const described = (completion?: number) =>
      Judge.people("crowd", {
        verdicts: Source.described("week 1", {
          rows: 400,
          tokens: { prompt: 9, completion: 20, ...(completion === undefined ? {} : { completions: completion }) }
        })
      })
    const rewardOf = (preferences: Artifact.Artifact<"Preferences", "">) =>
      RewardModeling.make({ init: base, preferences }, { batchSize: 4, learningRate: 1e-3 })
    const planned = async (root: Artifact.Any) => {
      const { stages, unplanned } = await Effect.runPromise(Effect.provide(plan(root), NodeFileSystem.layer))
      assert.deepStrictEqual(unplanned, [])
      return stages.find(({ stage }) => stage.startsWith("rewardmodeling"))!.steps
    }
    assert.strictEqual(await planned(rewardOf(Judge.make({ completions }, { by: described() }) as never)), 100)
    // Of 100 prompts with 4 answers each a pair.
    assert.strictEqual(
      await planned(
        rewardOf(Pair.make({ completions: Judge.make({ completions }, { by: described(4), rubric }) }) as never)
      ),
      25
    )
  })
})

describe("verdicts of people in a run", () => {
  const { base, prompts } = tiny()
  const own = Sample.make({ policy: base, prompts }, { completionsPerPrompt: 3, maxNewTokens: 4 })
  const sampled = async (at: string): Promise<ReadonlyArray<CompletionRow>> => {
    succeeded(await runs(own, at))
    const { readFileSync, readdirSync } = await import("node:fs")
    const made = await folderIn(at, own)
    const file = readdirSync(made, { recursive: true }).map(String).find((name) => name.endsWith(".jsonl"))!
    return readFileSync(join(made, file), "utf8").trim().split("\n").map((line) => JSON.parse(line) as CompletionRow)
  }

  it("are found by the texts; completions without one and verdicts on others are left out and counted", async () => {
    const at = join(folder(), "found")
    const rows = await sampled(at)
    const scores = rows.slice(0, 6).map(({ completion, prompt }, i) => ({ prompt, completion, score: 1 + i % 5 }))
    const verdicts = written("scores.jsonl", [...scores, { prompt: "another", completion: "one", score: 3 }])
    const root = Judge.make({ completions: own }, { by: Judge.people("crowd", { verdicts, rows: 7 }), rubric })
    const { events } = succeeded(await runs(root, at))
    const [step] = events.flatMap((event) =>
      event._tag === "Step" && event.stage.startsWith("score") ? [event.metrics] : []
    )
    assert.strictEqual(step!["verdicts/of_other_completions"], 1)
    const left = events.find((event) => event._tag === "Fitted" && event.stage.startsWith("score"))
    const known = new Set(scores.map(({ completion, prompt }) => `${prompt}/${completion}`))
    const without = rows.filter(({ completion, prompt }) => !known.has(`${prompt}/${completion}`)).length
    assert.deepInclude(left, { dropped: without, rows: rows.length })

    const off = written("off.jsonl", [{ ...scores[0]!, score: 9 }])
    const outside = failed(
      await runs(Judge.make({ completions: own }, { by: Judge.people("crowd", { verdicts: off }), rubric }), at)
    )
    assert.match(outside.message, /row 1 of the verdicts of crowd scores 9, outside of 1 to 5/u)
    const none = written("none.jsonl", [{ prompt: "another", chosen: "a", rejected: "b" }])
    const nothing = failed(
      await runs(Judge.make({ completions: own }, { by: Judge.people("crowd", { verdicts: none }) }), at)
    )
    assert.match(nothing.message, /of 1 verdicts of crowd none is on two of its 24 completions/u)
    // Nobody has judged yet: the file is there, and empty.
    const silent = written("silent.jsonl", [])
    for (const how of [{ rubric }, {}]) {
      const by = Judge.people("crowd", { verdicts: silent })
      const silence = failed(
        await runs(Judge.make({ completions: own }, { by, ...how } as { readonly by: typeof by }), at)
      )
      assert.match(silence.message, /silent\.jsonl/u)
    }
    const more = failed(
      await runs(Judge.make({ completions: own }, { by: Judge.people("crowd", { verdicts, rows: 8 }), rubric }), at)
    )
    assert.match(more.message, /it has 7 rows, and its description says 8/u)
  })

  it("by hand: the mean of several verdicts on one completion, pairs of which both answers are there", () => {
    const answer = (completion: string): CompletionRow => ({
      prompt: "p",
      completion,
      ended: completion !== "b",
      tokens: 1
    })
    const rated = (completion: string, score: number): ScoredRow => ({ ...answer(completion), score })
    assert.deepStrictEqual(
      scoresIn([answer("a"), answer("b"), answer("c")], [rated("a", 1), rated("a", 4), rated("c", 2), rated("d", 5)]),
      { scores: [2.5, null, 2], unmatched: 1 }
    )
    const pair = (chosen: string, rejected: string): PreferenceRow => ({ prompt: "p", chosen, rejected, margin: 3 })
    assert.deepStrictEqual(pairsIn([answer("a"), answer("b")], [pair("a", "b"), pair("a", "d")]), {
      pairs: [{ ...pair("a", "b"), ended: { chosen: true, rejected: false } }],
      unmatched: 1
    })
  })
})
