/**
 * Judges a description without loading anything: every mistake at once, each with its remedy, in milliseconds.
 */
import { Option, Result, Schema } from "effect"
import * as Artifact from "../../dsl/Artifact.ts"
import type { Extension } from "../../dsl/Extension.ts"
import type { Lora, TargetModule } from "../../dsl/Lora.ts"
import * as Pipeline from "../../dsl/Pipeline.ts"
import { mistakes as lossMistakes } from "../../dsl/PreferenceLoss.ts"
import { label } from "../../dsl/Render.ts"
import { definitionOf, isBuiltIn, parentsOf, Stage } from "../../dsl/Stage.ts"
import { mistakes } from "../../dsl/Wires.ts"
import * as Grpo from "../../dsl/stages/Grpo.ts"
import { type Merge, mistakes as mergeMistakes } from "../../dsl/stages/Merge.ts"
import * as Ppo from "../../dsl/stages/Ppo.ts"
import type { Shape } from "../../dsl/stages/Pretrain.ts"
import { currenciesIn, initialOf, klSpenders, type Limits, limitsIn, needsCap, spendsKl } from "./limits.ts"

/** One mistake. */
export interface Problem {
  /** The node it is about. */
  readonly stage: string
  readonly problem: string
}

/** A description that `check` refuses. */
export class Refused extends Schema.TaggedError<Refused>()("Refused", {
  problems: Schema.Array(Schema.Struct({ stage: Schema.String, problem: Schema.String }))
}) {
  override get message() {
    const n = this.problems.length
    return `${n} mistake${n === 1 ? "" : "s"}; nothing was trained or written:\n` +
      this.problems.map(({ problem, stage }) => `  ${stage}: ${problem}`).join("\n")
  }
}

/** What is wrong with one node by itself, its parameters being valid. */
const within = (stage: Stage): ReadonlyArray<string> =>
  Stage.match(stage, {
    Input: ({ kind, name }) => [`the input ${name}: ${kind} is open: connect it with Pipeline.connect`],
    Cap: () => [],
    Source: () => [],
    Checkpoint: () => [],
    Pretrain: ({ model: { dim, heads, kvHeads }, steps, warmupSteps }) => [
      ...(dim % heads === 0 ? [] : [`model.dim ${dim} is not a multiple of model.heads ${heads}`]),
      ...(dim % heads !== 0 || (dim / heads) % 2 === 0
        ? []
        : [`a head has ${dim / heads} dimensions; it must be even for RoPE`]),
      ...(heads % kvHeads === 0 ? [] : [`model.heads ${heads} is not a multiple of model.kvHeads ${kvHeads}`]),
      ...(warmupSteps <= steps ? [] : [`warmupSteps ${warmupSteps} is more than steps ${steps}`])
    ],
    Sft: () => [],
    Compare: () => [],
    RewardModeling: () => [],
    Ensemble: () => [],
    Distill: () => [],
    OnPolicyDistill: ({ steps, warmupSteps }) =>
      warmupSteps <= steps ? [] : [`warmupSteps ${warmupSteps} is more than steps ${steps}`],
    Ppo: Ppo.mistakes,
    Grpo: Grpo.mistakes,
    // What its parameters may be depends on its wires: `between`.
    Merge: () => [],
    Dpo: ({ loss }) => lossMistakes(loss),
    Kto: () => [],
    Evaluate: () => [],
    Sample: () => [],
    Score: () => [],
    Select: () => [],
    Pair: () => [],
    BestOfN: () => [],
    Mix: () => [],
    Filter: () => [],
    Split: () => [],
    Deduplicate: () => [],
    Decontaminate: () => [],
    Gate: () => []
  })

/** What adapters can have wrong with the model that they are for, where the description itself says how large it is. */
const adapting = (artifact: Artifact.Any): ReadonlyArray<string> => {
  const { lora } = artifact.node.params as { readonly lora?: Lora }
  if (lora === undefined) return []
  if (artifact.node.op === "Pretrain") return ["lora adapts a model that exists; pretraining starts from nothing"]
  let at = artifact
  for (let parent = parentsOf(at)[0]; parent !== undefined; parent = parentsOf(at)[0]) at = parent
  if (at.node.op !== "Pretrain") return []
  const { dim, ffn, heads, kvHeads } = (at.node.params as unknown as { readonly model: Shape }).model
  const smaller: Readonly<Record<TargetModule, number>> = {
    q_proj: dim,
    k_proj: Math.min(dim, kvHeads * dim / heads),
    v_proj: Math.min(dim, kvHeads * dim / heads),
    o_proj: dim,
    gate_proj: Math.min(dim, ffn),
    up_proj: Math.min(dim, ffn),
    down_proj: Math.min(dim, ffn)
  }
  return lora.targetModules.filter((name) => lora.rank > smaller[name]).map((name) =>
    `lora.rank ${lora.rank} is larger than the smaller dimension of ${name}, ${smaller[name]}`
  )
}

/** What every stage that spends KL can have wrong. */
const spending = (params: object): ReadonlyArray<string> =>
  "allowance" in params && (params as { readonly allowance: { readonly per?: string } }).allowance.per !== "sequence"
    ? ["allowance must be per sequence: convert it with Kl.overTokens(allowance, length)"]
    : []

/** What is wrong with one node by itself, its parameters being valid, whoever declared its operation. */
const alone = (stage: Stage | Extension): ReadonlyArray<string> =>
  stage._tag === "Extension" ? spending(stage.params) : [...spending(stage), ...within(stage)]

/** One name, one operation. */
const naming = (root: Artifact.Any): (node: Artifact.Node) => ReadonlyArray<string> => {
  const known = new Map(Artifact.lineage(root).map(({ node }) => [node.op, definitionOf(node)]))
  return ({ definition, op }) =>
    definition === undefined || definition === known.get(op) ? [] : [
      `two operations are called ${op}${isBuiltIn(op) ? ", and one is Keel's" : ""}: give yours another name`
    ]
}

/** Money of two currencies cannot be compared with one price table. */
const paying = (root: Artifact.Any): (node: Artifact.Node) => ReadonlyArray<string> => {
  const currencies = currenciesIn(root)
  return ({ op, params }) =>
    op !== "Cap" || currencies.length < 2 || !JSON.stringify(params).includes('"currency"') ? [] : [
      `the money caps of this pipeline are in ${currencies.join(" and ")}: give them all in one currency`
    ]
}

const sourceOf = (artifact: Artifact.Any | undefined): string | undefined =>
  artifact?.node.op === "Source" ? artifact.id : undefined

/** What is wrong between nodes. */
const between = (limits: (artifact: Artifact.Any) => Limits, artifact: Artifact.Any): ReadonlyArray<string> => {
  const { node: { op, wires } } = artifact
  const found: Array<string> = []
  if (needsCap(artifact) && limits(artifact).kl.length === 0) {
    found.push(
      `it ${spendsKl(artifact) ? "spends KL" : "merges policies that spent KL"} and nobody capped it: wrap it in ` +
        "Pipeline.cap(policy, { kl: Kl.mnatsPerSequence(…), from: … })"
    )
  }
  if (sourceOf(wires["held"]) !== undefined && sourceOf(wires["prompts"]) === sourceOf(wires["held"])) {
    found.push(
      "prompts and held are the same data: KL would be measured on the prompts it trains on; use another split"
    )
  }
  for (const [wire, of] of Object.entries(wires)) {
    if (initialOf(of).node.op === "Ensemble" && !/^(?:reward|of|members\.\d+)$/u.test(wire)) {
      found.push(`${wire} is an ensemble, which has no weights to start from: connect one of its members`)
    }
  }
  if (op === "Merge") found.push(...mergeMistakes(Pipeline.stageOf(artifact) as Merge, wires))
  if (op === "Evaluate" || op === "Gate") {
    const judged = Object.entries(wires).filter(([name]) => name.startsWith("models.") || name === "candidate")
    const trained = new Set(
      Artifact.lineage(...judged.map(([, of]) => of))
        .filter((of) => spendsKl(of) || of.node.op === "Sample").map(({ node }) => sourceOf(node.wires["prompts"]))
    )
    const own = sourceOf(wires[op === "Gate" ? "held" : "prompts"])
    if (own !== undefined && trained.has(own)) {
      found.push("its prompts are prompts that a model was trained on; use held-out ones")
    }
    if (op === "Evaluate" && judged.length === 0) found.push("it has no model to report on")
  }
  if (op === "Cap") {
    type Distance = { readonly mnats: number; readonly per: string }
    const params = artifact.node.params as Readonly<Partial<Record<"kl" | "klP95" | "klMax", Distance>>>
    for (const name of ["klP95", "klMax", "whenSpent"] as const) {
      if (Object.hasOwn(params, name) && params.kl === undefined) {
        found.push(`${name} stands beside kl, the cap on the mean over prompts: write both`)
      }
    }
    for (const name of ["klP95", "klMax"] as const) {
      const { mnats, per } = params[name] ?? { mnats: Infinity, per: "sequence" }
      if (per !== "sequence") {
        found.push(`${name} must be per sequence: convert it with Kl.overTokens(kl, length)`)
      } else if (mnats < (params.kl?.mnats ?? 0)) {
        found.push(
          `${name} ${mnats} is below kl ${params.kl!.mnats}, and ${name.slice(2)} over prompts is above the mean`
        )
      }
    }
    const from = wires["from"]
    if (params.kl === undefined) return found
    if (params.kl.per !== "sequence") {
      found.push("a KL cap must be per sequence: convert it with Kl.overTokens(kl, length)")
    }
    if (from === undefined) {
      found.push("kl needs `from`, the initial model that the distance is measured from, e.g. from: sft")
      return found
    }
    const of = wires["of"]!
    if (!Artifact.lineage(of).some(({ id }) => id === initialOf(from).id)) {
      found.push(`its initial model ${label(from)} is not among what ${label(of)} was made from`)
    }
    const allotted = klSpenders(of, from)
    const total = allotted.reduce((sum, { mnats }) => sum + mnats, 0)
    if (total > params.kl.mnats) {
      found.push(
        `KL over budget: ${total} mnats allotted (${
          allotted.map(({ artifact, mnats }) => `${label(artifact)} ${mnats}`).join(", ")
        }), cap is ${params.kl.mnats}; lower the allowances or raise the cap`
      )
    }
  }
  return found
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** Every mistake in a description; none for one that can run. */
export const problems = (root: Artifact.Any): ReadonlyArray<Problem> => {
  const limits = limitsIn(root)
  const named = naming(root)
  const paid = paying(root)
  return Artifact.lineage(root).flatMap((artifact) => {
    const { op, params, wires } = artifact.node
    const definition = definitionOf(artifact.node)
    if (definition === undefined) return [{ stage: op, problem: "no such operation" }]
    const spec = definition.wiresOf?.(wires, isRecord(params) ? params : {}) ?? definition.wires
    const own = Pipeline.paramMistakes(definition, params)
    const decoded = own.length > 0 ? Option.none<Stage | Extension>() : Option.some(Pipeline.stageOf(artifact))
    return [
      ...own,
      ...mistakes(op, spec, definition.main, wires),
      ...Option.match(decoded, { onNone: () => [], onSome: alone }),
      ...(own.length > 0 ? [] : adapting(artifact)),
      ...named(artifact.node),
      ...paid(artifact.node),
      ...(own.length > 0 ? [] : definition.mistakes?.(params as object, wires) ?? []),
      ...(own.length > 0 ? [] : between(limits, artifact))
    ].map((problem) => ({ stage: label(artifact), problem }))
  })
}

/** The description itself, or all that is wrong with it. */
export const check = (root: Artifact.Any): Result.Result<Artifact.Any, Refused> => {
  const found = problems(root)
  return found.length === 0 ? Result.succeed(root) : Result.fail(new Refused({ problems: found }))
}
