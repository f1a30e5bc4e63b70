/** A plan prices the rows that are left, in the lengths that are left of them. */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { Effect } from "effect"
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "vitest"
import { Checkpoint, Sft, Source } from "../../dsl/index.ts"
import { initial } from "../../src/engine/transformer/initial.ts"
import { save } from "../../src/model/checkpoint.ts"
import { plan } from "../../src/planning/plan.ts"
import { folders } from "../store/faultyFileSystem.ts"
import { runs, succeeded } from "../interpreters/tiny.ts"

const folder = folders("truncated")
const length = (i: number): number => 2 + (i * 37) % 60

describe("a plan of rows that are too long", () => {
  for (const truncation of ["drop", "keep-start"] as const) {
    it(`trains about as many tokens as a run: ${truncation}`, async () => {
      const at = folder()
      mkdirSync(join(at, "model"), { recursive: true })
      const shape = { dim: 8, layers: 1, heads: 2, kvHeads: 1, ffn: 8, context: 64, words: ["word"], seed: "x" }
      await Effect.runPromise(save(join(at, "model"), initial(shape)).pipe(Effect.provide(NodeFileSystem.layer)))
      const rows = Array.from(
        { length: 300 },
        (_, i) =>
          JSON.stringify({ prompt: "word", completion: Array.from({ length: length(i) }, () => "word").join(" ") })
      )
      writeFileSync(join(at, "rows.jsonl"), rows.join("\n"))
      const root = Sft.make({
        base: Checkpoint.huggingFace("words", join(at, "model")),
        demonstrations: Source.demonstrations(Source.file(join(at, "rows.jsonl")))
      }, { batchSize: 8, learningRate: 1e-3, maxLength: 32, truncation })
      const { stages: [planned] } = await Effect.runPromise(plan(root).pipe(Effect.provide(NodeFileSystem.layer)))
      const { events } = succeeded(await runs(root, join(at, "store")))
      const steps = events.flatMap((event) => event._tag === "Step" ? [event] : [])
      const trained = steps.reduce((sum, { tokens }) => sum + tokens, 0)
      assert.closeTo(planned!.trained / trained, 1, 0.05)
      assert.closeTo(planned!.steps, steps.length, 1)
      // Without the truncation it would be more than twice as many.
      assert.isBelow(trained, 0.75 * rows.reduce((sum, _, i) => sum + length(i) + 1, 0))
    })
  }
})
