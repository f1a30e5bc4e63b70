/**
 * Would the tests notice? Changes `src/losses`, `src/merging` and the rewards in small ways, one at a time, and runs the tests that see the file:
 *
 *     npm run test:mutation                 # 15 mutants of each file, drawn by seed 0
 *     npm run test:mutation -- all          # every mutant there is
 *     npm run test:mutation -- 30 7 ppo     # 30 of each file whose name has `ppo` in it, by seed 7
 *
 * Prints every mutant that was not killed, as a difference. What timed out was tried once more alone, and counts as neither killed nor
 * survived. The exit code is 1 when fewer than 95 % of those that are not equivalent are killed, or when `equivalent` names one that
 * is no longer there.
 */
import { availableParallelism } from "node:os"
import { stream } from "../src/sampling/random.ts"
import { equivalent } from "./mutation/equivalent.ts"
import { mutantsOf, nameOf } from "./mutation/mutants.ts"
import { attempt, type Outcome, sourcesOf, testsOf, textOf } from "./mutation/run.ts"

const [size = "15", seed = "0", only = ""] = process.argv.slice(2)
const perFile = size === "all" ? Infinity : Number(size)
/** Rewards with the tests of each: what else sees them takes minutes. */
const rewards: ReadonlyMap<string, ReadonlyArray<string>> = new Map([
  ["src/rewards/composed.ts", [
    "property-tests/rewards/composed.test.ts",
    "property-tests/interpreters/reward.test.ts"
  ]],
  ["src/rewards/mathematics/extract.ts", ["property-tests/rewards/mathematics.test.ts"]],
  ["src/training/wins.ts", ["property-tests/rewards/wins.test.ts"]]
])
const files = [...sourcesOf("src/losses", "src/merging"), ...rewards.keys()].filter((file) => file.includes(only))
const seeing = testsOf("property-tests/losses", "property-tests/merging")
const tests = (file: string): ReadonlyArray<string> => rewards.get(file) ?? seeing(file)

const named = new Set<string>()
const drawn = files.flatMap((file) => {
  const text = textOf(file)
  const all = mutantsOf(file, text)
  for (const mutant of all) named.add(nameOf(text, mutant))
  return stream(`${seed}/${file}`).shuffle([...all]).slice(0, perFile)
})
const stale = [...equivalent.keys()].filter((name) =>
  files.some((file) => name.startsWith(`${file}: `)) && !named.has(name)
)
for (const name of stale) console.log(`no mutant has this name any more: ${name}`)
const mutants = drawn.filter((mutant) => !equivalent.has(nameOf(textOf(mutant.file), mutant)))
console.log(`${drawn.length} mutants of ${files.length} files, ${drawn.length - mutants.length} of them equivalent`)

let done = 0
const outcomes = await attempt(mutants, tests, {
  workers: Math.max(1, Math.min(2, availableParallelism())),
  told: (mutant, outcome) => {
    done++
    if (outcome === "killed") return
    console.log(`\n${done}/${mutants.length} ${outcome}: ${mutant.file}:${mutant.line}: ${mutant.what}`)
    console.log(`  ${nameOf(textOf(mutant.file), mutant)}`)
  }
})

const count = (...these: ReadonlyArray<Outcome>) =>
  [...outcomes.values()].filter((outcome) => these.includes(outcome)).length
for (const file of files) {
  const own = [...outcomes].filter(([mutant]) => mutant.file === file)
  const dead = own.filter(([, outcome]) => outcome === "killed").length
  console.log(`${String(dead).padStart(4)} of ${String(own.length).padStart(4)} killed  ${file}`)
}
const killed = count("killed")
const share = mutants.length === 0 ? 0 : killed / mutants.length
console.log(
  `\nseed ${seed}: ${drawn.length} mutants, ${killed} killed (${(100 * share).toFixed(1)} % of those not equivalent), ${
    count("survived", "no tests")
  } survived, ${count("timed out")} timed out, ${drawn.length - mutants.length} equivalent`
)
process.exitCode = share >= 0.95 && stale.length === 0 ? 0 : 1
