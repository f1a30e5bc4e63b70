/** Data from outside: files and the built-in tales. */
import fc from "fast-check"
import * as Source from "../../../dsl/Source.ts"
import { count, seed, some, text } from "./parameters.ts"
import type { ShelfStep } from "./shelf.ts"

export const origin = (split: "train" | "held"): fc.Arbitrary<Source.Origin> =>
  fc.oneof(
    fc.record({ count, seed }).map((options) => Source.tales({ ...options, split })),
    fc.record({
      path: text,
      options: some({ offset: fc.nat({ max: 9 }), limit: count, fields: fc.dictionary(text, text) })
    })
      .map(({ options, path }) => Source.file(`${split}/${path}`, { limit: 8, ...options })),
    fc.record({ path: text, words: count, limit: count, continuation: count })
      .map(({ path, ...options }) => Source.openings(`${split}/${path}`, options))
  )

export const texts: fc.Arbitrary<ShelfStep> = origin("train").map((of) => (shelf) =>
  void shelf.text.push(Source.text(of))
)
export const prompts: fc.Arbitrary<ShelfStep> = origin("train").map((of) => (shelf) =>
  void shelf.prompts.push(Source.prompts(of))
)
export const helds: fc.Arbitrary<ShelfStep> = origin("held").map((of) => (shelf) =>
  void shelf.held.push(Source.prompts(of))
)
export const demonstrations: fc.Arbitrary<ShelfStep> = origin("train")
  .map((of) => (shelf) => void shelf.demonstrations.push(Source.demonstrations(of)))
