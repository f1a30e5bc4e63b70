/** Weights, data and reference of every model of every recipe, as RECIPES.md §1.14 draws them. */
import { assert, expect, it } from "vitest"
import { Artifact, Pipeline, Recipe, recipes } from "../../dsl/index.ts"
import { called, descents } from "../../src/interpreters/lineage.ts"

/**
 * A model: the models that its weights come from; those whose answers it learns; its reference; the start of its value model. Models that
 * only judge answers are left out of the data. A model that is no output is called by its operation and its number.
 */
type Row = readonly [model: string, weights: string, data?: string, reference?: string, value?: string]

const count = (n: number) => Array.from({ length: n }, (_, i) => i + 1)
const joined = (names: ReadonlyArray<string>, by = ", ") => [...new Set(names)].toSorted().join(by)

const rowsOf = (recipe: Recipe.Any): ReadonlyArray<Row> => {
  const root = Pipeline.outputs(Recipe.planned(recipe))
  const all = descents(root)
  const judges = new Set(all.filter(({ op }) => op.endsWith("(RewardModel)")).map(({ name }) => name))
  const checkpoints = Artifact.lineage(root).filter(({ node }) => node.op === "Checkpoint").map(called(root))
  const models = new Set([...all.map(({ name }) => name), ...checkpoints].filter((name) => !judges.has(name)))
  const numbers = new Map<string, number>()
  const names = new Map(all.map(({ name }) => {
    const op = /^(.+)-[0-9a-f]{8}$/u.exec(name)?.[1]
    if (op === undefined) return [name, name]
    numbers.set(op, (numbers.get(op) ?? 0) + 1)
    return [name, `${op} ${numbers.get(op)}`]
  }))
  const known = (name: string) => names.get(name) ?? name
  return all.map(({ data, models: { reference = "", value = "" }, name, parents }) => [
    known(name),
    joined(parents.map(known), " + "),
    joined(data.flatMap(({ authors }) => authors).filter((author) => models.has(author)).map(known)),
    reference.replace(/^\S+-[0-9a-f]{8}/u, known),
    known(value)
  ])
}

/** Of Tülu 3 and its followers. */
const aligned = (base: string): ReadonlyArray<Row> => [["sft", base], ["dpo", "sft", "", "sft"]]
const seeds = count(5).map((n) => `sft ${n}`)
const best = (name: string): ReadonlyArray<Row> => [
  ...seeds.map((seed): Row => [seed, "Llama 3.1 8B"]),
  [name, joined(seeds, " + ")]
]
const tulu3 = (size: string): ReadonlyArray<Row> => [
  ...(size === "8B" ? best("sft") : [["sft", `Llama 3.1 ${size}`], ...best("merge 1")] as const),
  ["dpo", "sft", "sft", "sft"],
  ["value", size === "8B" ? "sft" : "merge 1", "sft"],
  ["policy", "dpo", "", "dpo", "value"]
]
const smolTulu = [["sft", "SmolLM2 1.7B"], ["policy", "sft", "", "sft"], ["reward", "sft"]] as const

const [v3, gpt3] = ["DeepSeek-V3-Base", "GPT-3 175B"]
const resets = " (replaced by the policy every 25 steps)"

/** Bai et al.: the policy that is deployed in week n, and what is made of comparisons so far. */
const deployed = ["offline", ...count(4).map((n) => `ppo ${n}`), "policy"]
const bai = deployed.flatMap((policy, week): ReadonlyArray<Row> => {
  const model = week === 5 ? "preferenceModel" : `rewardmodeling ${week + 1}`
  return [[model, "pretrained", joined(deployed.slice(0, week))], [policy, "distilled", "", "distilled", model]]
})

const versions = ["sft", "v1", "v2", "v3", "v4"]
const llama2 = versions.flatMap((_, v): ReadonlyArray<Row> => {
  const so = versions.slice(0, v + 1)
  const models = v === 4 ? ["helpfulness", "safety"] : [`rewardmodeling ${2 * v + 1}`, `rewardmodeling ${2 * v + 2}`]
  const trained = models.map((model): Row => [model, so.at(-1)!, joined(so)])
  return v === 4 ? trained : [...trained, [versions[v + 1]!, "Llama 2 70B", v === 3 ? joined(so) : so.at(-1)!]]
})

/** Llama 3.1: averages of rewards, of SFT and of DPO in each round; those of the last are outputs. */
const base405 = "Llama 3.1 405B"
const averages = [...count(15).map((n) => `merge ${n}`), "reward", "sft", "policy"]
const llama31 = count(6).flatMap((round): ReadonlyArray<Row> => {
  const [reward, sft, policy] = averages.slice(3 * round - 3, 3 * round) as [string, string, string]
  const so = [base405, ...count(round - 1).map((n) => averages[3 * n - 1]!)]
  const pair = (op: string): readonly [string, string] => [`${op} ${2 * round - 1}`, `${op} ${2 * round}`]
  return [
    ...pair("rewardmodeling").map((name): Row => [name, base405, joined(so)]),
    [reward, joined(pair("rewardmodeling"), " + ")],
    ...pair("sft").map((name): Row => [name, base405, so.at(-1)!]),
    [sft, joined(pair("sft"), " + ")],
    ...pair("dpo").map((name): Row => [name, sft, joined(so.slice(-3)), sft]),
    [policy, joined(pair("dpo"), " + ")]
  ]
})

const polish = ["sft 7", "dpo 5", "grpo 3", "dpo 6", "grpo 4", "dpo 7", "policy"]
const trained = ["dpo 1", "grpo 1", "grpo 2", "dpo 2", "dpo 3", "dpo 4"]
const commandA: ReadonlyArray<Row> = [
  ["instruct", "Command A 111B, base"],
  ...count(6).map((n): Row => [`sft ${n}`, "instruct"]),
  ["sftSoup", joined(count(6).map((n) => `sft ${n}`), " + ")],
  ["rewardmodeling 1", "sftSoup"],
  ["reward", "rewardmodeling 1"],
  ...trained.map((name, i): Row => [name, "sftSoup", i === 0 ? "sftSoup" : "", "sftSoup"]),
  ["rlSoup", joined(trained, " + ")],
  ["sft 7", "rlSoup", "rlSoup"],
  ...polish.slice(1).map((name, i): Row => [name, polish[i]!, "", polish[i]!])
]

const experts = ["code", "legal", "medical", "news"]
const starts = ["Gemma 7B, fine-tuned", "merge 2", "merge 4", "merge 6", "merge 8", "policy"]
const warp = count(5).flatMap((n): ReadonlyArray<Row> => {
  const [start, next, merged] = [starts[n - 1]!, starts[n]!, `merge ${2 * n - 1}`]
  const runs = [`grpo ${2 * n - 1}`, `grpo ${2 * n}`]
  return [
    ...runs.map((run): Row => [run, start, "", `${start} (moves with the policy)`]),
    [merged, joined([start, ...runs], " + ")],
    [next, joined([start, merged], " + ")]
  ]
})

/**
 * Differences from §1.14: Llama 2's π₀ is read as the start of PPO; the reference of R1's last stage is not reported, and it is replaced as in
 * the others; Qwen 3's teacher is 235B alone; Llama 3.1's variants are two seeds; DeepSeek-V3 rewrites Zero's answers.
 */
const graphs: Readonly<Record<string, ReadonlyArray<Row>>> = {
  "instruct-gpt": [["init", gpt3], ["reward", "GPT-3 6.7B"], ["policy", "init", "", "init", "reward"], ["sft", gpt3]],
  "hh-rlhf": [["distilled", "52B language model"], ["pretrained", "52B language model"], ...bai],
  "llama-2-chat": [
    ["sft", "Llama 2 70B"],
    ...llama2,
    ["policy", "v4", "", "v4", "helpfulness"],
    ["sft 1", "Llama 2 7B", "sft, v1, v2, v3"],
    ["small", "sft 1", "", "sft 1", "helpfulness"]
  ],
  "llama-3.1": llama31,
  zephyr: [["sft", "Mistral 7B"], ["policy", "sft", "", "sft"]],
  "tulu-3-8b": tulu3("8B"),
  "tulu-3-70b": tulu3("70B"),
  "tulu-3-405b": tulu3("405B"),
  "tulu-3.1": [...best("sft"), ["dpo", "sft", "sft", "sft"], ["policy", "dpo", "", "dpo"]],
  "olmo-2-1b": [...aligned("OLMo 2 1B"), ["grpo 1", "dpo", "", "dpo"], ["policy", "grpo 1", "", "grpo 1"]],
  "olmo-2-7b": [...aligned("OLMo 2 7B"), ["value", "sft"], ["policy", "dpo", "", "dpo", "value"]],
  "olmo-2-13b": [
    ...aligned("OLMo 2 13B"),
    ["value", "sft"],
    ["ppo 1", "dpo", "", "dpo", "value"],
    ["ppo 2", "ppo 1", "", "ppo 1", "value"],
    ["policy", "ppo 2", "", "ppo 2", "value"]
  ],
  "olmo-2-32b": [...aligned("OLMo 2 32B"), ["policy", "dpo", "", "dpo"]],
  "smol-tulu-1130": smolTulu,
  "smol-tulu-1207": smolTulu,
  smollm3: [["mid", "SmolLM3 3B, base"], ["sft", "mid"], ["soup", "sft", "", "sft"], ["policy", "mid + soup"]],
  "deepseek-r1": [
    ["zero", v3, "", v3 + resets],
    ["dev1", v3, "DeepSeek-V3, zero"],
    ["dev2", "dev1", "", `dev1${resets}`],
    ["dev3", v3, "dev2"],
    ["helpful", "dev3"],
    ["llama", "Llama 3 8b", "dev2"],
    ["qwen", "Qwen2.5 7b", "dev2"],
    ["safe", "dev3"],
    ["r1", "dev3", "", `dev3${resets}`]
  ],
  "qwen-3": [
    ["cold", "Qwen3-235B-A22B-Base", "Qwen2.5-72B-Instruct"],
    ["reasons", "cold"],
    ["fused", "reasons", "reasons"],
    ["reward", "Qwen3-235B-A22B-Base"],
    ["flagship", "fused"],
    ["offPolicy", "Qwen3-8B-Base", "flagship"],
    ["student", "offPolicy"]
  ],
  "mimo-7b": [["sft", "MiMo-7B-Base"], ["policy", "sft", "sft"], ["zero", "MiMo-7B-Base", "sft"]],
  "seed-thinking-1.5": [
    ["sft", "Seed-Thinking base, 20B of 200B"],
    ["reward", "sft"],
    ["policy", "sft", "", "", "reward"]
  ],
  "command-a": commandA,
  "branch-train-merge": [
    ...experts.map((name): Row => [name, "GPT-3 XL, 1.3B"]),
    ["average", joined(experts, " + ")],
    ["reviews", "average"],
    ["merged", joined([...experts, "reviews"], " + ")]
  ],
  warp: [["reward", "Gemma 7B, fine-tuned"], ...warp]
}

it("stands for every recipe", () => {
  assert.sameMembers(Object.keys(graphs), recipes.map(({ name }) => name))
})

it.each(recipes)("$name", (recipe) => {
  const whole = (row: Row) => [0, 1, 2, 3, 4].map((i) => row[i] ?? "")
  const wanted = graphs[recipe.name]!.map(whole)
  expect(rowsOf(recipe)).toEqual(expect.arrayContaining(wanted))
  assert.lengthOf(rowsOf(recipe), wanted.length)
})
