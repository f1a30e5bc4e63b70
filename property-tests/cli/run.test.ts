import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join, relative } from "node:path"
import { assert, beforeAll, describe, it } from "vitest"
import { toJson } from "../../dsl/Pipeline.ts"
import { ofMean } from "../../src/ledger/interval.ts"
import type { Intervals } from "../../src/report/ledger.ts"
import type { Measurement } from "../../src/store/runLog.ts"
import { contents, folderIn, leftovers, runs, succeeded, tiny } from "../interpreters/tiny.ts"
import { folders } from "../store/faultyFileSystem.ts"
import { keel, start } from "./keel.ts"

const folder = folders("run")
const { base, root } = tiny({ steps: 12 })
const args = ["run", "tiny.json", "--out", "runs/tiny", "--backend", "reference"]

let expected: ReadonlyMap<string, string>
beforeAll(async () => {
  const store = folder()
  succeeded(await runs(root, store))
  expected = contents(store)
})

/** A folder with the description in it. */
const workplace = (description = toJson(root)): string => {
  const at = folder()
  mkdirSync(at)
  writeFileSync(join(at, "tiny.json"), description)
  return at
}
const lines = (at: string): ReadonlyArray<string> => {
  const path = join(at, "runs/tiny/events.jsonl")
  return existsSync(path) ? readFileSync(path, "utf8").split("\n").filter((line) => line !== "") : []
}
/** Waits until the event log says so, or the process is over. */
const until = (
  at: string,
  ready: (lines: ReadonlyArray<string>) => boolean,
  ended: Promise<unknown>
): Promise<unknown> => {
  const stop = new AbortController()
  const watching = (async () => {
    while (!stop.signal.aborted && !ready(lines(at))) await new Promise((resolve) => setTimeout(resolve, 2))
  })()
  return Promise.race([watching, ended]).finally(() => stop.abort())
}

describe("keel run", () => {
  it("writes the run's folder and prints the table; again, it finds everything", async () => {
    const at = workplace()
    const first = await keel(args, at)
    assert.strictEqual(first.code, 0, first.stderr)
    assert.deepStrictEqual(contents(join(at, "runs/store")), expected)
    assert.sameMembers(readdirSync(join(at, "runs/tiny")), [
      "description.json",
      "run.json",
      "events.jsonl",
      "ledger.json",
      "metrics.jsonl",
      "samples.jsonl",
      "planned.json",
      "plots",
      "report.md",
      "spending.json"
    ])
    assert.strictEqual(readFileSync(join(at, "runs/tiny/description.json"), "utf8"), `${toJson(root)}\n`)
    assert.match(first.stdout, /\| model *\| gold reward.*\n.*\n\| base .*\n\| sft .*\n\| ppo /)
    for (const event of lines(at)) assert.containsAllKeys(JSON.parse(event), ["at", "event"])
    const ledger: ReadonlyArray<Measurement & Intervals> = JSON.parse(
      readFileSync(join(at, "runs/tiny/ledger.json"), "utf8")
    )
    assert.deepStrictEqual(ledger.map(({ cap, step }) => [step, cap]), [2, 4, 6, 8, 10, 12].map((step) => [step, 15]))
    const report = readFileSync(join(at, "runs/tiny/report.md"), "utf8")
    for (const { interval, mean, perToken, perTokenError, perTokenInterval, samples, standardError } of ledger) {
      assert.deepStrictEqual(interval, ofMean(mean, standardError, samples))
      assert.deepStrictEqual(perTokenInterval, ofMean(perToken, perTokenError!, samples))
      const { high, low } = interval!
      assert.include(report, `${mean.toFixed(3)} ± ${standardError.toFixed(3)} [${low.toFixed(3)}, ${high.toFixed(3)}]`)
    }
    assert.match(report, /## Spending\n\nPlanned \/ spent:\n\n\| stage .*\n.*\n\| pretrain-/u)
    for (const [, plot] of report.matchAll(/\]\((plots\/.*)\)/gu)) {
      assert.isTrue(existsSync(join(at, "runs/tiny", plot!)), plot)
    }

    const second = await keel([...args, "--json"], at)
    assert.strictEqual(second.code, 0, second.stderr)
    assert.deepStrictEqual(JSON.parse(second.stdout).report.models.map(({ name }: { name: string }) => name), [
      "base",
      "sft",
      "ppo"
    ])
    assert.match(second.stderr, /✓ evaluate-[0-9a-f]{8} {2}made before/)
  })

  it("killed at any moment goes on with keel resume to the same bytes", async () => {
    const at = workplace()
    let killed = 0
    // The first moment is before anything is finished, the last in PPO.
    for (const [i, n] of [4, 14, 24, 33].entries()) {
      const { child, ended } = start(i === 0 ? args : ["resume", "runs/tiny"], at)
      await until(at, (lines) => lines.length >= n, ended)
      child.kill("SIGKILL")
      if ((await ended).signal === "SIGKILL") killed++
    }
    assert.isAtLeast(killed, 3)
    const last = await keel(["resume", "runs/tiny"], at)
    assert.strictEqual(last.code, 0, last.stderr)
    assert.deepStrictEqual(contents(join(at, "runs/store")), expected)
    assert.deepStrictEqual(leftovers(join(at, "runs/store")), [])
    // What a crash told twice counts once: every step of PPO is in the metrics exactly once.
    const steps = readFileSync(join(at, "runs/tiny/metrics.jsonl"), "utf8").trim().split("\n").map((line) =>
      JSON.parse(line)
    )
    const ppo = steps.filter(({ stage }: { stage: string }) => stage.startsWith("ppo-")).map((
      { step }: { step: number }
    ) => step)
    assert.deepStrictEqual(ppo.sort((a: number, b: number) => a - b), Array.from({ length: 12 }, (_, i) => i + 1))
  })

  it("stopped with Ctrl-C says how to go on, exits with 130, and does", async () => {
    const at = workplace()
    const { child, ended } = start(args, at)
    await until(at, (lines) => lines.some((line) => line.includes('"Step"') && line.includes("ppo-")), ended)
    child.kill("SIGINT")
    const { code, stderr } = await ended
    assert.strictEqual(code, 130, stderr)
    assert.match(stderr, /Go on with: keel resume .*runs\/tiny$/mu)
    assert.isTrue(leftovers(join(at, "runs/store")).some((path) => /ppo-.*step-\d+.state\.json$/u.test(path)))
    assert.match(readFileSync(join(at, "runs/tiny/report.md"), "utf8"), /Not finished/)
    const second = await keel(["resume", "runs/tiny"], at)
    assert.strictEqual(second.code, 0, second.stderr)
    assert.match(second.stderr, /ppo-[0-9a-f]{8} {2}goes on from step \d+ of 12/)
    assert.deepStrictEqual(contents(join(at, "runs/store")), expected)
  })

  it("that passes its KL cap exits with 1, and the report says so", async () => {
    const at = workplace(toJson(tiny({ cap: 1, beta: 0, learningRate: 1, steps: 2 }).root))
    const { code, stderr } = await keel(args, at)
    assert.strictEqual(code, 1)
    assert.match(
      stderr,
      /^KlBudgetExceeded: ppo-[0-9a-f]{8} spent \d+ ± \d+ mnats of KL per sequence at step 2; the cap is 1\. Kept: /mu
    )
    assert.match(readFileSync(join(at, "runs/tiny/report.md"), "utf8"), /\*\*KlBudgetExceeded\*\* — ppo-/)
  })
})

describe("keel generate", () => {
  it("continues a prompt with a model that Keel saved, the same for the same seed", async () => {
    const at = folder()
    succeeded(await runs(base, at))
    const model = join(relative(at, await folderIn(at, base)), "model")
    const ask = (...more: ReadonlyArray<string>) =>
      keel(["generate", model, "--prompt", "a dog", "--max-tokens", "5", "--backend", "reference", ...more], at)
    const [seed1, again, seed2, greedy, text, long, chat] = await Promise.all([
      ask("--seed", "1", "--json"),
      ask("--seed", "1", "--json"),
      ask("--seed", "2", "--json"),
      ask("--greedy", "--json"),
      ask("--seed", "1"),
      keel(["generate", model, "--prompt", "dog ".repeat(200)], at),
      ask("--chat")
    ])
    const { completion, finished, ids, logps, prompt_ids, text: all } = JSON.parse(seed1.stdout)
    assert.isTrue(ids.length === 5 || finished)
    assert.lengthOf(logps, ids.length)
    assert.isTrue(logps.every((logp: number) => logp < 0))
    assert.lengthOf(prompt_ids, 3)
    assert.strictEqual(all, `a dog${completion === "" ? "" : ` ${completion.trim()}`}`)
    assert.strictEqual(text.stdout, `${all}\n`)
    assert.strictEqual(again.stdout, seed1.stdout)
    assert.notStrictEqual(seed2.stdout, seed1.stdout)
    const best = JSON.parse(greedy.stdout)
    assert.isAtLeast(best.logps[0], Math.max(logps[0], JSON.parse(seed2.stdout).logps[0]))
    assert.deepStrictEqual([long.code, chat.code], [1, 1])
    assert.match(
      long.stderr,
      /^UnusableData: generate: row 1 has 201 tokens and needs room for 1 more; the context is 96/mu
    )
    assert.match(chat.stderr, /^UnusableData: generate: .*template/mu)
  })
})
