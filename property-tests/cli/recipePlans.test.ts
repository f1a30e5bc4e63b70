/**
 * What `keel plan` prints of each recipe, on a device by its published figures. The suite plans the recipes that take a second or two;
 * UPDATE_GOLDEN=1 plans and writes all, which takes minutes: look at what changed.
 */
import { assert, describe, it } from "vitest"
import { recipes } from "../../dsl/index.ts"
import { folders } from "../store/faultyFileSystem.ts"
import { golden, keel } from "./keel.ts"

const quick = new Set([
  "instruct-gpt",
  "zephyr",
  "olmo-2-1b",
  "olmo-2-7b",
  "olmo-2-13b",
  "olmo-2-32b",
  "smol-tulu-1130",
  "smol-tulu-1207",
  "branch-train-merge",
  "warp"
])
const folder = folders("recipe-plans")

describe("keel plan", () => {
  const at = folder()
  for (const { name } of recipes) {
    it.skipIf(process.env["UPDATE_GOLDEN"] !== "1" && !quick.has(name))(
      `says the same of ${name}, and plans all of it`,
      { timeout: 300_000 },
      async () => {
        const { stderr, stdout } = await keel(["plan", name, "--device", "h100", "--no-advice"], at)
        assert.notInclude(stdout, "not planned", stderr)
        golden(`recipe-${name}-plan.txt`, stdout)
      }
    )
  }
})
