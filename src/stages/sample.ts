import * as Effect from "effect/Effect"
import type { Sample } from "../../dsl/stages/Sample.ts"
import { encodePrompts, textsOf } from "../data/encode.ts"
import { CompletionRow, promptIn, type PromptRow } from "../data/rows.ts"
import { lazyArray } from "../data/lazyArray.ts"
import { CurrentEngine } from "../engine/current.ts"
import type { Weights } from "../engine/engine.ts"
import { chunked } from "../training/chunks.ts"
import { observer } from "../training/loop.ts"
import { CurrentRehearsal } from "../training/rehearsal.ts"
import type { Scope } from "../training/scope.ts"

/** Samples one batch of prompts per chunk; see `dsl/stages/Sample.ts`. */
export const sample = Effect.fn("sample")(function*(
  stage: Sample,
  wires: { readonly policy: Weights; readonly prompts: ReadonlyArray<PromptRow> },
  scope: Scope
) {
  const engine = yield* CurrentEngine
  const policy = yield* observer(engine.policy, wires.policy)
  const codec = engine.codec(wires.policy)
  const prompts = yield* encodePrompts({ stage: scope.label, codec, context: policy.context }, wires.prompts)
  const { batchSize, checkpointEvery, completionsPerPrompt: k, maxNewTokens, temperature, topK, topP } = stage
  const sampling = { maxNewTokens, temperature, topK, topP, stop: codec.stop }

  const chunks = yield* chunked(scope, { completions: { items: prompts.length, size: batchSize } }, {
    keepEvery: checkpointEvery
  })
  const rows = yield* chunks.rows("completions", {
    row: CompletionRow,
    generates: k * maxNewTokens,
    rowsPerItem: k,
    make: (from, to) =>
      Effect.sync(() => {
        const asked = prompts.slice(from, to).flatMap((prompt, i) =>
          Array.from({ length: k }, (_, j) => ({ prompt, row: from + i, j }))
        )
        const sampled = policy.sample(
          asked.map(({ prompt }) => prompt),
          sampling,
          asked.map(({ j, row }) => `${scope.stream}/${row}/${j}`)
        )
        const texts = textsOf(codec, sampled)
        const rows = sampled.map(({ completion, finished }, i): CompletionRow => ({
          ...promptIn(wires.prompts[asked[i]!.row]!),
          completion: texts[i]!,
          ended: finished,
          tokens: completion.length
        }))
        const tokens = rows.reduce((sum, row) => sum + row.tokens, 0)
        return {
          rows,
          tokens,
          metrics: {
            "completions/mean_length": tokens / rows.length,
            "completions/ended": rows.filter(({ ended }) => ended).length / rows.length
          }
        }
      })
  })
  yield* chunks.finished
  // In a rehearsal, a repeated completion answers the prompt of its place.
  return (yield* CurrentRehearsal) === null
    ? rows
    : lazyArray(rows.length, (i): CompletionRow => ({ ...rows[i]!, ...wires.prompts[Math.floor(i / k)] }))
}, Effect.scoped)
