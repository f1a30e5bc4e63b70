/**
 * Evaluates models in folders, and policies of runs, on a suite: as a pipeline of checkpoints and one `Evaluate`, which runs and resumes as
 * any other.
 */
import * as NodeFileSystem from "@effect/platform-node-shared/NodeFileSystem"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import { basename, join, resolve } from "node:path"
import * as Artifact from "../../dsl/Artifact.ts"
import * as Checkpoint from "../../dsl/Checkpoint.ts"
import { build } from "../../dsl/Definition.ts"
import { label } from "../../dsl/Render.ts"
import * as Source from "../../dsl/Source.ts"
import { initialOf } from "../../dsl/Stage.ts"
import { definition } from "../../dsl/stages/Evaluate.ts"
import { namesOf } from "../../dsl/Verifier.ts"
import { grouped, groupOf } from "../../dsl/Wires.ts"
import { read, readers } from "../data/read.ts"
import { verbatim } from "../data/template.ts"
import { contentsBy, type Read } from "../interpreters/contents.ts"
import { CurrentContents, keysIn } from "../interpreters/storeKeys.ts"
import { resultsOf, sampleLine, type Task } from "../report/harness.ts"
import * as FileStore from "../store/files.ts"
import { writeFileAtomic } from "../store/sealed.ts"
import { run, type RunOptions } from "./run.ts"
import { BadSuite, perplexity, type Suite } from "./suites.ts"

/** A model in a folder, under the name that reports call it. */
export interface Evaluated {
  readonly name: string
  readonly path: string
}

const byStage = ({ node: { op } }: Artifact.Any): string => op.toLowerCase()

/**
 * The policies of a run that are there, in the order in which they were made, under the names that its evaluation gives them, else their
 * stages'. `wanted` names some of them: by these names, or by their stage.
 */
export const policiesOf = Effect.fnUntraced(function*(
  folder: string,
  root: Artifact.Any,
  { read, store }: { readonly read?: Read | undefined; readonly store: string },
  wanted: ReadonlyArray<string>
) {
  const fs = yield* FileSystem.FileSystem
  const keys = yield* keysIn(root).pipe(
    Effect.provide(FileStore.layer(store)),
    Effect.provideService(CurrentContents, read === undefined ? () => null : contentsBy(read))
  )
  const given = Object.entries(groupOf("models", root.node.wires)).map(([name, of]) =>
    [name, initialOf(of).id] as const
  )
  const isPolicy = ({ node }: Artifact.Any) =>
    (node.kind === "Policy" || node.kind === "BaseModel") && node.op !== "Cap" && node.op !== "Input"
  const policies: Array<Evaluated & { readonly stage: string; readonly there: boolean }> = []
  const all = Artifact.lineage(root).filter(isPolicy)
  for (const artifact of all) {
    const stage = byStage(artifact)
    const alone = all.filter((other) => byStage(other) === stage).length === 1
    const name = given.find(([, id]) => id === artifact.id)?.[0] ?? (alone ? stage : label(artifact))
    const { path } = artifact.node.params as { readonly path?: string }
    const key = keys.result(artifact)
    const at = artifact.node.op === "Checkpoint"
      ? path!
      : key === undefined
      ? undefined
      : FileStore.modelIn(store, key, label(artifact))
    const there = at !== undefined && (yield* fs.exists(at))
    policies.push({ name, stage, path: at ?? "", there })
  }
  const known = [...new Set(policies.flatMap(({ name, stage }) => [name, stage]))].join(", ")
  for (const one of wanted) {
    const found = policies.filter(({ name, stage }) => name === one || stage === one.toLowerCase())
    if (found.length === 0) {
      return yield* new BadSuite({
        name: folder,
        problem: `it has no policy "${one}"`,
        remedy: known === "" ? "Give the folder of a run that makes a policy." : `Give --policy one of ${known}.`
      })
    }
    if (!found.some(({ there }) => there)) {
      return yield* new BadSuite({
        name: folder,
        problem: `its policy ${one} is not made yet`,
        remedy: `Finish the run first: keel resume ${folder}.`
      })
    }
  }
  const chosen = policies.filter(({ name, stage, there }) =>
    there && (wanted.length === 0 || wanted.some((one) => name === one || stage === one.toLowerCase()))
  )
  if (chosen.length > 0) return chosen.map(({ name, path }): Evaluated => ({ name, path }))
  return yield* new BadSuite({
    name: folder,
    problem: "it has no finished policy",
    remedy: `Finish the run first: keel resume ${folder}.`
  })
})

/** The model in a Hugging Face folder, called as the folder. */
export const modelIn = (path: string): Evaluated => ({ name: basename(resolve(path)), path })

/** Models with a name each: where two have the same, the later ones have a number. */
const distinct = (models: ReadonlyArray<Evaluated>): ReadonlyArray<Evaluated> =>
  models.map(({ name, path }, i) => {
    const before = models.slice(0, i).filter((other) => other.name === name).length
    return { name: before === 0 ? name : `${name}-${before + 1}`, path }
  })

export interface EvaluateOptions {
  /** The suite; without one, the perplexity of the text in `data`. */
  readonly suite?: Suite
  /** The file with the rows; default: the suite's own. */
  readonly data?: string
  /** Reads at most this many rows. */
  readonly limit?: number
  /** Completions of each prompt; default 1. */
  readonly completions?: number
  /** The k of pass@k, besides 1. */
  readonly passAt?: ReadonlyArray<number>
  /** Default: 0, greedy, for one completion, and 1 for several. */
  readonly temperature?: number
  /** Longest completion, tokens; default: the suite's. */
  readonly maxNewTokens?: number
  /** Whether each prompt is a user's message for the model's chat template. */
  readonly chat?: boolean
  /** Examples with their answers before each prompt: the first rows of a file. */
  readonly shots?: { readonly count: number; readonly file: string }
  readonly seed?: number
  /** How it runs, in which folder. */
  readonly running?: RunOptions
}

/** The template with examples in front, as lm-evaluation-harness puts them: a space before an answer, an empty line after it. */
const withShots = Effect.fnUntraced(function*(
  { fields, name, template }: Suite,
  { count, file }: NonNullable<EvaluateOptions["shots"]>
) {
  const own = template ?? `{{${fields["prompt"] ?? "prompt"}}}`
  const { rows } = yield* read(readers.Prompts)(file, { fields, template: own, limit: count })
  const bad = rows.findIndex(({ answer }) => answer === undefined)
  if (rows.length < count || bad >= 0) {
    return yield* new BadSuite({
      name,
      problem: bad >= 0 ? `row ${bad + 1} of ${file} has no answer` : `${file} has ${rows.length} rows, not ${count}`,
      remedy: "Give a file with as many examples as --shots, each with its answer."
    })
  }
  return [...rows.map(({ answer, prompt }) => verbatim(`${prompt} ${answer!}`)), own].join("\n\n")
})

const family = "evaluated"

/** The pipeline that evaluates the models, and the task as it is set. */
export const evaluation = Effect.fnUntraced(function*(models: ReadonlyArray<Evaluated>, options: EvaluateOptions) {
  const fs = yield* FileSystem.FileSystem
  const { chat = false, completions = 1, limit, passAt = [], seed = 0, shots, suite } = options
  const { temperature = completions === 1 ? 0 : 1 } = options
  const name = suite?.name ?? perplexity
  const data = options.data ?? suite?.data
  if (data === undefined || !(/[*?[{]/u.test(data) || (yield* fs.exists(data)))) {
    return yield* new BadSuite({
      name,
      problem: data === undefined ? "no data file is named, and Keel has no data of its own" : `there is no ${data}`,
      remedy: `Give --data FILE${suite?.from === undefined ? "" : ` (from ${suite.from})`}.`
    })
  }
  const template = suite === undefined || shots === undefined ? suite?.template : yield* withShots(suite, shots)
  const file = { ...(limit === undefined ? {} : { limit }), fields: suite?.fields ?? {} }
  const all = distinct(models)
  const opened = all.map(({ name, path }) => [name, Checkpoint.huggingFace(family, path)] as const)
  const maxNewTokens = options.maxNewTokens ?? suite?.maxNewTokens ?? 1
  const prompts = Source.file(data, {
    ...file,
    ...(template === undefined ? {} : { template }),
    ...(chat ? { chat } : {})
  })
  const stop = suite?.stop ?? []
  const root = build(
    definition,
    {
      initial: opened[0]![1],
      ...(suite === undefined ? { text: Source.text(Source.file(data, file)) } : { prompts: Source.prompts(prompts) }),
      ...grouped("models", Object.fromEntries(opened))
    },
    {
      ...(suite === undefined ? {} : { verifiers: suite.verifiers }),
      ...(completions === 1 ? {} : { completionsPerPrompt: completions }),
      ...(passAt.length === 0 ? {} : { passAt }),
      ...(stop.length === 0 ? {} : { stop }),
      order: opened.map(([name]) => name),
      temperature,
      maxNewTokens,
      shown: 0,
      seed
    }
  )
  const verifiers = namesOf(suite?.verifiers ?? [])
  const task: Task = {
    name,
    metrics: Object.fromEntries(verifiers.map((verifier, i) => [verifier, suite?.metrics[i] ?? verifier])),
    data,
    template: template ?? `{{${file.fields["prompt"] ?? (suite === undefined ? "text" : "prompt")}}}`,
    shots: shots?.count ?? 0,
    chat,
    limit: limit ?? null,
    completions,
    temperature,
    maxNewTokens,
    stop,
    seed
  }
  return { root, task, models: all }
})

const folderName = "lm-eval"

/** Evaluates the models, in the folder `out` as any run; the results also in the files of lm-evaluation-harness, in `out/lm-eval`. */
export const evaluate = Effect.fn("evaluate")(
  function*(models: ReadonlyArray<Evaluated>, options: EvaluateOptions) {
    const fs = yield* FileSystem.FileSystem
    const { models: all, root, task } = yield* evaluation(models, options)
    const { folder, made } = yield* run(root as never, options.running ?? {})
    if (made._tag !== "Report") throw new Error(`an evaluation made ${made._tag}`)
    const { report, samples = [] } = made
    const date = yield* Clock.currentTimeMillis
    const results = all.map((model) => resultsOf(task, report, model, date))
    const at = join(folder, folderName)
    const stamp = new Date(date).toISOString().replace("Z", "").replaceAll(":", "-")
    // Of this same evaluation, when it was made before.
    yield* fs.remove(at, { recursive: true, force: true })
    for (const [i, model] of all.entries()) {
      const of = join(at, results[i]!.model_name_sanitized)
      yield* fs.makeDirectory(of, { recursive: true })
      yield* writeFileAtomic(join(of, `results_${stamp}.json`), `${JSON.stringify(results[i], null, 2)}\n`)
      const own = samples.filter(({ model: name }) => name === model.name)
      if (own.length === 0) continue
      const lines = own.map((sample) => `${JSON.stringify(sampleLine(task, sample))}\n`).join("")
      yield* writeFileAtomic(join(of, `samples_${task.name}_${stamp}.jsonl`), lines)
    }
    // Neither ended nor as long as it may be: the context of the model was full.
    const cut =
      samples.flatMap(({ ended, tokens }) => tokens.filter((length, i) => !ended[i] && length < task.maxNewTokens))
        .length
    return { folder, report, task, results, cut }
  },
  Effect.provide(NodeFileSystem.layer)
)
