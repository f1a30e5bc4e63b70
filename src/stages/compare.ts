import * as Effect from "effect/Effect"
import type { Compare } from "../../dsl/stages/Compare.ts"
import { encodePrompts, textsOf } from "../data/encode.ts"
import type { PromptRow } from "../data/rows.ts"
import { CurrentEngine } from "../engine/current.ts"
import type { Weights } from "../engine/engine.ts"
import { chunked } from "../training/chunks.ts"
import { Compared, comparing, pairsOf } from "../training/comparing.ts"
import { observer } from "../training/loop.ts"
import type { Scope } from "../training/scope.ts"

/** Prompts answered at a time: bounds the memory of a call. */
const atOnce = 256

/** Samples answers and has the labeler or the judge compare every pair of each prompt; see `dsl/stages/Compare.ts`. */
export const compare = Effect.fn("compare")(function*(
  stage: Compare,
  wires: {
    readonly policy: Weights
    readonly prompts: ReadonlyArray<PromptRow>
    readonly judge: Weights | undefined
  },
  scope: Scope
) {
  const engine = yield* CurrentEngine
  const policy = yield* observer(engine.policy, wires.policy)
  const codec = engine.codec(wires.policy)
  const prompts = yield* encodePrompts({ stage: scope.label, codec, context: policy.context }, wires.prompts)
  const k = stage.completionsPerPrompt
  const sampling = { ...stage, topK: 0, topP: 1, stop: codec.stop }

  /** Every pair of different answers to the prompts from number `from` on. */
  const pairs = (from: number, to: number) => {
    const asked = prompts.slice(from, to).flatMap((prompt) => Array.from({ length: k }, () => prompt))
    const answers = policy.sample(
      asked,
      sampling,
      asked.map((_, i) => `${scope.stream}/${from + Math.floor(i / k)}/${i % k}`)
    )
    const texts = textsOf(codec, answers)
    const written = answers.map(({ finished }, i) => ({ text: texts[i]!, ended: finished }))
    return {
      pairs: wires.prompts.slice(from, to).flatMap((row, i) =>
        pairsOf(row, written.slice(i * k, (i + 1) * k), `${scope.stream}/${from + i}`)
      ),
      tokens: answers.reduce((sum, { completion }) => sum + completion.length, 0)
    }
  }
  const comparison = yield* comparing(scope, stage, wires.judge)
  const chunks = yield* chunked(scope, { comparisons: { items: prompts.length, size: atOnce } })
  const compared = yield* chunks.rows("comparisons", {
    row: Compared,
    generates: k * stage.maxNewTokens,
    rowsPerItem: k * (k - 1) / 2,
    make: Effect.fnUntraced(function*(from, to) {
      const { pairs: found, tokens } = pairs(from, to)
      return { ...(yield* comparison.of(found)), tokens }
    })
  })
  const kept = yield* comparison.kept(compared)
  yield* chunks.finished
  return kept
}, Effect.scoped)
