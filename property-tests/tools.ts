/**
 * Whether the calculator environment teaches its tool: `npm run test:tools` runs `examples/20-calculator-tool.ts` with three seeds, and
 * fails unless each policy solves as many more held-out problems as the example states, with the tool.
 */
import { execFileSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Event } from "../src/store/runLog.ts"

/** Stated after seed 0 was run and before the others were. */
const [more, calls] = [0.3, 0.9]
const main = new URL("../src/cli/main.js", import.meta.url).pathname
const example = new URL("../examples/20-calculator-tool.ts", import.meta.url).pathname
const folder = mkdtempSync(join(tmpdir(), "keel-tools-"))
const began = performance.now()

const failed = ["0", "1", "2"].filter((seed) => {
  const out = join(folder, seed)
  execFileSync(process.execPath, [main, "run", example, "--seed", seed, "--out", out], { stdio: "ignore" })
  const seen = readFileSync(join(out, "events.jsonl"), "utf8").trim().split("\n")
    .map((line) => JSON.parse(line) as { readonly event: Event }).flatMap(({ event }) =>
      event._tag === "Observed" ? [event.observed] : []
    )
  const [before, after] = [seen[0]!, seen.at(-1)!]
  console.log(
    `seed ${seed}: solved ${before["reward"]!.toFixed(2)}, then ${after["reward"]!.toFixed(2)}; ` +
      `tool calls an episode ${before["calls"]!.toFixed(2)}, then ${after["calls"]!.toFixed(2)}; ` +
      `${Math.round((performance.now() - began) / 1000)} s so far`
  )
  return !(after["reward"]! >= before["reward"]! + more && after["calls"]! >= calls)
})
rmSync(folder, { recursive: true })
if (failed.length > 0) throw new Error(`by less than ${more}, or without the tool: seed ${failed.join(", ")}`)
