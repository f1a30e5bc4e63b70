/** DPO and KTO as small as they get, on top of what `interpreters/tiny.ts` makes. */
import * as Artifact from "../../dsl/Artifact.ts"
import { Dpo, Gold, Kl, Kto, Pair, Pipeline, PreferenceLoss, Sample, Score } from "../../dsl/index.ts"
import { tiny } from "../interpreters/tiny.ts"

const { compared, held, prompts, sft } = tiny()

export const start = { sft, compared, held }

/** Pairs with margins. */
const scored = Pair.make({
  completions: Score.byJudge({
    completions: Sample.make({ policy: sft, prompts }, { completionsPerPrompt: 4, maxNewTokens: 6 })
  }, { gold: Gold.tales })
}, { margins: true })

const params = {
  allowance: Kl.mnatsPerSequence(1),
  batchSize: 3,
  learningRate: 1e-3,
  maxNewTokens: 6,
  measureEvery: 2,
  measureSamples: 4,
  checkpointEvery: 2
} as const

const capped = (of: Artifact.Artifact<"Policy", "tales", never, number, any, any>) =>
  Pipeline.cap(of, { kl: Kl.mnatsPerSequence<number>(20_000), from: sft })

export const tinyDpo = (
  loss: PreferenceLoss.Loss<boolean> = PreferenceLoss.dpo(),
  options: Partial<typeof Dpo.Dpo["~type.make.in"]> = {},
  pairs: Artifact.Of<"Preferences"> = PreferenceLoss.readsMargins(loss) ? scored : compared
): Artifact.Any =>
  loss.reference
    ? capped(
      Dpo.make(
        { init: sft, reference: sft, preferences: pairs, held },
        {
          ...params,
          ...options,
          allowance: params.allowance,
          loss: loss as PreferenceLoss.Loss<true>
        }
      )
    )
    : capped(
      Dpo.make({ init: sft, preferences: pairs, held }, {
        ...params,
        ...options,
        allowance: params.allowance,
        loss: loss as PreferenceLoss.Loss<false>
      })
    )

export const tinyKto = (options: Partial<typeof Kto.Kto["~type.make.in"]> = {}): Artifact.Any =>
  capped(
    Kto.make({ init: sft, reference: sft, preferences: compared, held }, {
      ...params,
      ...options,
      allowance: params.allowance
    })
  )
