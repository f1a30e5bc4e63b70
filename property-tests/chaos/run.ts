/**
 * `npm run test:chaos -- N [SEED]`: N kills, half of them at random and half at kinds of changes on the disk, 2/5 N damaged files and N/10
 * trials of several processes at once (one in ten with a process that stands still). Exits with 1 if anything is wrong. N = 500 takes an hour.
 */
import { changesOf, crashed, damaged, halfway, killed, library, open, seeded, together, wholeOf } from "./trials.ts"

const [count = 50, seed = 1] = process.argv.slice(2).map(Number)
const random = seeded(seed)
const { at, close } = open()
process.on("exit", close)
process.on("SIGINT", () => process.exit(130))

const wholes = [await wholeOf(at, "alignment"), await wholeOf(at, "sampling"), await wholeOf(at, "bestOfN")]
const one = () => wholes[Math.floor(wholes.length * random())]!
let bad = 0
const told = (problems: ReadonlyArray<string>) => {
  bad += problems.length
  for (const problem of problems) console.log(`  ${problem.replaceAll(at, "")}`)
}

let kills = 0
while (kills < count / 2) {
  const trial = await killed(at, one(), random)
  kills += trial.kills
  told(trial.problems)
}
console.log(`${kills} kills at random; problems so far: ${bad}`)

const disk = library(at)
if (disk === undefined) console.log("no kills at changes on the disk: that needs Linux and a C compiler")
else {
  const changes = []
  for (const whole of wholes) for (const change of await changesOf(at, disk, whole)) changes.push({ whole, change })
  let crashes = 0
  const every = Math.max(1, changes.length / (count / 2))
  for (let i = 0; crashes < count / 2 && i < count * 2; i++) {
    const { change, whole } = changes[Math.floor((i * every + seed) % changes.length)]!
    const trial = await crashed(at, disk, whole, change, random)
    crashes += trial.kills
    told(trial.problems)
  }
  console.log(`${crashes} kills at changes on the disk, of ${changes.length} kinds; problems so far: ${bad}`)
}

const outcomes: Record<string, number> = {}
const sources = []
for (const whole of wholes) for (let i = 0; i < 3; i++) sources.push({ whole, from: await halfway(at, whole, random) })
for (let i = 0; i < 0.4 * count; i++) {
  const { from, whole } = sources[i % sources.length]!
  const trial = await damaged(at, whole, from, random)
  outcomes[trial.outcome] = (outcomes[trial.outcome] ?? 0) + 1
  told(trial.problems)
}
console.log(`damaged files: ${JSON.stringify(outcomes)}; problems so far: ${bad}`)

const scenarios: Record<string, number> = {}
for (let i = 0; i < 0.1 * count; i++) {
  const trial = await together(at, one(), random, i % 10 === 9)
  scenarios[trial.scenario] = (scenarios[trial.scenario] ?? 0) + 1
  told(trial.problems)
}
console.log(`trials of several processes: ${JSON.stringify(scenarios)}; problems in all: ${bad}`)
process.exitCode = bad === 0 ? 0 : 1
