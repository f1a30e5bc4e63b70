/** Every generated pipeline with one rule broken is refused. The generated ones themselves pass (`dsl/pipeline.test.ts`). */
import fc from "fast-check"
import { assert, it } from "vitest"
import * as Artifact from "../../dsl/Artifact.ts"
import { definitionOf, parentsOf } from "../../dsl/Stage.ts"
import { label } from "../../dsl/Render.ts"
import { problems } from "../../src/interpreters/check.ts"
import { rowsAtMost } from "../../src/interpreters/checks/rows.ts"
import { pipelines } from "../../src/testing/pipelines/pipelines.ts"

/** The same pipeline with one node's parameters or wires changed, and the changed node. */
const changed = (root: Artifact.Any, id: string, to: (node: Artifact.Node) => Artifact.Node) => {
  const made = new Map<string, Artifact.Any>()
  for (const artifact of Artifact.lineage(root)) {
    const { node } = artifact
    const wires = Object.fromEntries(Object.entries(node.wires).map(([wire, of]) => [wire, made.get(of.id)!]))
    made.set(artifact.id, Artifact.make(artifact.id === id ? to({ ...node, wires }) : { ...node, wires }))
  }
  return { root: made.get(root.id)!, node: made.get(id)! }
}

const pretrained = (of: Artifact.Any | undefined): boolean => {
  if (of === undefined) return false
  let at = of
  for (let parent = parentsOf(at)[0]; parent !== undefined; parent = parentsOf(at)[0]) at = parent
  return at.node.op === "Pretrain"
}

interface Breakage {
  readonly name: string
  /** Of the nodes that it can be done to. */
  readonly of: (artifact: Artifact.Any, params: Readonly<Record<string, any>>) => boolean
  readonly params?: (params: Readonly<Record<string, any>>) => object
  readonly wires?: (wires: Artifact.Node["wires"]) => Artifact.Node["wires"]
  /** Names the field and the remedy. */
  readonly says: RegExp
}

const has = (field: string) => (_: Artifact.Any, params: object) => Object.hasOwn(params, field)
const op = (...names: ReadonlyArray<string>) => ({ node }: Artifact.Any) => names.includes(node.op)
const to = (field: string, value: unknown, says: RegExp, of: Breakage["of"] = has(field)): Breakage => ({
  name: `${field} ${JSON.stringify(value)}`,
  of,
  params: () => ({ [field]: value }),
  says
})
const epochs = op("Sft", "RewardModeling", "Dpo", "Kto", "Distill")
const rowsOf = ({ node: { wires } }: Artifact.Any) =>
  rowsAtMost(wires["demonstrations"] ?? wires["preferences"] ?? wires["prompts"])

const breakages: ReadonlyArray<Breakage> = [
  {
    name: "unknown key",
    of: (at) => at.node.op !== "Input",
    params: () => ({ zzz: 1 }),
    says: /no excess property at .*zzz.*: leave it out$/
  },
  to("learningRate", 0, /must be above 0 .*learningRate/),
  to("learningRate", "1e-3", /Expected number .*learningRate/),
  to("learningRate", 1e5, /^learningRate 100000 is above 10.* meant\?$/),
  to("adamBeta2", 1, /below 1 .*adamBeta2/),
  to("adamEpsilon", -1, /must be above 0 .*adamEpsilon/),
  to("warmupSteps", -1, /warmupSteps/),
  to("warmupSteps", 1e6, /^warmupSteps 1000000 is more than/, (at) => epochs(at) && rowsOf(at) < Infinity),
  to(
    "warmupSteps",
    2,
    /^warmupSteps 2 is more than steps 1$/,
    (at, p) => p["steps"] === 1 && has("warmupSteps")(at, p)
  ),
  to("batchSize", 0, /must be a whole number above 0 .*batchSize/),
  to("batchSize", 1.5, /batchSize/),
  to(
    "batchSize",
    1e6,
    /^batchSize 1000000 is more than the \d+ rows .*take \d+ or fewer, or more data$/,
    (at, p) => epochs(at) && rowsOf(at) < Infinity && p["batchTokens"] === undefined
  ),
  to("numMiniBatches", 1e6, /^numMiniBatches 1000000 is more than batchSize/, op("Ppo", "Grpo")),
  to("maxNewTokens", 0, /must be a whole number above 0 .*maxNewTokens/),
  to(
    "maxNewTokens",
    1e6,
    /^maxNewTokens 1000000 after .* longer than the context \d+ of .*a model with a longer context$/,
    (at, p) => has("maxNewTokens")(at, p) && Object.values(at.node.wires).some(pretrained)
  ),
  to("maxLength", 1e6, /^maxLength 1000000 is more than/, (at) => op("Sft")(at) && pretrained(at.node.wires["base"])),
  to("measureSamples", 1, /an error bar needs at least 2 samples .*measureSamples/),
  to("beta", -1, /beta/, op("Ppo", "Grpo", "Kto")),
  to(
    "beta",
    0,
    /^beta is 0, so \w+.reference has no use/,
    (at) => op("Ppo", "Grpo")(at) && at.node.wires["reference"] !== undefined
  ),
  to("seed", -1, /seed/),
  to("temperature", 0, /temperature/, op("Ppo", "Grpo", "Compare", "Sample")),
  to("fraction", 0, /^fraction 0 leaves one part empty: take one between 0 and 1$/, op("Split")),
  to("completionsPerPrompt", 1, /a pair needs at least 2 completions .*completionsPerPrompt/, op("Compare")),
  to("desirableWeight", -1, /must be 0 or more .*desirableWeight/, op("Kto")),
  to("ngram", 0, /ngram/, op("Decontaminate")),
  to(
    "model",
    { dim: 6, layers: 1, heads: 4, kvHeads: 3, ffn: 4, context: 24 },
    /^model\..* is not a multiple of/,
    (at) => op("Pretrain")(at)
  ),
  to(
    "lora",
    { rank: 1e6, alpha: 1, targetModules: ["q_proj"] },
    /^lora.rank 1000000 is larger than/,
    (at) => epochs(at) && pretrained(parentsOf(at)[0])
  ),
  to(
    "rule",
    { _tag: "PerPrompt", keep: 1e6 },
    /^keeping 1000000 of each prompt .*raise completionsPerPrompt/,
    op("Select")
  ),
  {
    name: "an allowance per token",
    of: has("allowance"),
    params: ({ allowance }) => ({ allowance: { ...allowance, per: "token" } }),
    says: /^allowance must be per sequence: convert it with Kl.overTokens/
  },
  {
    name: "an allowance over every cap",
    of: has("allowance"),
    params: ({ allowance }) => ({ allowance: { ...allowance, mnats: 1e12 } }),
    says: /^KL over budget: .*lower the allowances or raise the cap$/
  },
  {
    name: "held prompts that are trained on",
    of: ({ node: { wires } }) => wires["held"] !== undefined && wires["prompts"] !== undefined,
    wires: (wires) => ({ ...wires, held: wires["prompts"]! }),
    says: /^prompts and held share prompts, of .*Split.make/
  },
  {
    name: "no reference",
    of: (at) => op("Ppo", "Grpo", "Dpo", "Kto")(at) && at.node.wires["reference"] !== undefined,
    wires: (wires) => Object.fromEntries(Object.entries(wires).filter(([wire]) => wire !== "reference")),
    says: /^\w+\.reference is missing: connect .*reference: sft$/
  },
  {
    name: "a main wire left out",
    of: ({ node }) =>
      (definitionOf(node)?.main ?? "") !== "" && !["Merge", "Cap", "Score", "Pretrain"].includes(node.op),
    wires: (wires) => Object.fromEntries(Object.entries(wires).filter(([wire]) => !mains.has(wire))),
    says: /^\w+\.[\w.]+ is missing: connect /
  },
  {
    name: "a wire that there is not",
    of: ({ node }) => !["Merge", "Mix", "Evaluate", "Source", "Ensemble"].includes(node.op) && "held" in node.wires,
    wires: (wires) => ({ ...wires, elsewhere: wires["held"]! }),
    says: /^\w+ has no wire 'elsewhere'$/
  },
  {
    name: "data where a model is wanted",
    of: ({ node: { wires } }) => wires["init"] !== undefined && wires["held"] !== undefined,
    wires: (wires) => ({ ...wires, init: wires["held"]! }),
    says: /^\w+\.init needs .*, not a Prompts$/
  }
]

const mains = new Set(["base", "init", "student", "policy", "candidate", "initial", "members.0"])

/** Where a mistake of one node is said of another: of the cap above an allowance. */
const elsewhere = new Set(["an allowance over every cap"])

it("every generated pipeline with one rule broken is refused, by a line at the stage that names the field and the remedy", () => {
  const seen = new Set<string>()
  fc.assert(
    fc.property(pipelines({ steps: 60, atLeast: 40 }), fc.nat(), ({ root }, n) => {
      const all = Artifact.lineage(root)
      for (const [i, { name, of, params, says, wires }] of breakages.entries()) {
        const nodes = all.filter((artifact) =>
          artifact.node.op !== "Cap" && of(artifact, artifact.node.params as Readonly<Record<string, any>>)
        )
        // Each once, and every third time again.
        if (nodes.length === 0 || (seen.has(name) && (n + i) % 3 > 0)) continue
        const { id } = nodes[(n + i) % nodes.length]!
        const broken = changed(root, id, (node) => ({
          ...node,
          params: { ...node.params as object, ...params?.(node.params as Readonly<Record<string, any>>) },
          wires: wires?.(node.wires) ?? node.wires
        }))
        const found = problems(broken.root)
        assert.isTrue(
          found.some(({ problem, stage }) =>
            says.test(problem) && (stage === label(broken.node) || elsewhere.has(name))
          ),
          `${name} at ${label(broken.node)}:\n${found.map(({ problem, stage }) => `${stage}: ${problem}`).join("\n")}`
        )
        assert.isTrue(found.every(({ problem }) => !problem.includes("\n")))
        seen.add(name)
      }
    }),
    { numRuns: 8, seed: 4, endOnFailure: true }
  )
  assert.deepStrictEqual(breakages.map(({ name }) => name).filter((name) => !seen.has(name)), [])
})
