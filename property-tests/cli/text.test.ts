import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "vitest"
import { Budget, Checkpoint, Distillation, Kl, OnPolicyDistill, Pipeline, Sft, Source } from "../../dsl/index.ts"
import { toJson } from "../../dsl/Pipeline.ts"
import { folders } from "../store/faultyFileSystem.ts"
import { golden, keel } from "./keel.ts"
import recipe from "./recipe.ts"

const folder = folders("cli")
const recipeFile = fileURLToPath(new URL("recipe.ts", import.meta.url))

describe("keel says", () => {
  it("what it can do", async () => {
    const { code, stdout } = await keel(["--help"], folder())
    assert.strictEqual(code, 0)
    golden("keel-help.txt", stdout)
  })

  it("what a pipeline is, from its module or from its JSON", async () => {
    const at = folder()
    mkdirSync(at)
    writeFileSync(join(at, "recipe.json"), toJson(recipe))
    const [shown, again, graph, json] = await Promise.all([
      keel(["show", recipeFile], at),
      keel(["show", "recipe.json"], at),
      keel(["show", "recipe.json", "--mermaid"], at),
      keel(["show", recipeFile, "--json"], at)
    ])
    golden("keel-show.txt", shown.stdout)
    golden("keel-show.mmd", graph.stdout)
    assert.strictEqual(again.stdout, shown.stdout)
    assert.strictEqual(json.stdout, `${toJson(recipe)}\n`)
  })

  it("that a pipeline has no mistakes, or all that it has", async () => {
    const at = folder()
    mkdirSync(at)
    writeFileSync(join(at, "recipe.json"), toJson(recipe))
    writeFileSync(join(at, "pairs.jsonl"), '{"prompt":"a","chosen":"b","rejected":"c"}\n')
    const [right, wrong, wrongJson] = await Promise.all([
      keel(["check", "recipe.json"], at),
      keel(["check", "recipe.json", "--set", "ppo.beta=-1", "--set", "sft.batchSize=0", "--set", "cap.kl.mnats=0"], at),
      keel(["check", "recipe.json", "--set", "ppo.betta=1", "--json"], at)
    ])
    assert.strictEqual(right.code, 0)
    golden("keel-check.txt", right.stdout)
    assert.deepStrictEqual([wrong.code, wrong.stdout], [1, ""])
    golden("keel-check-mistakes.txt", wrong.stderr)
    assert.strictEqual(wrongJson.code, 1)
    const { nodes, problems } = JSON.parse(wrongJson.stdout)
    assert.strictEqual(nodes, 10)
    assert.lengthOf(problems, 1)
    assert.include(problems[0].problem, "betta")
  })

  it("what is wrong with checkpoints, and the same when it is run, with all the others, before anything is loaded", async () => {
    const at = folder()
    mkdirSync(join(at, "small"), { recursive: true })
    mkdirSync(join(at, "broken"))
    const config = {
      model_type: "llama",
      vocab_size: 300,
      hidden_size: 16,
      intermediate_size: 24,
      num_hidden_layers: 1,
      num_attention_heads: 2,
      max_position_embeddings: 64
    }
    writeFileSync(join(at, "small/config.json"), JSON.stringify(config))
    writeFileSync(join(at, "broken/config.json"), JSON.stringify(config, null, 2).replace("300,", "300"))
    const demonstrations = Source.demonstrations(Source.tales({ count: 4 }))
    const fit = { batchSize: 2, learningRate: 1e-3 }
    const sft = Sft.make({ base: Checkpoint.huggingFace("tales", "small"), demonstrations }, { ...fit, maxLength: 65 })
    const root = Pipeline.cap(
      OnPolicyDistill.make({
        student: sft,
        teacher: Checkpoint.huggingFace("tales", "broken"),
        prompts: Source.prompts(Source.tales({ count: 4 })),
        held: Source.prompts(Source.tales({ split: "held", count: 4 }))
      }, {
        ...fit,
        objective: Distillation.reverseKl(),
        allowance: Kl.mnatsPerSequence<number>(2000),
        steps: 2,
        maxNewTokens: 70
      }),
      { kl: Kl.mnatsPerSequence(1000), from: Checkpoint.huggingFace("tales", "none"), memory: Budget.KiB(8) }
    )
    writeFileSync(join(at, "it.json"), toJson(root))
    const [checked, run] = await Promise.all([
      keel(["check", "it.json"], at),
      keel(["run", "it.json", "--backend", "reference"], at)
    ])
    assert.deepStrictEqual([checked.code, checked.stdout, run.code], [1, "", 1])
    golden("keel-check-checkpoints.txt", checked.stderr.replaceAll(at, "HERE"))
    assert.strictEqual(run.stderr, checked.stderr)
    assert.sameMembers(readdirSync(at), ["broken", "it.json", "small"])
  })

  it("what --set and --seed make of a pipeline", async () => {
    const { stdout } = await keel([
      "show",
      recipeFile,
      "--json",
      "--set",
      "ppo.beta=0.5",
      "--set",
      "pretrain.model.dim=32",
      "--seed",
      "7"
    ], folder())
    const nodes: ReadonlyArray<{ readonly op: string; readonly params: any }> = JSON.parse(stdout).nodes
    const of = (op: string) => nodes.find((node) => node.op === op)!.params
    assert.deepStrictEqual([of("Ppo").beta, of("Pretrain").model.dim, of("Pretrain").model.ffn], [0.5, 32, 24])
    for (const { params } of nodes) if ("seed" in params) assert.strictEqual(params.seed, 7_000_000)
  })
})

describe("keel refuses", () => {
  const put = (name: string, text: string) => (at: string): ReadonlyArray<string> => {
    writeFileSync(join(at, name), text)
    return ["run", name, "--out", "out"]
  }
  const cases: ReadonlyArray<readonly [name: string, args: (at: string) => ReadonlyArray<string>, line: RegExp]> = [
    [
      "a file that is not there",
      () => ["run", "none.ts", "--out", "out"],
      /^BadPipelineFile: none.ts: there is no such file. Check the path.$/
    ],
    [
      "a module without a default export",
      put("a.ts", "export const x = 1"),
      /^BadPipelineFile: a.ts: it has no default export. End the file with: export default /
    ],
    [
      "a module whose default export is something else",
      put("a.ts", "export default 7"),
      /^BadPipelineFile: a.ts: its default export is not a pipeline. /
    ],
    [
      "a module that does not load",
      put("a.ts", "export default const"),
      /^BadPipelineFile: a.ts: it cannot be loaded: .* Try it with node.$/
    ],
    ["what is no JSON", put("a.json", "{"), /^BadDescription: This is not a Keel description:$/],
    [
      "a description edited by hand",
      put("a.json", toJson(recipe).replace('"beta":0.1', '"beta":0.2')),
      /^BadDescription: /
    ],
    [
      "a key it does not know",
      put("a.json", toJson(recipe).replace('"beta":0.1', '"beta":0.1,"bet":1')),
      /^BadDescription: /
    ],
    [
      "an operation of a later version",
      put("a.json", toJson(recipe).replace('"op":"Sft"', '"op":"Distil"')),
      /^BadDescription: /
    ],
    [
      "a description with a mistake",
      (at) => [...put("a.json", toJson(recipe))(at), "--set", "ppo.beta=-1"],
      /^Refused: 1 mistake; /
    ],
    [
      "an override without a value",
      (at) => [...put("a.json", toJson(recipe))(at), "--set", "ppo.beta"],
      /^BadPipelineFile: --set ppo.beta: it has no =/
    ],
    [
      "an override of nothing",
      (at) => [...put("a.json", toJson(recipe))(at), "--set", "dpo.beta=1"],
      /^BadPipelineFile: --set dpo.beta.*the operations here are/
    ],
    ["data that is not there, before anything is trained", put("a.json", toJson(recipe)), /pairs.jsonl/],
    [
      "to go on with what never began",
      () => ["resume", "out"],
      /^BadRunFolder: out: there is no run there. Start a run with keel run/
    ],
    [
      "a model that is not there",
      () => ["generate", "none"],
      /^BadCheckpoint: .*none: there is no such folder. Check the path.$/
    ]
  ]
  for (const [name, args, line] of cases) {
    it.concurrent(`${name}: says why, writes nothing, exits with 1`, async () => {
      const at = folder()
      mkdirSync(at)
      const { code, stderr, stdout } = await keel(args(at), at)
      assert.strictEqual(code, 1, stderr)
      assert.strictEqual(stdout, "")
      const said = stderr.trim().split("\n")
      assert.isTrue(said.some((one) => line.test(one)), stderr)
      assert.notMatch(stderr, /^ {4}at /mu, "a stack is no message")
      assert.isFalse(existsSync(join(at, "out")) || existsSync(join(at, "store")) || existsSync(join(at, "runs")))
    })
  }
})
