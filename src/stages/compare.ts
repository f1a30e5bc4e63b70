import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Compare } from "../../dsl/stages/Compare.ts"
import { encodePrompts, textsOf } from "../data/encode.ts"
import type { PromptRow } from "../data/rows.ts"
import { CurrentEngine } from "../engine/current.ts"
import type { Weights } from "../engine/engine.ts"
import { Judge } from "../rewards/judge.ts"
import { stream } from "../sampling/random.ts"
import { chunked } from "../training/chunks.ts"
import { observer } from "../training/loop.ts"
import type { Scope } from "../training/scope.ts"

/** Prompts answered at a time: bounds the memory of a call. */
const atOnce = 256

const Compared = Schema.Struct({
  prompt: Schema.String,
  chosen: Schema.String,
  rejected: Schema.String,
  ended: Schema.Struct({ chosen: Schema.Boolean, rejected: Schema.Boolean })
})

/** Samples answers and has the labeler compare every pair of each prompt; see `dsl/stages/Compare.ts`. */
export const compare = Effect.fn("compare")(function*(
  stage: Compare,
  wires: { readonly policy: Weights; readonly prompts: ReadonlyArray<PromptRow> },
  scope: Scope
) {
  const [engine, judge] = [yield* CurrentEngine, yield* Judge]
  const policy = yield* observer(engine.policy, wires.policy)
  const codec = engine.codec(wires.policy)
  const prompts = yield* encodePrompts({ stage: scope.label, codec, context: policy.context }, wires.prompts)
  const k = stage.completionsPerPrompt
  const sampling = { ...stage, topK: 0, topP: 1, stop: codec.stop }

  /** The comparisons of the prompts from number `from` on. */
  const compared = (from: number, to: number) => {
    const asked = prompts.slice(from, to).flatMap((prompt) => Array.from({ length: k }, () => prompt))
    const answers = policy.sample(
      asked,
      sampling,
      asked.map((_, i) => `${scope.stream}/${from + Math.floor(i / k)}/${i % k}`)
    )
    const texts = textsOf(codec, answers)
    const rows: Array<typeof Compared.Type> = []
    for (let index = from; index < to; index++) {
      const { prompt } = wires.prompts[index]!
      const random = stream(`${scope.stream}/${index}/labeler`)
      const first = (index - from) * k
      for (let i = first; i < first + k; i++) {
        for (let j = i + 1; j < first + k; j++) {
          const [a, b] = [texts[i]!, texts[j]!]
          const [better, worse] = judge.prefers(stage.gold, prompt, a, b, random.next()) ? [i, j] : [j, i]
          // Two equal answers carry no preference, whatever the labeler says.
          if (a === b) continue
          const ended = { chosen: answers[better]!.finished, rejected: answers[worse]!.finished }
          rows.push({ prompt, chosen: texts[better]!, rejected: texts[worse]!, ended })
        }
      }
    }
    return { rows, tokens: answers.reduce((sum, { completion }) => sum + completion.length, 0), metrics: {} }
  }

  const chunks = yield* chunked(scope, { comparisons: { items: prompts.length, size: atOnce } })
  const preferences = yield* chunks.rows("comparisons", {
    row: Compared,
    generates: k * stage.maxNewTokens,
    rowsPerItem: k * (k - 1) / 2,
    make: (from, to) => Effect.sync(() => compared(from, to))
  })
  yield* chunks.finished
  return preferences
}, Effect.scoped)
