/** What `check` refuses of checkpoints: by their `config.json`, which is all that is read of them. */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import fc from "fast-check"
import { Effect, FileSystem, Layer, Result } from "effect"
import { mkdirSync, writeFileSync } from "node:fs"
import { basename, join } from "node:path"
import { assert, describe, it } from "vitest"
import * as Artifact from "../../dsl/Artifact.ts"
import {
  Budget,
  Checkpoint,
  Distill,
  Distillation,
  Dpo,
  Grpo,
  Kl,
  Pipeline,
  Ppo,
  PreferenceLoss,
  RewardModeling,
  Sample,
  Sft,
  Source
} from "../../dsl/index.ts"
import { parentsOf } from "../../dsl/Stage.ts"
import { label } from "../../dsl/Render.ts"
import { check, problems } from "../../src/interpreters/check.ts"
import { bytesAtLeast } from "../../src/interpreters/checks/memory.ts"
import { type Shapes } from "../../src/interpreters/checks/shapes.ts"
import { plan } from "../../src/planning/plan.ts"
import { shapesIn } from "../../src/interpreters/checkpointShapes.ts"
import { modelConfig } from "../../src/model/config.ts"
import { pipelines } from "../../src/testing/pipelines/pipelines.ts"
import { variants } from "../engine/transformer/tinyModels.ts"
import { folders } from "../store/faultyFileSystem.ts"

const folder = folders("shapes")

const config = {
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  vocab_size: 300,
  hidden_size: 64,
  intermediate_size: 128,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  max_position_embeddings: 256,
  rms_norm_eps: 1e-5,
  tie_word_embeddings: false,
  bos_token_id: 1,
  eos_token_id: 2
}
/** A folder with a `config.json`, and nothing else. */
const weightless = (text: string | object = config): string => {
  const at = folder()
  mkdirSync(at)
  writeFileSync(join(at, "config.json"), typeof text === "string" ? text : JSON.stringify(text))
  return at
}

const pathOf = ({ params }: Artifact.Node): string => (params as { readonly path: string }).path
const fit = { batchSize: 2, learningRate: 1e-3 }
const prompts = Source.prompts(Source.tales({ count: 4 }))
const held = Source.prompts(Source.tales({ split: "held", count: 4 }))
const demonstrations = Source.demonstrations(Source.tales({ count: 4 }))
const tuned = (path: string, params: object = {}) =>
  Sft.make({ base: Checkpoint.huggingFace("tales", path), demonstrations }, { ...fit, ...params } as never)
const shapesOf = (root: unknown): Promise<Shapes> =>
  Effect.runPromise(Effect.provide(shapesIn(root as Artifact.Any), NodeFileSystem.layer))
const lines = async (root: unknown): Promise<ReadonlyArray<string>> =>
  problems(root as Artifact.Any, { shapes: await shapesOf(root) }).map(({ problem }) => problem)
const only = async (root: unknown): Promise<string> => {
  const found = await lines(root)
  assert.lengthOf(found, 1, found.join("\n"))
  return found[0]!
}

describe("a checkpoint", () => {
  it("holds a prompt and what is sampled, or it is said what would fit; nobody knows where it was not read", async () => {
    const policy = tuned(weightless())
    const root = (maxNewTokens: number) =>
      Sample.make({ policy, prompts }, { completionsPerPrompt: 1, maxNewTokens }) as Artifact.Any
    // A prompt has a token.
    assert.deepStrictEqual(await lines(root(255)), [])
    assert.match(
      await only(root(256)),
      /^maxNewTokens 256 after a prompt is longer than the context 256 of policy, of checkpoint-[0-9a-f]{8}: take 255 or fewer, or a model with a longer context$/
    )
    assert.deepStrictEqual(problems(root(256)), [])
    assert.isTrue(Result.isFailure(check(root(256), { shapes: await shapesOf(root(256)) })))
  })

  it("holds maxLength", async () => {
    const path = weightless()
    assert.deepStrictEqual(await lines(tuned(path, { maxLength: 256 })), [])
    assert.match(
      await only(tuned(path, { maxLength: 257 })),
      /^maxLength 257 is more than the context 256 of checkpoint-[0-9a-f]{8}: take 256, or leave it out$/
    )
  })

  it("has matrices as large as an adapter's rank", async () => {
    const lora = { rank: 33, alpha: 1, targetModules: ["q_proj", "k_proj", "v_proj"] }
    const path = weightless()
    assert.deepStrictEqual(await lines(tuned(path, { lora: { ...lora, rank: 32 } })), [])
    assert.deepStrictEqual(
      await lines(tuned(path, { lora })),
      ["k_proj", "v_proj"].map((name) => `lora.rank 33 is larger than the smaller dimension of ${name}, 32`)
    )
    // Heads need not make up the width.
    const wide = weightless({ ...config, head_dim: 2 })
    assert.match(await only(tuned(wide, { lora: { ...lora, rank: 9, targetModules: ["o_proj"] } })), /of o_proj, 8$/)
  })

  it("fits under a memory cap with what training it takes, or is refused", async () => {
    const policy = tuned(weightless())
    const capped = (bytes: number) =>
      Pipeline.cap(policy, { from: policy.node.wires["base"] as never, memory: Budget.bytes(bytes) })
    const least = bytesAtLeast(policy as Artifact.Any, await shapesOf(policy))
    assert.deepStrictEqual(await lines(capped(least)), [])
    assert.match(
      await only(capped(least - 1)),
      /^memory is capped at .*, and its models' weights, gradients and AdamW moments alone take .*: raise the cap, take a smaller model, or train adapters with lora$/
    )
  })

  const broken: ReadonlyArray<readonly [name: string, path: () => string, line: RegExp]> = [
    ["that is not there", () => join(folder(), "none"), /none: there is no such folder\. Check the path\.$/],
    [
      "that is a file",
      () => join(weightless(), "config.json"),
      /config\.json: it is a file\. Point at the folder it is in\.$/
    ],
    [
      "whose config.json is a folder",
      () => {
        const at = folder()
        mkdirSync(join(at, "config.json"), { recursive: true })
        return at
      },
      /config\.json: it is a folder, and only regular files are read\. Give the path of a file in it\.$/
    ],
    [
      "without a config.json",
      () => {
        const at = folder()
        mkdirSync(at)
        return at
      },
      /: it has no config\.json\. Point at a Hugging Face model folder/
    ],
    [
      "with a config.json that is cut off",
      () => weightless('{\n "a": x}'),
      /config\.json: not JSON \(.*\)\. Download /
    ],
    ["of another architecture", () => weightless({ model_type: "mamba" }), /model_type "mamba" is not supported\. /],
    [
      "with every size wrong",
      () => weightless({ ...config, hidden_size: -1, vocab_size: "x", num_hidden_layers: 1.5 }),
      /hidden_size.*num_hidden_layers.*vocab_size.*\. Use an unmodified checkpoint/
    ]
  ]
  for (const [name, path, line] of broken) {
    it(`${name} is one mistake more, once however many use it, at its node`, async () => {
      const base = Checkpoint.huggingFace("tales", path())
      const one = Sft.make({ base, demonstrations }, { ...fit, batchSize: 9 })
      const root = Grpo.make(
        { init: one, reference: base, prompts, held } as never,
        { ...fit, allowance: Kl.mnatsPerSequence(10), beta: 0.1, steps: 1, groupSize: 1, maxNewTokens: 1e6 } as never
      ) as Artifact.Any
      const found = problems(root, { shapes: await shapesOf(root) })
      assert.deepStrictEqual(
        found.filter(({ stage }) => stage === label(base)).map(({ problem }) => line.test(problem)),
        [
          true
        ],
        found.map(({ problem }) => problem).join("\n")
      )
      assert.isTrue(found.every(({ problem }) => !problem.includes("\n")))
      assert.deepStrictEqual(found.filter(({ stage }) => stage !== label(base)), problems(root))
      assert.isAbove(found.length, 3)
    })
  }

  it("is read once, its config.json alone, however many nodes it has and however large it is", async () => {
    const path = weightless()
    for (const name of ["model.safetensors", "tokenizer.json"]) writeFileSync(join(path, name), "not read")
    const opened: Array<string> = []
    const watched = Layer.effect(
      FileSystem.FileSystem,
      Effect.map(FileSystem.FileSystem, (fs) => ({
        ...fs,
        open: (path, options) => {
          opened.push(path)
          return fs.open(path, options)
        },
        readFile: (path) => {
          opened.push(path)
          return fs.readFile(path)
        },
        readFileString: (path, encoding) => {
          opened.push(path)
          return fs.readFileString(path, encoding)
        }
      } as FileSystem.FileSystem))
    ).pipe(Layer.provide(NodeFileSystem.layer))
    let at: Artifact.Artifact<"BaseModel" | "Policy", "tales"> = Checkpoint.huggingFace("tales", path)
    for (let seed = 0; seed < 200; seed++) at = Sft.make({ base: at, demonstrations }, { ...fit, seed }) as never
    const teacher = Checkpoint.huggingFace("tales", path, { adapter: "elsewhere" })
    const root = Distill.make({ student: at, teacher, demonstrations }, {
      ...fit,
      objective: Distillation.sequenceLevel
    })
    const shapes = await Effect.runPromise(Effect.provide(shapesIn(root as Artifact.Any), watched))
    assert.deepStrictEqual(opened.map((path) => basename(path)), ["config.json"])
    assert.sameMembers([...shapes.keys()], [path, "elsewhere"])
  })

  it("is refused where the adapter on it is missing, not whole or of another kind, once for each folder", async () => {
    const path = weightless()
    const plain = { peft_type: "LORA", r: 4, lora_alpha: 8, target_modules: ["q_proj"] }
    const adapter = (said: object, ...files: ReadonlyArray<string>): string => {
      const at = folder()
      mkdirSync(at)
      writeFileSync(join(at, "adapter_config.json"), JSON.stringify(said))
      for (const file of files) writeFileSync(join(at, file), "")
      return at
    }
    const on = (at: string, base = path) =>
      Sft.make({ base: Checkpoint.huggingFace("tales", base, { adapter: at }), demonstrations }, fit)
    const weights = "adapter_model.safetensors"
    assert.deepStrictEqual(await lines(on(adapter(plain, weights))), [])
    const remedy = "Point at the folder of a LoRA adapter that PEFT saved."
    const nowhere = folder()
    assert.strictEqual(await only(on(nowhere)), `${nowhere}: it has no adapter_config.json. ${remedy}`)
    const half = adapter(plain)
    assert.strictEqual(await only(on(half)), `${half}: it has no ${weights}. ${remedy}`)
    assert.match(await only(on(adapter({ ...plain, use_dora: true }, weights))), /use_dora/u)
    // Nothing is said of an adapter that is whole, on a base that is not there.
    assert.match(await only(on(adapter(plain, weights), nowhere)), /there is no/u)
  })
})

/** Where a checkpoint's weights went, by the first parent: undefined of what was pretrained here. */
const checkpointOf = (of: Artifact.Any): Artifact.Any | undefined => {
  const parent = parentsOf(of)[0]
  return parent === undefined ? of.node.op === "Checkpoint" ? of : undefined : checkpointOf(parent)
}

it("every generated pipeline is refused at just the stages that ask more of a checkpoint than its context", () => {
  let [refused, fine] = [0, 0]
  fc.assert(
    fc.property(
      pipelines({ steps: 40, atLeast: 20 }),
      fc.array(fc.integer({ min: 2, max: 24 }), { minLength: 1 }),
      ({ root }, contexts) => {
        const all = Artifact.lineage(root)
        const paths = [...new Set(all.flatMap(({ node }) => node.op === "Checkpoint" ? [pathOf(node)] : []))]
        const shapes: Shapes = new Map(paths.map((path, i) => {
          const context = contexts[i % contexts.length]!
          return [path, Result.succeed(modelConfig({ ...config, max_position_embeddings: context }))] as const
        }))
        const contextOf = (of: Artifact.Any): number => {
          const checkpoint = checkpointOf(of)
          const shape = checkpoint === undefined ? undefined : shapes.get(pathOf(checkpoint.node))
          return shape === undefined ? Infinity : Result.getOrThrow(shape).context
        }
        const expected = all.filter(({ node: { params, wires } }) => {
          const { maxLength = 0, maxNewTokens = 0 } = params as { maxLength?: number; maxNewTokens?: number }
          const models = Object.values(wires).filter(({ node }) => Artifact.modelKinds.includes(node.kind))
          return models.some((of) => Math.max(maxLength, maxNewTokens + 1) > contextOf(of))
        }).map(label)
        const found = problems(root, { shapes })
        assert.deepStrictEqual(new Set(found.map(({ stage }) => stage)), new Set(expected))
        assert.isTrue(found.every(({ problem }) => / the context \d+ of /u.test(problem)))
        if (found.length > 0) refused++
        else fine++
      }
    ),
    { numRuns: 60, seed: 6 }
  )
  assert.isAbove(Math.min(refused, fine), 5)
})

describe("the memory that weights, gradients and moments take", () => {
  const on = (path: string) => {
    const base = Checkpoint.huggingFace("tales", path)
    const lora = { rank: 1, alpha: 1, targetModules: ["q_proj"] as const }
    const sft = Sft.make({ base, demonstrations }, fit)
    const preferences = Source.preferences(Source.file(pairs))
    const reward = RewardModeling.make({ init: base, preferences }, fit)
    const spends = { ...fit, allowance: Kl.mnatsPerSequence<number>(10), maxNewTokens: 2 }
    const steps = { ...spends, beta: 0.1, steps: 2 }
    const wires = { init: base, reference: base, held }
    const policies = {
      Ppo: Ppo.make({ ...wires, prompts, reward, value: reward }, steps),
      Grpo: Grpo.make({ ...wires, prompts, reward }, { ...steps, groupSize: 2 }),
      Dpo: Dpo.make({ ...wires, preferences }, { ...spends, loss: PreferenceLoss.dpo() })
    }
    const student = { student: base, teacher: base }
    return {
      adapted: Sft.make({ base, demonstrations }, { ...fit, lora }),
      Sft: sft,
      RewardModeling: reward,
      Sample: Sample.make({ policy: base, prompts }, { completionsPerPrompt: 1, maxNewTokens: 2 }),
      Distill: Distill.make({ ...student, demonstrations }, { ...fit, objective: Distillation.sequenceLevel }),
      ...Object.fromEntries(
        Object.entries(policies).map(([name, policy]) => [
          name,
          Pipeline.cap(policy as typeof policies.Dpo, { kl: Kl.mnatsPerSequence<number>(100), from: base })
        ])
      )
    }
  }
  const pairs = join(folder(), "..", "pairs.jsonl")

  for (const [name, variant] of Object.entries(variants)) {
    it(`of ${name} are what the plan counts of each stage, or less where it counts more models`, async () => {
      const row = { prompt: "a", chosen: " b", rejected: " c" }
      writeFileSync(pairs, `${JSON.stringify(row)}\n`.repeat(4))
      const path = weightless({ ...variant, max_position_embeddings: 512, vocab_size: 300 })
      for (const [op, root] of Object.entries(on(path))) {
        // Its adapter is of queries alone, which are no matrix of their own there.
        if (op === "adapted" && modelConfig(variant).names.qkv.length === 1) continue
        const { stages, unplanned } = await Effect.runPromise(
          Effect.provide(plan(root as Artifact.Any, { rehearsed: 1 }), NodeFileSystem.layer)
        )
        assert.deepStrictEqual(unplanned, [])
        const made = root.node.op === "Cap" ? root.node.wires["of"]! : root as Artifact.Any
        const least = bytesAtLeast(made, await shapesOf(root))
        const { bytes, terms } = stages.find(({ stage }) => stage === label(made))!
        assert.isAbove(least, 0, op)
        assert.isAtMost(least, bytes, op)
        const of = terms.filter(({ what }) => ["weights", "gradients", "optimizer"].includes(what))
          .reduce((sum, { bytes }) => sum + bytes, 0)
        assert.isAtMost(least, of, op)
        // Each of the four buffers ends with a whole cache line.
        if (op === "Sft" || op === "RewardModeling") assert.isAtMost(of, least + 4 * 64, op)
      }
    })
  }
})
