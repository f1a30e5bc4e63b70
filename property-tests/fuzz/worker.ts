/** Runs cases in a process of its own, which a hang or the end of memory may end: `worker.ts SEED FIRST STEP UNTIL FOLDER`. */
import { join } from "node:path"
import { caseOf, inProcess } from "./cases.ts"
import { type Seeds, seedsIn } from "./seeds.ts"

export type Told =
  | { readonly at: number }
  | { readonly failed: number; readonly name: string; readonly problem: string }

const [seed, first, step, until, folder] = process.argv.slice(2) as [string, string, string, string, string]
const tell = (told: Told): void => void process.send!(told)

const seeds: Seeds = await seedsIn(join(folder, "seeds"))
for (let at = Number(first); at < Number(until); at += Number(step)) {
  tell({ at })
  const one = caseOf(seeds, seed, at)
  const problem = await inProcess(one, join(folder, "case"))
  if (problem !== null) tell({ failed: at, name: one.name, problem })
}
process.disconnect()
