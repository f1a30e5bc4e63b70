/**
 * Do caps hold? Simulates capped pipelines, each drawn by its number, and judges every policy that a stage hands on by enumeration:
 *
 *     npm run test:caps -- 2000        # trials 0 … 1999
 *     npm run test:caps -- 2000 7      # by another seed
 *
 * Prints each policy that ended beyond its cap. The exit code is 1 when there is one.
 */
import { type Trial, trial } from "./caps/trial.ts"

const [count = "2000", seed = "0"] = process.argv.slice(2)
const errors = new Map<string, number>()
const beyond: Array<string> = []
const [shares, samples]: [Array<number>, Array<number>] = [[], []]
let rolledBack = 0
for (let i = 0; i < Number(count); i++) {
  const of: Trial = await trial(`${seed}/${i}`)
  const error = of.error ?? "none"
  errors.set(error, (errors.get(error) ?? 0) + 1)
  rolledBack += of.rolledBack
  samples.push(...of.samples)
  for (const { share, stage, statistic } of of.held) {
    shares.push(share)
    if (share > 1) beyond.push(`trial ${i}: ${stage} ends at ${share.toFixed(3)} of its cap (${statistic})`)
  }
}
const sorted = samples.sort((a, b) => a - b)
console.log(`${count} trials by seed ${seed}. Ends:`)
for (const [error, times] of errors) console.log(`  ${error}: ${times}`)
console.log(
  `${rolledBack} roll-backs, ${shares.length} policies held to ${
    shares.filter((x) => x > 0.8).length
  } above 0.8 of their caps`
)
console.log(
  `${sorted.length} measurements of ${sorted[0]} to ${sorted.at(-1)} completions, half of them ${
    sorted[Math.floor(sorted.length / 2)]
  } or fewer`
)
for (const line of beyond) console.log(line)
console.log(`${beyond.length} beyond their caps`)
process.exitCode = beyond.length === 0 ? 0 : 1
