import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { caseOf, inProcess } from "./cases.ts"
import { outside } from "./outside.ts"
import { type Seeds, seedsIn } from "./seeds.ts"

const folder = mkdtempSync(join(tmpdir(), "keel-fuzz-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

let seeds: Seeds
beforeAll(async () => {
  seeds = await seedsIn(join(folder, "seeds"))
})

/** A share of `npm run test:fuzz`, always the same. */
describe("harmed files of every kind", () => {
  it("are read, or refused by a tagged error of a few lines", async () => {
    for (let at = 0; at < 1000; at++) {
      const one = caseOf(seeds, "suite", at)
      const problem = await inProcess(one, join(folder, "case"))
      assert.isNull(problem, `${one.name}, number ${at} of seed "suite"`)
    }
  })

  it("end a command with code 0 or 1, no stack trace, in time, and change no file of others", async () => {
    for (let at = 0; at < 8; at++) {
      const one = caseOf(seeds, "commands", at, true)
      assert.isNull(await outside(one, join(folder, "sandbox")), `keel ${one.args.join(" ")}`)
    }
  })
})
