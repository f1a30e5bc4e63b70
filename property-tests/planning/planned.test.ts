/**
 * Plans against reality: the same stages planned, and run with completions of one length, each on an engine of its own whose peak is
 * read afterwards. FLOPs are held against 2 · parameters · tokens and attention, written here from the shape of the model alone.
 */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { Effect } from "effect"
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { assert, describe, it } from "vitest"
import type * as Artifact from "../../dsl/Artifact.ts"
import {
  Distill,
  Distillation,
  Dpo,
  Grpo,
  Kl,
  Kto,
  OnPolicyDistill,
  Pipeline,
  Ppo,
  PreferenceLoss,
  Pretrain,
  Reference,
  RewardLoss,
  RewardModeling,
  Sft,
  Source,
  Verifier
} from "../../dsl/index.ts"
import { initialOf } from "../../dsl/Stage.ts"
import * as tales from "../../src/data/tales/tales.ts"
import type { Batch, Computing, Engine, Policy, Scorer, Weights } from "../../src/engine/engine.ts"
import { transformer } from "../../src/engine/transformer/transformer.ts"
import { plan } from "../../src/planning/plan.ts"
import type { StagePlan } from "../../src/planning/plan.ts"
import { modelConfig } from "../../src/model/config.ts"
import { markdown } from "../../src/report/table.ts"
import type { Backend } from "../../src/tensor/backend.ts"
import { kinds, open } from "../engine/transformer/backends.ts"
import { folders } from "../store/faultyFileSystem.ts"
import { noTorch, openTorch } from "../tensor/libtorch.ts"
import { folderIn, runs, succeeded } from "../interpreters/tiny.ts"

const folder = folders("planned")
const maxNewTokens = 5
const prompts = Source.prompts(Source.tales({ split: "train", count: 8 }))
const held = Source.prompts(Source.tales({ split: "held", count: 4 }))
const model = { dim: 32, layers: 2, heads: 4, kvHeads: 2, ffn: 48, context: 96 }
const training = { batchSize: 4, learningRate: 1e-3 }
const base = Pretrain.make({ text: Source.text(Source.tales({ count: 12 })) }, {
  ...training,
  family: "tales",
  model,
  steps: 2
})
const demonstrations = Source.demonstrations(Source.tales({ count: 8 }))
const sft = Sft.make({ base, demonstrations }, training)
const bf16 = Sft.make({ base, demonstrations }, { ...training, precision: "bf16" })
const lora = Sft.make({ base, demonstrations }, {
  ...training,
  lora: { rank: 2, alpha: 8, targetModules: ["down_proj"] }
})
const recomputed = Sft.make({ base, demonstrations }, { ...training, batchSize: 8, recompute: true })
const judged = Source.tales({ count: 8 })
const reward = RewardModeling.make({ init: sft, preferences: Source.rankings(judged) }, {
  ...training,
  loss: RewardLoss.kWise()
})
const allowed = { allowance: Kl.mnatsPerSequence(1), maxNewTokens, measureSamples: 4, measureMost: 4, measureEvery: 2 }
const capped = (of: Artifact.Any, from: Artifact.Any = sft) =>
  Pipeline.cap(of as never, { kl: Kl.mnatsPerSequence(10_000_000), from: from as never }) as Artifact.Any
const episodes = { ...allowed, ...training, beta: 0.05, steps: 2 }
const ppo = Ppo.make({ init: sft, reference: sft, reward, value: reward, prompts, held }, episodes)
/** Samples with weights packed in that precision. */
const rounded = Ppo.make({ init: sft, reference: sft, reward, value: reward, prompts, held }, {
  ...episodes,
  precision: "bf16"
})
const verifiers = [Verifier.keywords()]
const grpo = Grpo.make({ init: sft, reference: sft, prompts, held }, {
  ...episodes,
  // Enough for all of them to be open at once: a reference that has moved, and the model that KL is measured from.
  steps: 4,
  batchSize: 2,
  groupSize: 3,
  verifiers,
  referencePolicy: new Reference.ResetEvery({ steps: 1 })
})
const kto = Kto.make({ init: sft, reference: sft, preferences: Source.unpairedPreferences(judged), held }, {
  ...allowed,
  ...training
})
const larger = Pretrain.make({ text: Source.text(Source.tales({ count: 12 })) }, {
  ...training,
  family: "tales",
  model: { ...model, dim: 48, ffn: 64 },
  steps: 1
})
const distilled = Distill.make({ student: sft, teacher: larger, prompts }, {
  ...training,
  maxNewTokens,
  objective: Distillation.wordLevel
})
const online = OnPolicyDistill.make({ student: sft, teacher: larger, prompts, held }, {
  ...allowed,
  ...training,
  objective: Distillation.reverseKl(),
  steps: 2
})
const pairs = join(folder(), "pairs.jsonl")
mkdirSync(dirname(pairs))
writeFileSync(
  pairs,
  tales.demonstrations("planned", 8).map(({ completion, prompt }) =>
    JSON.stringify({ prompt, chosen: completion, rejected: completion.split(" ").slice(0, 9).join(" ") })
  ).join("\n")
)
const dpo = Dpo.make({ init: sft, reference: sft, preferences: Source.preferences(Source.file(pairs)), held }, {
  ...allowed,
  ...training,
  loss: PreferenceLoss.dpo()
})

/** In the order in which they are made, each after what it needs. */
const stages: Readonly<Record<string, Artifact.Any>> = {
  pretraining: base,
  SFT: sft,
  "SFT bf16": bf16,
  "SFT LoRA": lora,
  "SFT recompute": recomputed,
  "reward model": reward,
  PPO: capped(ppo),
  "PPO bf16": capped(rounded),
  "GRPO, moving reference": capped(grpo),
  DPO: capped(dpo),
  KTO: capped(kto),
  teacher: larger,
  distillation: distilled,
  "on-policy distillation": capped(online, sft)
}

interface Counted {
  flops: number
  generated: number
  trained: number
}

/** An engine whose completions reach `maxNewTokens` and end there, with the operations of its verbs by the closed form. */
const counted = (of: Engine): { readonly engine: Engine; readonly counts: Counted } => {
  const counts: Counted = { flops: 0, generated: 0, trained: 0 }
  const closed = ({ config: raw }: Weights, { lora, recompute }: Computing) => {
    const { dim, ffn, headDim, heads, kvHeads, layers, vocab } = modelConfig(raw)
    const [qkv, out, gateUp, down] = [
      dim * (heads + 2 * kvHeads) * headDim,
      heads * headDim * dim,
      2 * dim * ffn,
      ffn * dim
    ]
    const parameters = layers * (qkv + out + gateUp + down)
    const adapters = lora === undefined ? 0 : layers * lora.rank * (ffn + dim + lora.rank)
    /** 2 a parameter and token, and two products over half of the square of the sequence. */
    const forward = (tokens: number, outputs: number, width: number) => ({
      products: 2 * parameters * tokens + 2 * dim * width * outputs,
      adapters: 2 * adapters * tokens,
      attention: 4 * layers * heads * headDim * tokens ** 2 / 2,
      again: recompute === true
        // The last layer is still there, and no layer needs the product that ends it.
        ? (layers - 1) * (2 * (qkv + out + gateUp) * tokens + 4 * heads * headDim * tokens ** 2 / 2)
        : 0
    })
    return {
      vocab,
      pass: (batch: Batch, trains: boolean, width: number, extra: number) => {
        for (const { completion, prompt } of batch) {
          const { adapters, again, attention, products } = forward(
            prompt.length + completion.length - 1 + extra,
            completion.length + extra,
            width
          )
          counts.flops += products + adapters + attention
          // Frozen weights have no gradient of their own.
          if (trains) counts.flops += (lora === undefined ? 2 : 1) * products + 2 * (adapters + attention) + again
          if (trains) counts.trained += completion.length
        }
      },
      logits: (batch: Batch) => {
        for (const { completion } of batch) counts.flops += 2 * dim * vocab * completion.length
      },
      sample: (prompts: ReadonlyArray<Int32Array>, length: number) => {
        const fresh = new Set<string>()
        for (const prompt of prompts) {
          const all = forward(prompt.length + length - 1, length, vocab)
          const own = forward(prompt.length, 0, vocab)
          counts.flops += all.products + all.adapters + all.attention
          // The prompts of a group are one pass, and their first logits one product.
          if (fresh.has(prompt.join())) counts.flops -= own.products + own.attention + 2 * dim * vocab
          fresh.add(prompt.join())
          counts.generated += length
        }
      }
    }
  }
  const policy = (weights: Weights, computing: Computing = {}): Policy => {
    const inner = of.policy(weights, computing)
    const form = closed(weights, computing)
    return {
      ...inner,
      logprobs: (batch, how) => {
        form.pass(batch, how?.retain === true, form.vocab, 0)
        return inner.logprobs(batch, how)
      },
      learn: (batch, gradientOf) => {
        form.pass(batch, true, form.vocab, 0)
        return inner.learn(batch, gradientOf)
      },
      divergences: (batch, teacher, divergence, how) => {
        form.pass(batch, how?.retain === true, form.vocab, 0)
        const theirs = (teacher as Policy & { readonly form: ReturnType<typeof closed> }).form
        theirs.pass(batch, false, theirs.vocab, 0)
        // The backward pass has the logits of both again, block by block.
        if (how?.retain === true) { for (const one of [form, theirs]) one.logits(batch) }
        return inner.divergences(batch, teacher, divergence, how)
      },
      sample: (prompts, sampling, seeds) => {
        form.sample(prompts, sampling.maxNewTokens)
        return inner.sample(prompts, { ...sampling, stop: [] }, seeds).map(({ completion, logps }) => {
          completion[completion.length - 1] = sampling.stop[0]!
          return { completion, logps, finished: true }
        })
      },
      form
    } as Policy
  }
  const scorer = (weights: Weights, computing: Computing = {}): Scorer => {
    const inner = of.scorer(weights, computing)
    const form = closed(weights, computing)
    return {
      ...inner,
      values: (batch, how) => {
        form.pass(batch, how?.retain === true, 1, 1)
        return inner.values(batch, how)
      }
    }
  }
  return { engine: { ...of, policy, scorer }, counts }
}

/** With the processor's libtorch where there is one: its packed weights are others. */
const backends: Readonly<Record<string, () => Promise<Backend>>> = {
  ...Object.fromEntries(kinds.filter((kind) => kind !== "reference").map((kind) => [kind, () => open(kind)])),
  ...(noTorch === undefined ? { torch: openTorch } : {})
}
const planOf = async (name: string, { packing }: Pick<Engine, "packing">): Promise<StagePlan> => {
  const options = packing === undefined ? {} : { packing }
  const { stages: all, unplanned } = await Effect.runPromise(
    Effect.provide(plan(stages[name]!, options), NodeFileSystem.layer)
  )
  assert.deepStrictEqual(unplanned, [], name)
  return all.at(-1)!
}

/** What the store of a run says of a finished stage. */
const spentOn = async (
  root: Artifact.Any,
  store: string
): Promise<{ readonly disk: number; readonly prompts: ReadonlyArray<number> }> =>
  JSON.parse(readFileSync(join(await folderIn(store, initialOf(root), root), "spent.json"), "utf8"))

const off = (planned: number, really: number): string =>
  really === 0 ? String(planned) : `${(100 * (planned / really - 1)).toFixed(2)} %`

describe("what is planned is what is taken", () => {
  for (const [kind, open] of Object.entries(backends)) {
    it(`on ${kind}: memory within 1 %, FLOPs within 1 % of the closed form, tokens exactly`, async () => {
      const store = folder()
      const rows: Array<ReadonlyArray<string>> = [["stage", "memory", "planned", "FLOPs", "planned", "tokens"]]
      for (const [name, root] of Object.entries(stages)) {
        const backend = await open()
        if (name.endsWith("bf16") && !backend.precisions.includes("bf16")) continue
        const { counts, engine } = counted(transformer(backend))
        succeeded(await runs(root, store, { engine }))
        const { peak } = engine.memory!()
        backend.dispose()
        const { bytes, disk, flops, generated, prompts, stage, trained } = await planOf(name, engine)
        const spent = await spentOn(root, store)
        assert.strictEqual(prompts, spent.prompts.length, `prompts of ${name}`)
        // Besides the model there are its tokenizer and what describes it.
        assert.isAtMost(disk.made, spent.disk, `disk of ${name}`)
        assert.isAtLeast(disk.made, spent.disk - 2 ** 14, `disk of ${name}`)
        assert.isAtLeast(disk.most, disk.made)
        rows.push([
          name,
          String(peak),
          off(bytes, peak),
          counts.flops.toExponential(3),
          off(flops, counts.flops),
          `${counts.generated} + ${counts.trained}`
        ])
        assert.deepStrictEqual({ generated, trained }, { generated: counts.generated, trained: counts.trained }, stage)
        assert.approximately(bytes / peak, 1, 0.01, `memory of ${name}`)
        assert.approximately(flops / counts.flops, 1, 0.01, `FLOPs of ${name}`)
      }
      console.log(`planned against taken on ${kind}\n${markdown(rows)}`)
    }, 300_000)
  }
})
