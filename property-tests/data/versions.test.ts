/** The rows that Keel makes itself are the rows of a version: a change of the code that makes them needs another. */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { assert, expect, it } from "vitest"
import { sha256 } from "../../dsl/Digest.ts"
import { Source } from "../../dsl/index.ts"
import { Datasets, type Role } from "../../src/data/dataset.ts"
import * as Files from "../../src/data/files.ts"
import { demonstrationRow, preferenceRow } from "../../src/data/formats.ts"
import { Unfit } from "../../src/data/cut.ts"

const layer = Files.layer.pipe(Layer.provide(NodeFileSystem.layer))

it("the digest of each version; with other rows, raise the version and put its digest here", async () => {
  const digest = async (origins: ReadonlyArray<Source.Tales | Source.Puzzles>, roles: ReadonlyArray<Role>) => {
    const all: Array<unknown> = []
    for (const origin of origins) {
      for (const role of roles) {
        const load = Effect.flatMap(Datasets, ({ load }) => load(role, origin, () => ""))
        const { rows } = await Effect.runPromise(Effect.provide(load, layer))
        all.push(rows)
      }
    }
    return sha256(JSON.stringify(all)).slice(0, 16)
  }
  const splits = ["train", "held"] as const
  const tales = splits.map((split) => Source.tales({ split, count: 40 }))
  const puzzles = splits.flatMap((split) =>
    (["letters", "countdown"] as const).map((task) => Source.puzzles({ task, split, count: 20, right: 0.5 }))
  )
  const found = {
    [`Tales ${Files.versions["Tales"]}`]: await digest(tales, ["Text", "Prompts", "Demonstrations"]),
    [`Puzzles ${Files.versions["Puzzles"]}`]: await digest(puzzles, ["Text", "Prompts", "Demonstrations"])
  }
  expect(found).toMatchInlineSnapshot(`
    {
      "Puzzles 1": "fc3f5b1cce93c644",
      "Tales 1": "d0d560c47eeb52d4",
    }
  `)
})

it("a labelled answer in the place of a pair names the source that takes it", () => {
  for (
    const row of [{ prompt: "a", completion: "b", label: true }, {
      messages: [{ role: "user", content: "a" }],
      label: 1
    }]
  ) {
    assert.throws(() => preferenceRow(row, {}), Unfit, /which is no pair/u)
  }
  assert.throws(() => preferenceRow({ prompt: "a", completion: "b" }, {}), Unfit, /no field "chosen"/u)
  assert.strictEqual(demonstrationRow({ prompt: "a", completion: "b", label: true }, {}).completion, "b")
})
