/**
 * Runs the small copy of each recipe as a user does: `npm run test:recipes -- [NAME…] [--seeds 0,1,2] [--out FOLDER]`, all recipes with
 * seed 0 when left out.
 *
 * Fails where a run takes more than two minutes of a processor; where the run of the first seed, killed by SIGKILL at a random moment and
 * resumed, has other bytes than the undisturbed run; and where a stage does not improve what it optimises and `reasons` does not say why. A
 * stage improves where the last quarter of its steps is better than the first by more than two standard errors: over steps, and with
 * several seeds also over seeds.
 * Last, each is simulated, and its orderings by enumeration hold or have a reason.
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { loadavg, tmpdir } from "node:os"
import { join } from "node:path"
import { parseArgs } from "node:util"
import * as Result from "effect/Result"
import * as Effect from "effect/Effect"
import { Pipeline, recipes, Render } from "../dsl/index.ts"
import type { Event } from "../src/store/runLog.ts"
import { keel, madeIn, seeded } from "./chaos/trials.ts"
import { improvement, optimised, type Quarters } from "./recipes/improvement.ts"
import { ordered } from "./recipes/orderings.ts"
import { reasons } from "./recipes/reasons.ts"

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { seeds: { type: "string", default: "0" }, out: { type: "string" } }
})
const all = recipes.map(({ name }) => name)
const names = positionals.length === 0 ? all : positionals
const unknown = names.filter((name) => !all.includes(name))
if (unknown.length > 0) throw new Error(`no recipe ${unknown.join(", ")}; there are ${all.join(", ")}`)
const seeds = values.seeds.split(",")
const folder = values.out ?? mkdtempSync(join(tmpdir(), "keel-recipes-"))

/** Says at the end how many seconds of processors a run took: the clock depends on other programs. */
const NODE_OPTIONS =
  "--import=data:text/javascript,process.on('exit',()=>console.error(JSON.stringify({cpu:process.cpuUsage()})))"
const secondsIn = (text: string): number | undefined => {
  const { system, user } = JSON.parse(/^\{"cpu":(.*)\}$/mu.exec(text)?.[1] ?? "{}") as Partial<NodeJS.CpuUsage>
  return user === undefined || system === undefined ? undefined : (user + system) / 1e6
}
const [most, hung] = [120, 1800]

let [passed, failed] = [0, 0]
const judged = (name: string, problems: ReadonlyArray<string>) => {
  if (problems.length === 0) passed++
  else failed++
  for (const problem of problems) console.log(`  FAILED ${name}: ${problem}`)
}

/** First and last quarters of the steps of each stage that optimises something, by its name in the pipeline, in order. */
const quartersOf = (run: string, recipe: string): ReadonlyArray<readonly [stage: string, Quarters]> => {
  const root = Result.getOrThrow(Pipeline.fromJson(readFileSync(join(run, "description.json"), "utf8")))
  const steps = new Map<string, Array<Readonly<Record<string, number>>>>()
  for (const line of readFileSync(join(run, "events.jsonl"), "utf8").trim().split("\n")) {
    const { event } = JSON.parse(line) as { readonly event: Event }
    if (event._tag === "Step") steps.set(event.stage, [...steps.get(event.stage) ?? [], event.metrics])
  }
  return [...steps].flatMap(([label, metrics]) => {
    const stage = label.split("-")[0]!
    const found = optimised(stage, metrics, reasons[recipe]?.[stage]?.metric)
    const name = Render.naming(root)(label)
    return found === undefined ? [] : [[name === label ? stage : `${stage} ${name}`, found]]
  })
}

for (const name of names) {
  const bySeed: Array<ReturnType<typeof quartersOf>> = []
  for (const seed of seeds) {
    const [at, again] = [join(folder, name, seed), join(folder, name, `${seed}-killed`)]
    for (const one of [at, again]) {
      rmSync(one, { recursive: true, force: true })
      mkdirSync(one, { recursive: true })
    }
    const args = (to: string) => ["run", name, "--shrink", "--seed", seed, "--out", join(to, "run")]
    const { code, milliseconds, text } = await keel(args(at), { NODE_OPTIONS }, undefined, hung * 1000)
    const seconds = secondsIn(text)
    console.log(
      `${name}, seed ${seed}: ${seconds?.toFixed(0) ?? "?"} s of a processor, ${
        (milliseconds / 1000).toFixed(0)
      } s by the clock at a load of ${loadavg()[0]!.toFixed(1)}`
    )
    judged(`${name}, seed ${seed}`, [
      ...code === 0 ? [] : [text.trim().split("\n").slice(-3).join("\n")],
      ...(seconds ?? 0) > most ? [`it took more than ${most} s`] : []
    ])
    if (code !== 0) continue
    bySeed.push(quartersOf(join(at, "run"), name))

    if (seed !== seeds[0]) continue
    const moment = milliseconds * (0.05 + 0.9 * seeded(all.indexOf(name) + Number(seed))())
    const { signal } = await keel(args(again), {}, (kill) => setTimeout(() => kill("SIGKILL"), moment), hung * 1000)
    const started = existsSync(join(again, "run/run.json"))
    const resumed = await keel(started ? ["resume", join(again, "run")] : args(again), {}, undefined, hung * 1000)
    const [whole, made] = [madeIn(join(at, "store")), madeIn(join(again, "store"))]
    const other = [...new Set([...Object.keys(whole), ...Object.keys(made)])].filter((path) =>
      whole[path] !== made[path]
    )
    console.log(
      `  killed after ${(moment / 1000).toFixed(0)} s${signal === null ? ", when it had ended" : ""}, then ${
        started ? "resumed" : "run again"
      }: ${Object.keys(whole).length - other.length} of ${Object.keys(whole).length} files have the same bytes`
    )
    judged(`${name}, killed`, [
      ...resumed.code === 0 ? [] : [`not resumable: ${resumed.text.trim().split("\n").at(-1)}`],
      ...other.map((path) => `other bytes: ${path}`)
    ])
    if (values.out === undefined) { for (const one of [at, again]) rmSync(one, { recursive: true }) }
  }

  const found = await Effect.runPromise(ordered(name))
  const unordered = found.filter(({ holds }) => !holds)
  console.log(`  by enumeration: ${found.length - unordered.length} of ${found.length} orderings hold`)
  for (const { op, stage, text } of unordered) {
    console.log(`  ${stage}: ${text}: ${reasons[name]?.[op]?.ordering ?? ""}`)
  }
  judged(
    `${name}, orderings`,
    unordered.filter(({ op }) => reasons[name]?.[op]?.ordering === undefined)
      .map(({ stage, text }) => `${stage} ${text}, without a stated reason`)
  )

  if (bySeed.length === 0) continue
  const rows = bySeed[0]!.map(([stage, first], i) => {
    const seen = bySeed.map((of) => of[i]?.[1] ?? first)
    return { stage, ...improvement(seen) }
  })
  for (const { stage, text } of rows) console.log(`  ${stage.padEnd(24)} ${text}`)
  const notBetter = rows.filter(({ verdict }) => verdict !== "better")
  for (const stage of new Set(notBetter.map(({ stage }) => stage.split(" ")[0]!))) {
    const reason = reasons[name]?.[stage]?.reason
    if (reason !== undefined) console.log(`  ${stage}: ${reason}`)
  }
  judged(
    `${name}, improvement`,
    notBetter.filter(({ stage }) => reasons[name]?.[stage.split(" ")[0]!]?.reason === undefined)
      .map(({ stage, text, verdict }) => `${stage} is ${verdict}, without a stated reason: ${text}`)
  )
}
if (values.out === undefined) rmSync(folder, { recursive: true, force: true })
console.log(`\n${passed} passed, ${failed} failed`)
if (failed > 0) process.exitCode = 1
