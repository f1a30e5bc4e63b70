/**
 * Branch-Train-Merge (Li et al. 2022, arXiv 2208.03306): from a seed model, an expert for each domain is trained on its texts alone, without
 * any communication; the experts become one model by the average of their weights, or an ensemble. Then new domains branch from an average of
 * the experts, weighted by the posterior of the domains on the new texts.
 *
 * Differences: the ensemble of output distributions, for which `posterior` weights are the prior, is no artefact here; the average by the same
 * weights is (§4.3 of the paper compares both).
 */
import * as Artifact from "../Artifact.ts"
import * as Checkpoint from "../Checkpoint.ts"
import * as Kl from "../Kl.ts"
import * as MergeMethod from "../MergeMethod.ts"
import * as Pipeline from "../Pipeline.ts"
import * as Recipe from "../Recipe.ts"
import * as Source from "../Source.ts"
import * as Merge from "../stages/Merge.ts"
import * as Pretrain from "../stages/Pretrain.ts"

type Model = Artifact.Of<"BaseModel", "btm">
type Text = Artifact.Of<"Text">

export const branchTrainMerge = Recipe.make({
  name: "branch-train-merge",
  title: "Branch-Train-Merge, 1.3B",
  paper: "arXiv 2208.03306",
  takes: {
    seed: ["BaseModel", "btm"],
    news: "Text",
    legal: "Text",
    medical: "Text",
    code: "Text",
    reviews: "Text",
    /** Development texts of the second batch of domains. */
    newText: "Text",
    held: "Prompts"
  },
  open: {
    steps: Recipe.notReported(10_000, "of an expert; the paper gives GPU days: half of them for the seed"),
    batchSize: Recipe.notReported(512, "sequences of the context"),
    learningRate: Recipe.notReported(5e-4, "of an expert"),
    maxNewTokens: Recipe.notReported(128, "completions on which KL is measured; the paper measures perplexity")
  },
  published: () => {
    const text = (name: string) => Source.text(Source.described(name, { rows: 1_000_000, tokens: { text: 1000 } }))
    return {
      seed: Checkpoint.described("btm", {
        name: "GPT-3 XL, 1.3B",
        layers: 24,
        dim: 2048,
        heads: 32,
        ffn: 8192,
        gated: false,
        tied: true,
        vocab: 50_257,
        context: 1024
      }),
      news: text("RealNews"),
      legal: text("legal opinions"),
      medical: text("S2ORC, medicine"),
      code: text("GitHub"),
      reviews: text("Amazon reviews"),
      newText: Source.text(Source.described("reviews, development texts", { rows: 100, tokens: { text: 1000 } })),
      held: Source.prompts(Source.described("held-out openings", { rows: 1000, tokens: { prompt: 50 } }))
    }
  },
  make: ({ code, held, legal, medical, news, newText, reviews, seed }, { maxNewTokens, ...training }) => {
    const expert = (init: Model, text: Text): Model =>
      Pretrain.make({ text, init }, { ...training, schedule: "linear" })
    const experts = {
      news: expert(seed, news),
      legal: expert(seed, legal),
      medical: expert(seed, medical),
      code: expert(seed, code)
    }
    const average = Merge.make({ text: newText }, experts, { method: MergeMethod.posterior() })
    const next = expert(average, reviews)
    const merged = Merge.make({ text: newText }, { ...experts, reviews: next }, {
      method: MergeMethod.posterior({ top: 3 })
    })
    return {
      ...experts,
      /** The start of the next branch. */
      average,
      reviews: next,
      merged: Pipeline.observe(merged, {
        kl: Kl.measured,
        from: seed,
        held,
        maxNewTokens,
        measure: { every: 1000, samples: 256 }
      })
    }
  }
})
