/**
 * Would the tests notice? Changes `src/losses` and `src/merging` in small ways, one at a time, and runs the tests that see the file:
 *
 *     npm run test:mutation                 # 15 mutants of each file, drawn by seed 0
 *     npm run test:mutation -- all          # every mutant there is
 *     npm run test:mutation -- 30 7 ppo     # 30 of each file whose name has `ppo` in it, by seed 7
 *
 * Prints every survivor as a difference. The exit code is 1 when fewer than 95 % of them are killed.
 */
import { availableParallelism } from "node:os"
import { stream } from "../src/sampling/random.ts"
import { equivalent } from "./mutation/equivalent.ts"
import { mutantsOf, nameOf } from "./mutation/mutants.ts"
import { attempt, sourcesOf, testsOf, textOf } from "./mutation/run.ts"

const [size = "15", seed = "0", only = ""] = process.argv.slice(2)
const perFile = size === "all" ? Infinity : Number(size)
const files = sourcesOf("src/losses", "src/merging").filter((file) => file.includes(only))
const tests = testsOf("property-tests/losses", "property-tests/merging")

let [excluded, total] = [0, 0]
const mutants = files.flatMap((file) => {
  const text = textOf(file)
  const all = mutantsOf(file, text)
  const fair = all.filter((mutant) => !equivalent.has(nameOf(text, mutant)))
  excluded += all.length - fair.length
  total += all.length
  return stream(`${seed}/${file}`).shuffle([...fair]).slice(0, perFile)
})
console.log(`${mutants.length} of ${total} mutants of ${files.length} files; ${excluded} are equivalent and left out`)

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

const killed = [...outcomes.values()].filter((outcome) => outcome === "killed" || outcome === "timed out").length
for (const file of files) {
  const own = [...outcomes].filter(([mutant]) => mutant.file === file)
  const dead = own.filter(([, outcome]) => outcome === "killed" || outcome === "timed out").length
  console.log(`${String(dead).padStart(4)} of ${String(own.length).padStart(4)} killed  ${file}`)
}
const share = mutants.length === 0 ? 0 : killed / mutants.length
console.log(`\n${killed} of ${mutants.length} mutants killed: ${(100 * share).toFixed(1)} %`)
process.exitCode = share >= 0.95 ? 0 : 1
