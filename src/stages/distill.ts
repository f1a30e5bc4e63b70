import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Distill } from "../../dsl/stages/Distill.ts"
import { lengthOf } from "../data/cut.ts"
import { inContexts } from "../data/ask.ts"
import { demonstrations, encodePrompts, prompts } from "../data/encode.ts"
import type { DemonstrationRow, PromptRow } from "../data/rows.ts"
import { lazyArray, repeated } from "../data/lazyArray.ts"
import { CurrentEngine } from "../engine/current.ts"
import type { Row, Weights } from "../engine/engine.ts"
import { crossEntropy } from "../losses/crossEntropy.ts"
import type { Composed } from "../rewards/composed.ts"
import { inBatches, stepsOf } from "../training/batches.ts"
import { chunked } from "../training/chunks.ts"
import { answersOf, divergenceLoss } from "../training/distilling.ts"
import { fitted } from "../training/fitted.ts"
import { proxyBest } from "../training/keeping.ts"
import { observer } from "../training/loop.ts"
import { trainPolicy } from "../training/movePolicy.ts"
import type { Scope } from "../training/scope.ts"

/** The teacher's answers to all prompts, which it sees as `asked`, kept in chunks: training needs them again after a stop. */
const taught = Effect.fnUntraced(function*(
  prompts: ReadonlyArray<Int32Array>,
  asked: ReadonlyArray<Int32Array>,
  answer: (prompts: ReadonlyArray<Int32Array>, first: number) => ReadonlyArray<Row>,
  generates: number,
  scope: Scope
) {
  const chunks = yield* chunked(scope, { answers: { items: prompts.length, size: 256 } }, { told: false })
  const answers = yield* chunks.rows("answers", {
    row: Schema.Array(Schema.Natural),
    generates,
    make: (from, to) =>
      Effect.sync(() => {
        const rows = answer(asked.slice(from, to), from).map(({ completion }) => [...completion])
        return { rows, tokens: rows.reduce((sum, { length }) => sum + length, 0), metrics: {} }
      })
  })
  return lazyArray(prompts.length, (i): Row => ({ prompt: prompts[i]!, completion: Int32Array.from(answers[i]!) }))
})

interface Demonstrations {
  readonly demonstrations: ReadonlyArray<DemonstrationRow>
}

/** Learns from a teacher on answers that the student did not write; see `dsl/stages/Distill.ts`. */
export const distill = (
  stage: Distill,
  wires: {
    readonly student: Weights
    readonly teacher: Weights
    readonly answers:
      | { readonly prompts: ReadonlyArray<PromptRow> }
      | Demonstrations
    readonly held?: ReadonlyArray<PromptRow> | undefined
    /** Judges the weights of `keep`. */
    readonly reward?: Composed<Weights> | undefined
  },
  scope: Scope
) =>
  trainPolicy(stage, { init: wires.student }, scope, (at) =>
    Effect.gen(function*() {
      const { codec, policy } = at
      const teacher = yield* observer(at.open.policy, wires.teacher)
      const use = { ...at.use, context: Math.min(policy.context, teacher.context) }
      const instructions = "prompts" in wires.answers
        ? yield* fitted(use, wires.answers.prompts, prompts(codec, stage.maxNewTokens), stage)
        : undefined
      const given = "prompts" in wires.answers
        ? undefined
        : yield* fitted(use, wires.answers.demonstrations, demonstrations(codec, stage.mask), stage)
      // The prompts of a world have no context.
      const ask = (yield* CurrentEngine).kind === "tabular" ? undefined : stage.teacherAsk
      const answered = instructions === undefined
        ? given!.encoded
        : yield* taught(
          repeated(instructions.encoded, stage.completionsPerPrompt),
          repeated(
            ask === undefined
              ? instructions.encoded
              : yield* encodePrompts(
                { ...use, context: teacher.context },
                yield* inContexts(use, ask, instructions.rows, { stream: scope.stream })
              ),
            stage.completionsPerPrompt
          ),
          (prompts, first) =>
            answersOf(
              teacher,
              prompts,
              { maxNewTokens: stage.maxNewTokens!, temperature: stage.samplingTemperature, stop: codec.stop },
              `${scope.stream}/teacher`,
              first
            ),
          stage.maxNewTokens!,
          scope
        )
      const steps = stepsOf(answered.length, stage)
      const taking = inBatches(scope.stream, given?.rows ?? answered, stage.batchSize, (i) => lengthOf(answered[i]!))
      const { objective } = stage
      const validate = yield* proxyBest(scope, stage, at, wires)
      return {
        steps,
        taking,
        ...(validate === undefined ? {} : { validate }),
        opened: [[wires.teacher, teacher]] as const,
        step: (n: number) =>
          Effect.sync(() => {
            const rows = taking.of(n).map((i) => answered[i]!)
            const sampled = n === 0 && "prompts" in wires.answers
              ? answered.reduce((sum, { completion }) => sum + completion.length, 0)
              : 0
            const tokens = sampled + rows.reduce((sum, { completion }) => sum + completion.length, 0)
            if (objective._tag !== "SequenceLevel") {
              return { tokens, ...divergenceLoss(policy, teacher, rows, objective) }
            }
            const { logps } = policy.logprobs(rows, { retain: true })
            return { tokens, passed: { rows, numbers: logps }, learn: { ...crossEntropy(logps), metrics: {} } }
          })
      }
    }))
