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
import type * as Schema from "effect/Schema"
import * as Artifact from "./Artifact.ts"
import { made } from "./Definition.ts"
import * as Gold from "./Gold.ts"
import * as Pipeline from "./Pipeline.ts"
import * as Source from "./Source.ts"
import { definitionOf, fieldsOf } from "./Stage.ts"
import * as Compare from "./stages/Compare.ts"
import * as Judge from "./stages/Judge.ts"
import * as Mix from "./stages/Mix.ts"
import * as Pretrain from "./stages/Pretrain.ts"
import * as Sample from "./stages/Sample.ts"
import * as Score from "./stages/Score.ts"
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

type Json = Schema.Json
type Params = { readonly [key: string]: Json }
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

/** The most rows of a data set and of a step, passes, parts, completions and samples. */
const most = { rows: 400, batch: 16, episodes: 64, passes: 2, parts: 4, completions: 4, samples: 48 }
/** Steps of all stages and of all pretraining together in a minute, and the fewest and most of one. */
const steps = { all: 700, fewest: 8, most: 150 }
const pretraining = { all: 6000, fewest: 400, most: 2000 }
/** A share of the steps in so many minutes. */
const among = ({ all, fewest, most }: typeof steps, count: number, minutes: number): number =>
  Math.round(Math.max(fewest, Math.min(most, all * minutes / Math.max(1, count))))
/** The fewest rows of a data set, and published rows for each of them. */
const [fewest, published] = [64, 200]

// ── verifiers ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Checks of an answer that toy stories do not have: puzzles have one. */
const answers = new Set(["FinalAnswer", "LastNumber", "Mathematics", "Code", "ExactMatch", "Countdown", "LetterCount"])
/** Checks of a form that no toy text has. */
const forms = new Set(["Format", "Instructions", "Pattern", "JsonSchema"])

/** A bound that every score reaches, and the smallest difference of two. */
const [lowest, smallest] = [-1e9, 1e-9]

const isRecord = (value: Json | undefined): value is Params =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** Every object in some parameters with one of these tags. */
const tagged = (value: Json, tags: ReadonlySet<string>): boolean =>
  Array.isArray(value)
    ? value.some((one) => tagged(one as Json, tags))
    : isRecord(value) &&
      (tags.has(String(value["_tag"])) || Object.values(value).some((one) => tagged(one, tags)))

const plain = (value: unknown): Json => JSON.parse(JSON.stringify(value)) as Json

/** Rewrites every object of some parameters, from the innermost. */
const mapped = (value: Json, f: (of: Params) => Json): Json =>
  Array.isArray(value)
    ? value.map((one) => mapped(one as Json, f))
    : isRecord(value)
    ? f(Object.fromEntries(Object.entries(value).map(([key, one]) => [key, mapped(one, f)])))
    : value

// ── data ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** The sources of the rows that reach an artefact, without those that models wrote. */
const sources = Artifact.derived<ReadonlySet<string>>((artifact, of) =>
  artifact.node.op === "Source"
    ? new Set([artifact.id])
    : new Set(Object.entries(artifact.node.wires).flatMap(([wire, input]) => wire === "policy" ? [] : [...of(input)]))
)

const dataWires = ({ node }: Artifact.Any): ReadonlyArray<readonly [string, Artifact.Any]> =>
  Object.entries(node.wires).filter(([, { node: { kind } }]) => !Artifact.modelKinds.includes(kind))

/** Ids of the sources whose rows are asked by a stage that checks answers, and of the sources that only judge. */
const roles = (root: Artifact.Any): { readonly puzzles: ReadonlySet<string>; readonly held: ReadonlySet<string> } => {
  const [puzzles, held] = [new Set<string>(), new Set<string>()]
  const checks = Artifact.derived<boolean>((artifact, of) =>
    tagged(artifact.node.params, answers) ||
    artifact.node.op === "Reward" && Object.values(artifact.node.wires).some(of)
  )
  for (const artifact of Artifact.lineage(root)) {
    const { reward } = artifact.node.wires
    const asks = checks(artifact) || reward !== undefined && checks(reward)
    for (const [wire, of] of dataWires(artifact)) {
      if (artifact.node.op === "Evaluate" || /^(?:held|validation)$/u.test(wire)) {
        for (const id of sources(of)) held.add(id)
      }
      if (asks && artifact.node.op !== "Reward") { for (const id of sources(of)) puzzles.add(id) }
    }
  }
  return { puzzles, held }
}

const rowsIn = (source: Artifact.Any): number => {
  const { rows } = definitionOf(source.node)!
  const all = typeof rows === "function" ? rows(fieldsOf(source) as never, {}) : Infinity
  return Number.isFinite(all) ? all : published * most.rows
}

// ── the rewriting ─────────────────────────────────────────────────────────────────────────────────────────────────────

/** A small copy of `root`. */
export const shrink = (root: Artifact.Any, { minutes = 1, model = {}, tokens = 40 }: Options = {}): Shrunk => {
  const said = new Set<string>()
  const say = (line: string) => said.add(line)
  const all = Artifact.lineage(root)
  const { held, puzzles } = roles(root)
  const stages = all.filter(({ node }) => "learningRate" in (node.params as object)).length
  const stageSteps = among(steps, stages, minutes)
  const some = (rows: number) =>
    Math.max(fewest, Math.min(most.rows * Math.max(1, minutes), Math.round(rows / published)))
  const longest = Math.max(1, ...all.map((artifact) => fieldsOf(artifact).maxNewTokens as number | undefined ?? 1))

  const text = (() => {
    const stories = Source.text(Source.tales({ count: 2000 }))
    if (puzzles.size === 0) return stories
    return Mix.make({ stories, puzzles: Source.text(Source.puzzles({ task: "letters", count: 2000, right: 0.75 })) })
  })()

  /** Different published sizes, from the smallest; a model without a size counts as the smallest. */
  const sizeOf = (artifact: Artifact.Any): number => {
    const { shape } = fieldsOf(artifact)
    return shape === undefined ? 0 : shape.layers * shape.dim * shape.dim
  }
  const checkpoints = all.filter(({ node }) => node.op === "Checkpoint")
  const sizes = [...new Set(checkpoints.map(sizeOf))].sort((a, b) => a - b)
  const pretrained = (family: string, large: boolean, seed: number): Artifact.Any =>
    Pretrain.make({ text }, {
      family,
      model: { ...tiny, ...large ? { dim: 48 } : {}, ...model },
      steps: among(pretraining, checkpoints.length, minutes),
      batchSize: most.batch,
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
  /** Writes the answers that are compared. */
  const writer = (): Artifact.Any => checkpoints[0] === undefined ? pretrained("toy", false, 0) : tinyOf(checkpoints[0])

  const toyRows = (artifact: Artifact.Any): Artifact.Any => {
    const { origin, role } = artifact.node.params as unknown as Source.Source
    const judging = held.has(artifact.id)
    const count = judging ? most.samples : some(rowsIn(artifact))
    const split = judging ? "held" : "train"
    const seed = parseInt(artifact.id.slice(0, 6), 16) % 1000
    const stories = Source.tales({ count, seed, split })
    const letters = Source.puzzles({ task: "letters", count, seed, split, right: role === "Prompts" ? 1 : 0.75 })
    switch (role) {
      case "Text":
        return Source.text(Source.tales({ count, seed, split }))
      case "Prompts":
        return Source.prompts(puzzles.has(artifact.id) ? letters : stories)
      case "Demonstrations":
        return puzzles.size === 0
          ? Source.demonstrations(stories)
          : Mix.make({ stories: Source.demonstrations(stories), puzzles: Source.demonstrations(letters) }, { seed })
      case "Preferences":
        say(
          `${
            origin._tag === "Described" ? origin.name : [Source.namedBy(origin) ?? origin._tag].flat().join(", ")
          }: pairs of a tiny model's answers, by the checker of stories`
        )
        return Compare.make({ policy: writer() as never, prompts: Source.prompts(stories) }, {
          gold: Gold.tales,
          maxNewTokens: tokens,
          seed
        })
      case "Completions": {
        say(`${origin._tag === "Described" ? origin.name : "Completions"}: answers of a tiny model to the same prompts`)
        const others = all.filter(({ node }) => node.op === "Mix" && Object.values(node.wires).includes(artifact))
          .flatMap(({ node }) => Object.values(node.wires)).flatMap((of) => [...sources(of)])
        const asked = all.find(({ id, node }) => others.includes(id) && (node.params as Params)["role"] === "Prompts")
        const tokensOf = "tokens" in origin ? origin.tokens : undefined
        return Sample.make({
          policy: writer() as never,
          prompts: asked === undefined ? Source.prompts(stories) : toyRows(asked) as never
        }, {
          completionsPerPrompt: Math.min(most.completions, tokensOf?.completions ?? 1),
          maxNewTokens: tokens,
          seed
        })
      }
      case "ScoredCompletions": {
        say(`${"name" in origin ? origin.name : role}: answers of a tiny model, with scores by the checker of stories`)
        const completions = Sample.make({ policy: writer() as never, prompts: Source.prompts(stories) }, {
          completionsPerPrompt: Math.min(most.completions, "tokens" in origin ? origin.tokens?.completions ?? 1 : 1),
          maxNewTokens: tokens,
          seed
        })
        return Score.byJudge({ completions }, { gold: Gold.tales })
      }
      default:
        return Artifact.make({
          ...artifact.node,
          params: { ...artifact.node.params as Params, origin: plain(Source.tales({ count, seed })) }
        })
    }
  }

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

  /** Puzzles have no words that an answer has to have. */
  const toyJudge = puzzles.size === 0 ? Verifier.keywords() : Verifier.noRepetition()

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

  /** The parameters of a stage, small. */
  const numbers = (artifact: Artifact.Any): Params => {
    const { op } = artifact.node
    const params = artifact.node.params as Params
    const reported = typeof params["steps"] === "number" ? params["steps"] : undefined
    const few = Math.min(reported ?? Infinity, stageSteps)
    /** Of numbers of steps; of a stage by epochs a warm-up of two steps. */
    const shorter = (n: number): number =>
      n === 0 ? 0 : reported === undefined ? Math.min(n, 2) : Math.max(1, Math.round(n * few / reported))
    const shortened = (n: number): number => Math.max(1, Math.round(n * Math.min(1, tokens / longest)))
    const parts = Math.min(most.parts, Number(params["numMiniBatches"] ?? 1))
    const observed = artifact.node.wires["held"] !== undefined
    const small = (name: string, n: number): number => {
      // Of the whole pipeline, where a stage has no held prompts.
      if (name.startsWith("measure") && !observed) return n
      // Toy answers are short, and their scores have another scale.
      if (op === "Filter") return name === "minScore" ? lowest : name.startsWith("min") ? Math.min(n, 1) : n
      if (name === "minMargin") return smallest
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
                    ? most.episodes / most.completions
                    : op === "Ppo"
                    ? most.episodes
                    : most.batch
                ) / parts
              )
            ) * parts
            : n
        case "passes":
          return Math.min(n, most.passes)
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
    const asked = Object.values(artifact.node.wires).some((of) => [...sources(of)].some((id) => puzzles.has(id)))
    const { maxLength: _, ...kept } = asking(op, params)
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
                  (counts) => Object.fromEntries(Object.entries(counts).map(([part, n]) => [part, some(Number(n))]))
                )
              }
            case "Weights":
            case "Temperature":
              return op === "Mix" ? { ...of, count: some(Number(of["count"])) } : of
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
              say(`Judges of rewards: Verifier ${toyJudge._tag}`)
              return { _tag: "Verify", verifier: plain(toyJudge) }
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
  /** As no toy pair has a margin. */
  const filtered = (filter: Artifact.Any, wires: Wired): Artifact.Any => {
    const { minMargin: _, ...params } = filter.node.params as Params
    say("Filter: pairs of every margin")
    return Object.keys(params).length === 0 ? wires["of"]! : Artifact.make({ ...filter.node, params, wires })
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
      done.set(artifact.id, toyRows(artifact))
    } else if (node.op === "Checkpoint") {
      done.set(artifact.id, tinyOf(artifact))
    } else if (node.op === "Judge" && !("gold" in (node.params as object))) {
      done.set(artifact.id, judged(node.params as Params, wires))
    } else if (node.op === "Filter" && "minMargin" in (node.params as object)) {
      done.set(artifact.id, filtered(artifact, wires))
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
