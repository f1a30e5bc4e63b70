import * as Effect from "effect/Effect"
import { UnusableData } from "../../dsl/Errors.ts"
import type { Sample } from "../../dsl/stages/Sample.ts"
import { type Askable, asPrompts, inContexts } from "../data/ask.ts"
import { encodePrompts, textsOf } from "../data/encode.ts"
import { CompletionRow, type DemonstrationRow, promptIn, type PromptRow } from "../data/rows.ts"
import { selected, viewed } from "../data/lazyArray.ts"
import { CurrentEngine } from "../engine/current.ts"
import type { Weights } from "../engine/engine.ts"
import { RunLog } from "../store/runLog.ts"
import { chunked } from "../training/chunks.ts"
import { observer } from "../training/loop.ts"
import { CurrentRehearsal } from "../training/rehearsal.ts"
import type { Scope } from "../training/scope.ts"

/** Samples one batch of prompts per chunk; see `dsl/stages/Sample.ts`. */
export const sample = Effect.fn("sample")(function*(
  stage: Sample,
  wires: {
    readonly policy: Weights
    readonly prompts: ReadonlyArray<Askable>
    readonly examples: ReadonlyArray<PromptRow | DemonstrationRow> | undefined
  },
  scope: Scope
) {
  const engine = yield* CurrentEngine
  const policy = yield* observer(engine.policy, wires.policy)
  const codec = engine.codec(wires.policy)
  const { batchSize, checkpointEvery, completionsPerPrompt: k, maxNewTokens, temperature, topK, topP } = stage
  // The prompts of a world have no context.
  const ask = engine.kind === "tabular" ? undefined : stage.ask
  const use = { stage: scope.label, codec, context: policy.context }
  /** Examples are drawn for each completion anew. */
  const each = ask?.shots === undefined ? 1 : k
  const prompts = yield* encodePrompts(
    use,
    ask === undefined
      ? wires.prompts
      : yield* inContexts(use, ask, wires.prompts, { examples: wires.examples, stream: scope.stream, times: each })
  )
  const sampling = { maxNewTokens, temperature, topK, topP, stop: codec.stop }

  const chunks = yield* chunked(scope, { completions: { items: wires.prompts.length, size: batchSize } }, {
    keepEvery: checkpointEvery
  })
  const rows = yield* chunks.rows("completions", {
    row: CompletionRow,
    generates: k * maxNewTokens,
    rowsPerItem: k,
    make: (from, to) =>
      Effect.sync(() => {
        const asked = wires.prompts.slice(from, to).flatMap((_, i) =>
          Array.from({ length: k }, (_, j) => ({ row: from + i, j }))
        )
        const sampled = policy.sample(
          asked.map(({ j, row }) => prompts[each === 1 ? row : row * k + j]!),
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
    : viewed(rows.length, (i): CompletionRow => ({ ...rows[i]!, ...promptIn(wires.prompts[Math.floor(i / k)]!) }))
}, Effect.scoped)

/** The completions as prompts of their own. In a world, whose prompts are given, each is the prompt that it answered. */
export const samplePrompts = Effect.fn("samplePrompts")(function*(
  stage: Sample,
  wires: Parameters<typeof sample>[1],
  scope: Scope
) {
  const rows = yield* sample(stage, wires, scope)
  const engine = yield* CurrentEngine
  if (engine.kind === "tabular") return rows.map(promptIn)
  const made = selected(rows, ({ completion }) => completion.trim() !== "")
  const dropped = rows.length - made.length
  if (made.length === 0) {
    return yield* new UnusableData({
      stage: scope.label,
      problem: `all ${rows.length} completions are empty, and an empty text is no prompt`,
      remedy: "Show it examples (Ask.fewShot), sample more, or take another model."
    })
  }
  if (dropped > 0 && (yield* CurrentRehearsal) === null) {
    yield* (yield* RunLog).emit({ _tag: "Fitted", stage: scope.label, truncated: 0, dropped, rows: rows.length })
  }
  return asPrompts(engine.codec(wires.policy), stage.ask, made)
})
