/** The weights that come out of a stage (`dsl/Keep.ts`): a second model, saved beside the trained one, follows it when it is due. */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Keep } from "../../dsl/Keep.ts"
import type { PromptRow } from "../data/rows.ts"
import { type For, textsOf } from "../data/encode.ts"
import type { Codec, Model, Policy, Row, Scorer, Weights } from "../engine/engine.ts"
import type { Composed } from "../rewards/composed.ts"
import { Judge } from "../rewards/judge.ts"
import { type OpenReward, proxyOf, readsText } from "../rewards/rewarding.ts"
import { RunLog } from "../store/runLog.ts"
import { type Answering, encoded, promptsOf } from "./answering.ts"
import type { Taking } from "./batches.ts"
import { finite, type NotFinite, type Opening } from "./loop.ts"
import { openReward } from "./openReward.ts"
import { CurrentRehearsal } from "./rehearsal.ts"
import type { Scope } from "./scope.ts"

const Saved = Schema.Struct({ best: Schema.optionalKey(Schema.Struct({ step: Schema.Natural, value: Schema.Number })) })

/** A number of the model at this moment, by which `Best` chooses. */
export type Validate<E, R> = (step: number) => Effect.Effect<number, E | NotFinite, R>

/** The second model; none where the last weights come out. */
export const keptModel = <M extends Model>(
  keep: Keep | undefined,
  open: (weights: Weights) => M,
  initial: Weights
): { readonly kept?: Opening<M> } => keep === undefined ? {} : { kept: { open, initial, untrained: true } }

/** The steps after which an epoch of the rows ends. */
const ends = ({ count, perStep }: Taking, step: number): boolean =>
  Math.floor(step * perStep / count) > Math.floor((step - 1) * perStep / count)

export const keeper = Effect.fnUntraced(function*<E, R>(
  scope: Scope,
  keep: Keep | undefined,
  { kept, state, steps, taking, trained, validate }: {
    readonly trained: Model
    readonly kept: Model | undefined
    readonly steps: number
    readonly taking?: Taking | undefined
    readonly state: Schema.Json
    readonly validate?: Validate<E, R> | undefined
  }
) {
  const [log, rehearsal] = [yield* RunLog, yield* CurrentRehearsal]
  let { best } = Schema.decodeUnknownSync(Saved)(state ?? {})
  let rehearsed = false
  const due = (step: number): boolean =>
    keep !== undefined && (keep._tag === "Average" || step === steps ||
      (keep.every === "epoch" ? taking !== undefined && ends(taking, step) : step % keep.every === 0))
  const look = Effect.fnUntraced(function*(step: number) {
    switch (keep?._tag) {
      case "Average":
        return kept!.follow(trained, 1 - keep.decay)
      case "Soup":
        return kept!.follow(trained, 1 / Math.ceil(step / keep.every))
      case "Best": {
        const value = yield* validate!(step)
        yield* finite({ [keep.by]: value })
        yield* log.emit({
          _tag: "Observed",
          stage: scope.label,
          step,
          samples: 0,
          observed: { [`keep/${keep.by}`]: value }
        })
        if (best !== undefined && (keep.by === "loss" ? value >= best.value : value <= best.value)) return
        best = { step, value }
        kept!.follow(trained, 1)
      }
    }
  })
  return {
    /** After step `step`. */
    after: Effect.fnUntraced(function*(step: number) {
      if (keep?._tag === "Average" || rehearsal === null) {
        if (due(step)) yield* look(step)
        if (step === steps && best !== undefined) {
          yield* Console.error(
            `${scope.label} keeps the weights of step ${best.step} of ${steps}, with the best ${
              keep?._tag === "Best" ? keep.by : ""
            } on held rows, ${best.value.toPrecision(4)}`
          )
        }
      } else if (keep !== undefined && !rehearsed) {
        rehearsed = true
        const times = Array.from({ length: steps }, (_, n) => n + 1).filter(due).length
        yield* rehearsal.times(times, look(step), "measure")
      }
    }),
    /** For a checkpoint. */
    state: () => best === undefined ? {} : { best },
    weights: (): Weights => (kept ?? trained).weights()
  }
})

/** `Best` by `proxy` of a stage without held prompts to measure KL on; undefined of another `keep`. */
export const proxyBest = Effect.fnUntraced(function*(
  scope: Scope,
  { keep, maxNewTokens = keep?._tag === "Best" ? keep.maxNewTokens : undefined }: {
    readonly keep?: Keep
    readonly maxNewTokens?: number
  },
  { answering, open, policy, use }: {
    readonly answering: Answering
    readonly open: { readonly scorer: (weights: Weights) => Scorer }
    readonly policy: Policy
    readonly use: For
  },
  { held, reward }: {
    readonly held?: ReadonlyArray<PromptRow> | undefined
    readonly reward?: Composed<Weights> | undefined
  }
) {
  if (keep?._tag !== "Best" || keep.by !== "proxy") return undefined
  return proxyOn(scope, policy, {
    answering,
    codec: use.codec,
    rows: held!,
    ids: yield* encoded(use, answering, held!),
    proxy: yield* openReward(scope, reward!, open.scorer),
    maxNewTokens: maxNewTokens!
  })
})

/** The mean reward of one completion of each held prompt. */
export const proxyOn = (
  scope: Scope,
  policy: Policy,
  held: {
    readonly answering: Answering
    readonly codec: Codec
    readonly rows: ReadonlyArray<PromptRow>
    readonly ids: ReadonlyArray<Int32Array>
    readonly proxy: OpenReward
    readonly maxNewTokens: number
  }
) =>
  Effect.fnUntraced(function*(step) {
    const { answering, codec, ids, maxNewTokens, proxy, rows } = held
    const asked = rows.map((_, i) => i)
    const seeds = asked.map((i) => `${scope.stream}/keep/${step}/${i}`)
    const sampling = { maxNewTokens, temperature: 1, topK: 0, topP: 1, stop: codec.stop }
    const played = yield* answering.sample(policy, promptsOf(rows, ids, asked, seeds), sampling, seeds)
    const last = played.map(({ last }) => last)
    const texts = readsText(proxy) ? textsOf(codec, last) : []
    const questions = last.map(({ completion: { length: tokens }, finished: ended }, i) => ({
      ...rows[i]!,
      row: i + 1,
      completion: texts[i] ?? "",
      ended,
      tokens
    }))
    const whole = played.map(({ row: { completion, prompt } }): Row => ({ prompt, completion }))
    const scores = yield* proxyOf({ stage: scope.label, judge: yield* Judge }, proxy, questions, whole, step)
    return scores.reduce((sum, x) => sum + x, 0) / scores.length
  })
