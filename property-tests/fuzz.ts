/**
 * Reads files that were harmed at random, all kinds that Keel reads:
 *
 *     npm run test:fuzz                     # 10,000 inputs, drawn by seed 0
 *     npm run test:fuzz -- 100000 7         # 100,000 by seed 7
 *     npm run test:fuzz -- 1 7 4711         # number 4711 of seed 7 alone, whose files stay
 *
 * Most are read inside of two worker processes, one in 200 by the command line in a sandbox. A problem is an error without a tag, a
 * stack trace, a crash, no progress for a minute, too much memory, a file written where none belongs. Exit code 1 when there is one.
 */
import { fork } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { caseOf, inProcess } from "./fuzz/cases.ts"
import { outside } from "./fuzz/outside.ts"
import { seedsIn } from "./fuzz/seeds.ts"
import type { Told } from "./fuzz/worker.ts"

const [count = "10000", seed = "0", only] = process.argv.slice(2)
const total = Number(count)
const folder = mkdtempSync(join(tmpdir(), "keel-fuzz-"))
const file = fileURLToPath(new URL("fuzz/worker.ts", import.meta.url))
/** Seconds without an answer after which a worker hangs; MiB of its heap. */
const limits = { silence: 60, heap: 1536 }

let problems = 0
const report = (at: number, name: string, problem: string): void => {
  problems++
  console.log(`\n${at} ${name}\n  ${problem.replaceAll("\n", "\n  ")}`)
}

/** Runs every `step`th case from `first`; begins again after a case that ended the process. */
const worker = async (first: number, step: number): Promise<void> => {
  let next = first
  while (next < total) {
    const child = fork(file, [seed, String(next), String(step), String(total), join(folder, `worker-${first}`)], {
      execArgv: ["--no-warnings", `--max-old-space-size=${limits.heap}`],
      stdio: ["ignore", "ignore", "pipe", "ipc"]
    })
    let said = ""
    child.stderr!.on("data", (data) => said = `${said}${String(data)}`.slice(-2000))
    let at = next
    let silent = false
    const kill = () => {
      silent = true
      child.kill("SIGKILL")
    }
    let timer = setTimeout(kill, 1000 * limits.silence)
    child.on("message", (told: Told) => {
      clearTimeout(timer)
      timer = setTimeout(kill, 1000 * limits.silence)
      if ("at" in told) at = told.at
      else report(told.failed, told.name, told.problem)
      if (at % 5000 < step && "at" in told) console.log(`${at} of ${total}`)
    })
    const code = await new Promise<number | null>((resolve) => child.on("close", resolve))
    clearTimeout(timer)
    if (code === 0) return
    report(at, "", silent ? `no answer after ${limits.silence} s` : `the process ended with ${code}: ${said}`)
    next = at + step
  }
}

const began = performance.now()
if (only !== undefined) {
  const seeds = await seedsIn(join(folder, "seeds"))
  const one = caseOf(seeds, seed, Number(only))
  console.log(
    `${one.name}: ${await inProcess(one, join(folder, "case")) ?? "no problem"}; files in ${join(folder, "case")}`
  )
} else {
  await Promise.all([worker(0, 2), worker(1, 2)])
  const inside = performance.now()
  const seeds = await seedsIn(join(folder, "seeds"))
  const commands = Math.ceil(total / 200)
  for (let at = 0; at < commands; at++) {
    const one = caseOf(seeds, `outside/${seed}`, at, true)
    const problem = await outside(one, join(folder, "sandbox"))
    if (problem !== null) report(at, `keel ${one.args.join(" ").slice(0, 300)} (${one.name})`, problem)
  }
  rmSync(folder, { recursive: true, force: true })
  const seconds = (from: number, to: number): string => `${((to - from) / 1000).toFixed(0)} s`
  console.log(
    `\nseed ${seed}: ${total} inputs inside in ${seconds(began, inside)}, ${commands} by the command line in ${
      seconds(inside, performance.now())
    }, ${problems} problems`
  )
}
process.exitCode = problems > 0 ? 1 : 0
