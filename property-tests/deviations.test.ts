/** DEVIATIONS.md keeps to what it says; every default that is not TRL's is in it; and the lines that are shown nowhere else. */
import { spawnSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import fc from "fast-check"
import { assert, describe, it } from "vitest"
import { Kl, PolicyGradient, PreferenceLoss } from "../dsl/index.ts"
import { Dpo } from "../dsl/stages/Dpo.ts"
import { Grpo } from "../dsl/stages/Grpo.ts"
import { Kto } from "../dsl/stages/Kto.ts"
import { RewardModeling } from "../dsl/stages/RewardModeling.ts"
import { Sft } from "../dsl/stages/Sft.ts"
import { transformer } from "../src/engine/transformer/transformer.ts"
import { initial } from "../src/engine/transformer/initial.ts"
import { modelConfig } from "../src/model/config.ts"
import { parameters } from "../src/model/parameters.ts"
import { scheduled } from "../src/optim/schedule.ts"
import { mismatched } from "../src/stages/kto.ts"
import { reference } from "../src/tensor/reference.ts"
import { batchAt } from "../src/training/batches.ts"
import { miniBatches } from "../src/training/miniBatches.ts"
import { randomWeights, variants } from "./engine/transformer/tinyModels.ts"
import { assertClose, i32 } from "./losses/gradients.ts"

const folder = import.meta.dirname
const rows = readFileSync(join(folder, "DEVIATIONS.md"), "utf8").split("\n")
  .filter((line) => /^\| \d+ \|/u.test(line))
  .map((line) => line.slice(1, -1).split(" | ").map((cell) => cell.trim()))

interface Theirs {
  readonly versions: { readonly transformers: string; readonly trl: string }
  readonly defaults: Readonly<Record<string, Readonly<Record<string, unknown>>>>
  readonly steps: number
  readonly warmup: number
  readonly schedules: Readonly<Record<"constant" | "linear" | "cosine", ReadonlyArray<number>>>
  readonly decays: Readonly<Record<string, ReadonlyArray<string>>>
}
const theirs = JSON.parse(readFileSync(join(folder, "golden/trl-defaults.json"), "utf8")) as Theirs

describe("DEVIATIONS.md", () => {
  it("numbers its lines, and each has a reason and tests that exist", () => {
    assert.deepStrictEqual(rows.map(([number]) => Number(number)), rows.map((_, i) => i + 1))
    for (const cells of rows) {
      assert.lengthOf(cells, 5, cells[0]!)
      const [number, , keel, reason, cited] = cells
      assert.strictEqual(keel!.startsWith("the same"), reason === "theirs" || /cispo_clip_ratio/u.test(keel!), number!)
      for (const one of cited!.split(/; (?=`)/u)) {
        const [, file, name] = /^`([^`]+)` › (.+)$/u.exec(one) ?? []
        assert(file !== undefined && name !== undefined, `${number}: ${one}`)
        const text = readFileSync(join(folder, file), "utf8")
        assert.isTrue(['"', "'", "`"].some((quote) => text.includes(`${quote}${name}${quote}`)), `${number}: ${one}`)
      }
    }
  })

  it("every default is TRL's and transformers', but for the lines of the table", () => {
    const fit = { batchSize: 2, learningRate: 1e-3 }
    const spends = { ...fit, allowance: Kl.mnatsPerSequence<number>(1), maxNewTokens: 4 }
    const sft = new Sft({ ...fit })
    const reward = new RewardModeling({ ...fit })
    const dpo = new Dpo({ ...spends, loss: PreferenceLoss.dpo() })
    const kto = new Kto({ ...spends })
    const grpo = new Grpo({ ...spends, beta: 0.1, steps: 1, groupSize: 2 })
    const { loss } = grpo
    assert(loss._tag === "PolicyLoss" && loss.objective._tag === "Ratio" && loss.objective.clip._tag === "Clipped")
    assert(grpo.advantage._tag === "GroupStd" && reward.loss._tag === "BradleyTerry" && !("_tag" in dpo.loss))
    const { clip, level } = loss.objective
    const [rloo, sapo, vespo] = [
      PolicyGradient.rloo.loss.objective,
      PolicyGradient.sapo.loss.objective,
      PolicyGradient.vespo.loss.objective
    ]
    assert(rloo._tag === "Ratio" && rloo.clip._tag === "Clipped" && vespo._tag === "GammaWeighted")
    assert(sapo._tag === "Ratio" && sapo.clip._tag === "SoftGated")
    const form = dpo.loss.terms[0]!.form
    const discoPop = PreferenceLoss.discoPop().terms[0]!.form
    assert(form._tag === "Logistic" && discoPop._tag === "DiscoPop")
    const common = (stage: Sft | RewardModeling | Dpo | Kto | Grpo) => ({
      adam_beta1: stage.adamBeta1,
      adam_beta2: stage.adamBeta2,
      adam_epsilon: stage.adamEpsilon,
      weight_decay: stage.weightDecay,
      max_grad_norm: stage.maxGradNorm,
      lr_scheduler_type: stage.schedule,
      warmup_steps: stage.warmupSteps,
      bf16: stage.precision,
      ...("epochs" in stage ? { num_train_epochs: stage.epochs } : {})
    })
    const own: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
      sft: {
        ...common(sft),
        // null: no length but the context, and no cut.
        max_length: sft.truncation === "error" ? null : sft.maxLength,
        completion_only_loss: sft.loss === "completion" ? null : sft.loss,
        assistant_only_loss: sft.loss === "assistant"
      },
      reward: { ...common(reward), center_rewards_coefficient: reward.loss.centerRewardsCoefficient || null },
      dpo: {
        ...common(dpo),
        beta: dpo.loss.beta,
        label_smoothing: form.labelSmoothing,
        discopop_tau: discoPop.tau
      },
      kto: {
        ...common(kto),
        beta: kto.beta,
        loss_type: kto.loss,
        desirable_weight: kto.desirableWeight,
        undesirable_weight: kto.undesirableWeight
      },
      grpo: {
        ...common(grpo),
        temperature: grpo.temperature,
        num_iterations: grpo.numIterations,
        epsilon: clip.low,
        epsilon_high: clip.high === clip.low ? null : clip.high,
        importance_sampling_level: level,
        scale_rewards: grpo.advantage.ddof === 1 && grpo.advantage.epsilon === 1e-4 ? "group" : "another",
        loss_type: loss.aggregation._tag === "SequenceMean" ? "grpo" : "dapo",
        use_bias_correction_kl: loss.kl._tag === "KlInLoss" && loss.kl.estimator === "k3-corrected",
        entropy_coef: loss.entropyCoef,
        sapo_temperature_pos: sapo.clip.positive,
        sapo_temperature_neg: sapo.clip.negative,
        vespo_k_pos: vespo.kPositive,
        vespo_lambda_pos: vespo.lambdaPositive,
        vespo_k_neg: vespo.kNegative,
        vespo_lambda_neg: vespo.lambdaNegative,
        vllm_importance_sampling_correction: loss.importanceCap !== undefined
      },
      rloo: {
        num_iterations: grpo.numIterations,
        epsilon: rloo.clip.low,
        epsilon_high: rloo.clip.high === rloo.clip.low ? null : rloo.clip.high
      }
    }
    const listed = rows.map(([, theirs]) => theirs!).join("\n")
    let compared = 0
    const differing = new Set<string>()
    for (const [name, fields] of Object.entries(own)) {
      for (const [field, value] of Object.entries(fields)) {
        assert.property(theirs.defaults[name]!, field)
        compared++
        if (value !== theirs.defaults[name]![field]) differing.add(field)
      }
    }
    assert.isAtLeast(compared, 60)
    for (const field of differing) assert.include(listed, `\`${field}\``, field)
    assert.sameMembers([...differing], [
      "adam_beta2",
      "lr_scheduler_type",
      "bf16",
      "num_train_epochs",
      "max_length",
      "loss_type",
      "use_bias_correction_kl",
      "vllm_importance_sampling_correction"
    ])
  })

  it("warm-up is one step ahead of transformers', and every later rate is the same", () => {
    const { schedules, steps, warmup } = theirs
    const of = (name: string) => ({
      schedule: name as keyof typeof schedules,
      warmupSteps: warmup,
      learningRate: 1
    })
    for (const [name, rates] of Object.entries(schedules)) {
      const own = rates.map((_, n) => scheduled(of(name), n, steps))
      assertClose(rates.map((_, n) => scheduled({ ...of(name), warmupFrom: 0 }, n, steps)), rates, 1e-12)
      assertClose(own.slice(0, warmup), rates.slice(1, warmup + 1), 1e-12)
      assertClose(own.slice(warmup), rates.slice(warmup), 1e-12)
    }
  })

  it("matrices decay, norms and biases do not, as transformers chooses them", () => {
    // No gradient: what moves has decayed.
    const engine = transformer(reference())
    for (const [name, raw] of Object.entries(variants)) {
      const weights = randomWeights(raw, name)
      const policy = engine.policy(weights)
      policy.step({ learningRate: 0.1, betas: [0.9, 0.95], eps: 1e-8, weightDecay: 0.5, maxGradNorm: Infinity })
      for (const [tensor, { data, shape }] of policy.weights().tensors) {
        const kept = shape.length > 1 ? 0.95 : 1
        assertClose(data, Float64Array.from(weights.tensors.get(tensor)!.data, (x) => kept * x), 1e-12)
      }
      policy.dispose()
    }
    const shape = {
      vocab_size: 8,
      hidden_size: 4,
      intermediate_size: 4,
      num_hidden_layers: 1,
      num_attention_heads: 1,
      num_key_value_heads: 1,
      head_dim: 4,
      max_position_embeddings: 8,
      tie_word_embeddings: false
    }
    for (const [kind, names] of Object.entries(theirs.decays)) {
      const all = parameters(modelConfig({ ...shape, model_type: kind }), "lm")
      assert.sameMembers(all.flatMap(({ name, shape }) => shape.length > 1 ? [name] : []), [...names])
      assert.isAbove(all.length, names.length)
    }
  })

  it("every batch is full: the rest of an epoch opens the next one", () => {
    fc.assert(fc.property(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 6 }), (count, batchSize) => {
      for (let n = 0; n < 8; n++) assert.lengthOf(batchAt("rows", count, batchSize, n), batchSize)
    }))
  })

  it("a new scalar head is 0", () => {
    const shape = { dim: 16, layers: 1, heads: 2, kvHeads: 1, ffn: 24, context: 64 }
    const scorer = transformer(reference()).scorer(initial({ ...shape, words: ["a", "b"], seed: "x" }))
    assert.isTrue(scorer.weights().tensors.get("score.weight")!.data.every((x) => x === 0))
    const { values } = scorer.values([{ prompt: i32(1, 4), completion: i32(5, 2) }])
    assert.isTrue(values.every((x) => x === 0))
  })

  it("KTO's mismatched answers are cut at the context, and none is left out", () => {
    const row = (prompt: number, completion: number) => ({
      prompt: new Int32Array(prompt).fill(3),
      completion: Int32Array.from({ length: completion }, (_, i) => i + 4)
    })
    const own = [row(6, 2), row(2, 6), row(4, 4)]
    const others = mismatched(own, 8)
    assert.deepStrictEqual(others.map(({ prompt }) => prompt.length), [6, 2, 4])
    // The answers before: of 4, 2 and 6 tokens, where there is room for 2, 6 and 4.
    assert.deepStrictEqual(others.map(({ completion }) => [...completion]), [[4, 5], [4, 5], [4, 5, 6, 7]])
    assert.deepStrictEqual(mismatched([row(2, 2)], 8), [])
  })

  it("mini-batches of GRPO hold whole groups", () => {
    const groups = miniBatches("step", 6, { miniBatches: 3, passes: 2 })
    assert.deepStrictEqual(groups.map(({ length }) => length), [2, 2, 2, 2, 2, 2])
    for (const pass of [groups.slice(0, 3), groups.slice(3)]) {
      assert.deepStrictEqual(pass.flat().toSorted((a, b) => a - b), [0, 1, 2, 3, 4, 5])
    }
  })

  it("their defaults are what TRL and transformers have now", { timeout: 600_000 }, ({ skip }) => {
    const script = join(folder, "losses/trl/defaults.py")
    const { status, stdout } = spawnSync("python3", [script], { encoding: "utf8", maxBuffer: 2 ** 26 })
    if (status !== 0) return skip("python3 with trl is not there, so its defaults are not read again")
    const again = JSON.parse(stdout) as Theirs
    assert.deepStrictEqual(again.versions, theirs.versions)
    assert.deepStrictEqual(again, theirs)
  })
})
