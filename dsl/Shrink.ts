/**
 * A small copy of a pipeline, which runs end to end on a laptop: a rewriting of its graph. Operations, wires, losses, references, ratios
 * between numbers of one stage, and names stay. Checkpoints become tiny models pretrained on toy text, each data set toy rows of its role,
 * sizes small by the units of their fields (`dsl/Units.ts`), and learning rates those of tiny models. Verifiers and judges become those of
 * the toy task of their kind, and each replacement is said in a line.
 *
 * ```ts
 * import { Pipeline, Recipe, Shrink, Zephyr } from "../dsl/index.ts"
 * const { root } = Shrink.shrink(Pipeline.outputs(Recipe.planned(Zephyr.zephyr)), { minutes: 1 })
 * Object.keys(root.node.wires) // => ["policy", "sft"]
 * ```
 */
import * as Artifact from "./Artifact.ts"
import { made } from "./Definition.ts"
import * as Gold from "./Gold.ts"
import * as Pipeline from "./Pipeline.ts"
import { definitionOf, fieldsOf } from "./Stage.ts"
import * as Judge from "./stages/Judge.ts"
import * as Pretrain from "./stages/Pretrain.ts"
import {
  answers,
  dataWires,
  isRecord,
  type Json,
  most,
  type Params,
  plain,
  readsReference,
  sources,
  type ToyData,
  toyData
} from "./ToyData.ts"
import { unitOf } from "./Units.ts"
import * as Verifier from "./Verifier.ts"

export interface Options {
  /** Sizes of the tiny models; the largest of several published sizes is half as wide again. */
  readonly model?: Partial<typeof Pretrain.Shape["~type.make.in"]>
  /** Longest completion, tokens: 40 when left out. */
  readonly tokens?: number
  /** About how long it may run on two cores; steps and rows grow with it. 1 when left out. */
  readonly minutes?: number
}

export interface Shrunk {
  readonly root: Artifact.Any
  /** A sentence for each replacement of something by another thing of its kind. */
  readonly said: ReadonlyArray<string>
}

type Wired = Readonly<Record<string, Artifact.Any>>

/** Learning rates of models of some ten thousand parameters. */
const rates: Readonly<Record<string, number>> = {
  Pretrain: 2e-2,
  Sft: 3e-3,
  Distill: 3e-3,
  RewardModeling: 6e-3,
  Dpo: 3e-4,
  Kto: 3e-4,
  Ppo: 1e-3,
  Grpo: 1e-3,
  OnPolicyDistill: 1e-3
}

const tiny = { dim: 32, layers: 2, heads: 2, kvHeads: 2, ffn: 96, context: 128 }

/** The most rows of a step, passes and parts. */
const largest = { batch: 16, episodes: 64, passes: 2, parts: 4 }
/** Steps of all stages and of all pretraining together in a minute, and the fewest and most of one. */
const steps = { all: 700, fewest: 8, most: 150 }
const pretraining = { all: 6000, fewest: 400, most: 2000 }
/** A share of the steps in so many minutes. */
const among = ({ all, fewest, most }: typeof steps, count: number, minutes: number): number =>
  Math.round(Math.max(fewest, Math.min(most, all * minutes / Math.max(1, count))))

// ── verifiers ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Checks of a form that no toy text has. */
const forms = new Set(["Format", "Instructions", "Pattern", "JsonSchema"])

/** A bound that every score reaches, and the smallest difference of two. */
const [lowest, smallest] = [-1e9, 1e-9]

/** Rewrites every object of some parameters, from the innermost. */
const mapped = (value: Json, f: (of: Params) => Json): Json =>
  Array.isArray(value)
    ? value.map((one) => mapped(one as Json, f))
    : isRecord(value)
    ? f(Object.fromEntries(Object.entries(value).map(([key, one]) => [key, mapped(one, f)])))
    : value

// ── the rewriting ─────────────────────────────────────────────────────────────────────────────────────────────────────

/** A small copy of `root`. */
export const shrink = (root: Artifact.Any, { minutes = 1, model = {}, tokens = 40 }: Options = {}): Shrunk => {
  const said = new Set<string>()
  const say = (line: string) => said.add(line)
  const all = Artifact.lineage(root)
  const stages = all.filter(({ node }) => "learningRate" in (node.params as object)).length
  const stageSteps = among(steps, stages, minutes)
  const longest = Math.max(1, ...all.map((artifact) => fieldsOf(artifact).maxNewTokens as number | undefined ?? 1))

  /** Different published sizes, from the smallest; a model without a size counts as the smallest. */
  const sizeOf = (artifact: Artifact.Any): number => {
    const { shape } = fieldsOf(artifact)
    return shape === undefined ? 0 : shape.layers * shape.dim * shape.dim
  }
  const checkpoints = all.filter(({ node }) => node.op === "Checkpoint")
  const sizes = [...new Set(checkpoints.map(sizeOf))].sort((a, b) => a - b)
  const pretrained = (family: string, large: boolean, seed: number): Artifact.Any =>
    Pretrain.make({ text: data.text }, {
      family,
      model: { ...tiny, ...large ? { dim: 48 } : {}, ...model },
      steps: among(pretraining, checkpoints.length, minutes),
      batchSize: largest.batch,
      learningRate: rates["Pretrain"]!,
      schedule: "cosine",
      warmupSteps: 30,
      checkpointEvery: pretraining.most,
      seed
    }) as Artifact.Any

  const tinyOf = (checkpoint: Artifact.Any): Artifact.Any =>
    pretrained(
      checkpoint.node.family,
      sizes.length > 1 && sizeOf(checkpoint) === sizes.at(-1),
      checkpoints.indexOf(checkpoint)
    )
  const data: ToyData = toyData(root, {
    minutes,
    tokens,
    say,
    writer: () => checkpoints[0] === undefined ? pretrained("toy", false, 0) : tinyOf(checkpoints[0])
  })

  /** A verifier of the toy task of the same kind, with the same weight. */
  const verifier = (of: Params, asked: boolean): Json => {
    const tag = String(of["_tag"])
    const weight = of["weight"] === undefined ? {} : { weight: of["weight"] as number }
    if (answers.has(tag) && tag !== "LetterCount" || tag === "Keywords" && asked) {
      say(`Verifier ${tag}: of how often a letter occurs, LetterCount`)
      return plain(Verifier.letterCount(weight))
    }
    if (!forms.has(tag)) return of
    say(`Verifier ${tag}: of an answer that ends, Ended`)
    return plain(Verifier.ended(weight))
  }

  /** Contexts of a few words, as tiny models have room for no more, and no chat template; a labeler in place of a judge of pairs. */
  const asking = (op: string, params: Params): Params =>
    Object.fromEntries(
      Object.entries(params).flatMap(([name, value]): ReadonlyArray<[string, Json]> => {
        if (op === "Compare" && name === "judge") {
          say("A judge compares pairs: a labeler who sees the checker of stories")
          return [["gold", plain(Gold.tales)]]
        }
        if (isRecord(value) && value["_tag"] === "WinRate") {
          say(`${op}: no win rate, which needs a judge`)
          return []
        }
        if (!isRecord(value) || value["_tag"] !== "Ask") return [[name, value]]
        const { shots, system, template } = value
        const ask = {
          ...(system === undefined ? {} : { system: "Tell a story." }),
          ...(template === undefined
            ? {}
            : { template: String(template).match(/\{\{\w+\}\}/gu)?.join(" ") ?? "Tell." }),
          ...(shots === undefined ? {} : { shots: 1 })
        }
        say(`${op}: ${name} of a few words`)
        return Object.keys(ask).length === 0 ? [] : [[name, { _tag: "Ask", ...ask }]]
      })
    )

  const rewrites = ({ ask }: Params): boolean => isRecord(ask) && /\{\{completion\}\}/u.test(String(ask["template"]))

  /** The step from which a reward counts, at its share of the steps of the stage that is trained on it. */
  const begun = (reward: Artifact.Any, step: number): number => {
    const stage = all.find(({ node }) =>
      node.wires["reward"] !== undefined && Artifact.lineage(node.wires["reward"]).includes(reward)
    )
    const reported = stage === undefined ? undefined : fieldsOf(stage).steps
    return reported === undefined ? Math.min(step, 2) : Math.round(step * Math.min(reported, stageSteps) / reported)
  }

  const least = (op: string, name: string, n: number, bound: number): number => {
    if (bound < n) say(`${op}: ${name} ${bound} in place of ${n}`)
    return Math.min(bound, n)
  }

  /** Rows of every length, and pairs of every margin, as no toy pair has one. */
  const unbounded = ({ maxLength, minMargin, ...params }: Params, op: string): Params => {
    if (maxLength !== undefined) say(`${op}: no maxLength, as toy rows are short`)
    if (minMargin === undefined || op !== "Filter") return minMargin === undefined ? params : { ...params, minMargin }
    say("Filter: pairs of every margin, as toy pairs have none")
    return { maxWords: 1_000_000, ...params }
  }

  /** The parameters of a stage, small. */
  const numbers = (artifact: Artifact.Any): Params => {
    const { kind, op } = artifact.node
    const params = artifact.node.params as Params
    const reported = typeof params["steps"] === "number" ? params["steps"] : undefined
    const few = Math.min(reported ?? Infinity, stageSteps)
    /** Of numbers of steps; of a stage by epochs a warm-up of two steps. */
    const shorter = (n: number): number =>
      n === 0 ? 0 : reported === undefined ? Math.min(n, 2) : Math.max(1, Math.round(n * few / reported))
    const shortened = (n: number): number => Math.max(1, Math.round(n * Math.min(1, tokens / longest)))
    const parts = Math.min(largest.parts, Number(params["numMiniBatches"] ?? 1))
    const observed = artifact.node.wires["held"] !== undefined
    const small = (name: string, n: number): number => {
      // Of the whole pipeline, where a stage has no held prompts.
      if (name.startsWith("measure") && !observed) return n
      // Toy answers are short, and their scores have another scale.
      if (op === "Pair" && name === "minMargin") return least(op, name, n, smallest)
      if (op === "Filter" && name.startsWith("min")) return least(op, name, n, name === "minScore" ? lowest : 1)
      switch (unitOf(name)) {
        case "steps":
          return name === "steps" ? few : name === "checkpointEvery" ? 1000 : name === "measureEvery" ? few : shorter(n)
        case "rows":
          return name === "batchSize" && !["Sample", "Score"].includes(op)
            ? Math.max(
              1,
              Math.floor(
                Math.min(
                  n,
                  params["groupSize"] !== undefined
                    ? largest.episodes / most.completions
                    : op === "Ppo"
                    ? largest.episodes
                    : largest.batch
                ) / parts
              )
            ) * parts
            : n
        case "passes":
          return Math.min(n, largest.passes)
        case "parts":
          return parts
        case "completions":
          return Math.min(n, most.completions)
        case "samples":
          return Math.min(n, most.samples)
        case "tokens":
          return name === "maxNewTokens" ? Math.min(n, tokens) : shortened(n)
        case "rate":
          // The end of a schedule stays at its share of the peak.
          return rates[op] === undefined
            ? n
            : name === "minLearningRate"
            ? n * rates[op] / Number(params["learningRate"])
            : rates[op]
        default:
          return n
      }
    }
    const changes = (fromStep: Json): Json =>
      Object.fromEntries(
        Object.entries(fromStep as { readonly [step: string]: Params }).map(([step, { maxNewTokens, ...rest }]) => [
          Math.min(few - 1, shorter(Number(step))),
          typeof maxNewTokens === "number" ? { ...rest, maxNewTokens: shortened(maxNewTokens) } : rest
        ])
      )
    const asked = data.judgePuzzles.has(artifact.id) ||
      dataWires(artifact).some(([, of]) => [...sources(of)].some((id) => data.puzzles.has(id)))
    // Puzzles have no words that an answer has to have.
    const toyJudge = (rule: Params) =>
      readsReference(rule) ? Verifier.letterCount() : asked ? Verifier.noRepetition() : Verifier.keywords()
    const kept = unbounded(asking(op, params), op)
    return Object.fromEntries(
      Object.entries({ ...kept, ...("precision" in params ? { precision: "f32" } : {}) }).map(([name, value]) => [
        name,
        typeof value === "number" ? small(name, value) : name === "fromStep" ? changes(value) : mapped(value, (of) => {
          switch (of["_tag"]) {
            case "Soup":
            case "Best":
              return typeof of["every"] === "number" ? { ...of, every: shorter(of["every"]) } : of
            case "ResetEvery":
              return { ...of, steps: shorter(Number(of["steps"])) }
            case "MovingAverage":
              return { ...of, every: shorter(Number(of["every"])) }
            case "Counts":
              return {
                ...of,
                counts: mapped(
                  of["counts"]!,
                  (counts) =>
                    Object.fromEntries(Object.entries(counts).map(([part, n]) => [part, data.some(Number(n), kind)]))
                )
              }
            case "Weights":
            case "Temperature":
              return op === "Mix" ? { ...of, count: data.some(Number(of["count"]), kind) } : of
            case "Accept":
              say(`${op}: every answer is accepted, as scores of toy answers have another scale`)
              return { ...of, atLeast: lowest }
            case "Overlong":
              return { ...of, max: shortened(Number(of["max"])), buffer: shortened(Number(of["buffer"])) }
            case "TargetLength":
              return typeof of["target"] === "number" ? { ...of, target: shortened(of["target"]) } : of
            case "Gae":
              // α of λ = 1 − 1/(α l): α l stays.
              return typeof of["lamByLength"] === "number"
                ? { ...of, lamByLength: of["lamByLength"] * Math.max(1, longest / tokens) }
                : of
            case "From":
              return { ...of, step: begun(artifact, Number(of["step"])) }
            case "RubricScorer":
            case "PeopleScorer":
              say("Judges by a rubric: the checker of stories")
              return { _tag: "JudgeScorer", gold: plain(Gold.tales) }
            case "ByJudge":
            case "ByPairs":
              say(`A judge${readsReference(of) ? " who sees the reference" : ""}: Verifier ${toyJudge(of)._tag}`)
              return { _tag: "Verify", verifier: plain(toyJudge(of)) }
            default:
              return verifier(of, asked)
          }
        })
      ])
    )
  }

  /** People and judges who compare pairs become a labeler who sees the checker of stories. */
  const judged = ({ people, seed }: Params, { completions }: Wired): Artifact.Any => {
    say(`${people ?? "A judge"} of pairs: a labeler who sees the checker of stories, without margins`)
    return Judge.make({ completions: completions as never }, { by: Gold.tales, seed: Number(seed) })
  }
  /** All but judges and verdicts of people, who are replaced. */
  const used = new Set([
    root.id,
    ...all.flatMap(({ node }) =>
      Object.entries(node.wires).flatMap(([wire, { id }]) => wire === "judge" || wire === "verdicts" ? [] : [id])
    )
  ])
  const done = new Map<string, Artifact.Any>()
  for (const artifact of all.filter(({ id }) => used.has(id))) {
    const { node } = artifact
    const wires: Wired = Object.fromEntries(
      Object.entries(node.wires).map(([name, of]) => [name, done.get(of.id)!])
    )
    if (node.op === "Source") {
      done.set(artifact.id, data.rows(artifact))
    } else if (node.op === "Checkpoint") {
      done.set(artifact.id, tinyOf(artifact))
    } else if (node.op === "Judge" && !("gold" in (node.params as object))) {
      done.set(artifact.id, judged(node.params as Params, wires))
    } else if (node.op === "Sample" && rewrites(node.params as Params)) {
      say("Sample: answers as they are, as no tiny model writes them anew")
      done.set(artifact.id, wires["prompts"]!)
    } else if (node.op === "Reward" && (node.params as { readonly rule: Params }).rule["_tag"] === "Of") {
      say("Reward.of: the whole answer, as toy answers have no parts")
      done.set(artifact.id, wires["of"]!)
    } else {
      const definition = definitionOf(node)
      const params = numbers(artifact)
      // A checker stands for every judge.
      const kept = Object.fromEntries(
        Object.entries(wires).filter(([wire]) => wire !== "judge" && wire !== "verdicts")
      )
      const is = definition === undefined ? node : made(definition, params, kept)
      done.set(artifact.id, Artifact.make({ ...node, ...is, params, wires: kept }))
    }
  }
  return { root: done.get(root.id)!, said: [...said] }
}

/** The small copies of named artefacts, by their names. */
export const outputs = <const R extends Readonly<Record<string, Artifact.Any>>>(named: R, options: Options = {}): R =>
  shrink(Pipeline.outputs(named), options).root.node.wires as R
