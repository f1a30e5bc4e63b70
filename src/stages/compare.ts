import * as Effect from "effect/Effect"
import type { Compare } from "../../dsl/stages/Compare.ts"
import { encodePrompts, textsOf } from "../data/encode.ts"
import type { PreferenceRow, PromptRow } from "../data/rows.ts"
import { CurrentEngine } from "../engine/current.ts"
import type { Weights } from "../engine/engine.ts"
import { Judge } from "../rewards/judge.ts"
import { stream } from "../sampling/random.ts"
import { RunLog } from "../store/runLog.ts"
import { withinCaps } from "../training/budgets.ts"
import { each, observer, whole } from "../training/loop.ts"
import type { Scope } from "../training/scope.ts"

/** Prompts answered at a time: bounds the memory of a call. */
const atOnce = 256

/** Samples answers and has the labeler compare every pair of each prompt; see `dsl/stages/Compare.ts`. */
export const compare = Effect.fn("compare")(function*(
  stage: Compare,
  wires: { readonly policy: Weights; readonly prompts: ReadonlyArray<PromptRow> },
  scope: Scope
) {
  const [engine, judge, log] = [yield* CurrentEngine, yield* Judge, yield* RunLog]
  const policy = yield* observer(engine.policy, wires.policy)
  const codec = engine.codec(wires.policy)
  const prompts = yield* encodePrompts({ stage: scope.label, codec, context: policy.context }, wires.prompts)
  const k = stage.completionsPerPrompt
  const sampling = { ...stage, topK: 0, topP: 1, stop: codec.stop }
  const batches = Math.ceil(prompts.length / atOnce)
  yield* log.emit({ _tag: "Started", stage: scope.label, steps: batches, from: 0 })
  const preferences: Array<PreferenceRow> = []
  let spent = 0
  yield* each(
    batches,
    Effect.fnUntraced(function*(batch) {
      const rows = prompts.slice(batch * atOnce, (batch + 1) * atOnce)
      const asked = rows.flatMap((prompt) => Array.from({ length: k }, () => prompt))
      const seeds = asked.map((_, i) => `${scope.stream}/${batch * atOnce + Math.floor(i / k)}/${i % k}`)
      const answers = policy.sample(asked, sampling, seeds)
      const tokens = answers.reduce((sum, { completion }) => sum + completion.length, 0)
      const texts = textsOf(codec, answers)
      rows.forEach((_, row) => {
        const index = batch * atOnce + row
        const { prompt } = wires.prompts[index]!
        const random = stream(`${scope.stream}/${index}/labeler`)
        for (let i = 0; i < k; i++) {
          for (let j = i + 1; j < k; j++) {
            const pair = [row * k + i, row * k + j] as const
            const [a, b] = [texts[pair[0]]!, texts[pair[1]]!]
            const [better, worse] = judge.prefers(stage.gold, prompt, a, b, random.next()) ? pair : [pair[1], pair[0]]
            // Two equal answers carry no preference, whatever the labeler says.
            if (a === b) continue
            const ended = { chosen: answers[better]!.finished, rejected: answers[worse]!.finished }
            preferences.push({ prompt, chosen: texts[better]!, rejected: texts[worse]!, ended })
          }
        }
      })
      spent += tokens
      yield* log.emit({ _tag: "Step", stage: scope.label, step: batch + 1, steps: batches, tokens, metrics: {} })
      yield* withinCaps(scope, Effect.succeed("the policy; no comparisons"))
    })
  )
  yield* log.emit({ _tag: "Finished", stage: scope.label, tokens: spent })
  return yield* whole(preferences, prompts.length * k * (k - 1) / 2)
}, Effect.scoped)
