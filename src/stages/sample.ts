import * as Effect from "effect/Effect"
import type { Sample } from "../../dsl/stages/Sample.ts"
import { encodePrompts, textsOf } from "../data/encode.ts"
import { CompletionRow, type PromptRow, resumed } from "../data/rows.ts"
import { lazyArray } from "../data/lazyArray.ts"
import { CurrentEngine } from "../engine/current.ts"
import type { Weights } from "../engine/engine.ts"
import { observer, openModels, train, whole } from "../training/loop.ts"
import type { Scope } from "../training/scope.ts"

/** Samples one batch of prompts per step; see `dsl/stages/Sample.ts`. The checkpoint is the completions so far. */
export const sample = Effect.fn("sample")(function*(
  stage: Sample,
  wires: { readonly policy: Weights; readonly prompts: ReadonlyArray<PromptRow> },
  scope: Scope
) {
  const engine = yield* CurrentEngine
  const session = yield* openModels<Record<string, never>>(scope, {})
  const policy = yield* observer(engine.policy, wires.policy)
  const codec = engine.codec(wires.policy)
  const prompts = yield* encodePrompts({ stage: scope.label, codec, context: policy.context }, wires.prompts)
  const { batchSize, checkpointEvery, completionsPerPrompt: k, maxNewTokens, temperature, topK, topP } = stage
  const sampling = { maxNewTokens, temperature, topK, topP, stop: codec.stop }
  const rows = resumed(CompletionRow, session.state)

  const steps = Math.ceil(prompts.length / batchSize)

  yield* train(scope, session, {
    steps,
    checkpointEvery,
    state: () => [...rows],
    step: (n) =>
      Effect.sync(() => {
        const asked = prompts.slice(n * batchSize, (n + 1) * batchSize).flatMap((prompt, i) =>
          Array.from({ length: k }, (_, j) => ({ prompt, row: n * batchSize + i, j }))
        )
        const sampled = policy.sample(
          asked.map(({ prompt }) => prompt),
          sampling,
          asked.map(({ j, row }) => `${scope.stream}/${row}/${j}`)
        )
        const texts = textsOf(codec, sampled)
        const made = sampled.map(({ completion, finished }, i): CompletionRow => ({
          ...wires.prompts[asked[i]!.row]!,
          completion: texts[i]!,
          ended: finished,
          tokens: completion.length
        }))
        rows.push(...made)
        const tokens = made.reduce((sum, row) => sum + row.tokens, 0)
        return {
          tokens,
          metrics: {
            "completions/mean_length": tokens / made.length,
            "completions/ended": made.filter(({ ended }) => ended).length / made.length
          }
        }
      })
  })
  const all = yield* whole(rows, k * prompts.length)
  // In a rehearsal, a repeated completion answers the prompt of its place.
  return all === rows
    ? rows
    : lazyArray(all.length, (i): CompletionRow => ({ ...all[i]!, ...wires.prompts[Math.floor(i / k)] }))
}, Effect.scoped)
