/**
 * From a file on the command line to a description: a `.ts` module whose default export is a pipeline, or a `.json` description.
 * The exports `stages`, `rewards` and `losses` of a module implement the stages, rewards and losses from outside Keel.
 */
import * as Data from "effect/Data"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type * as Schema from "effect/Schema"
import { resolve } from "node:path"
import { pathToFileURL } from "node:url"
import * as Artifact from "../../dsl/Artifact.ts"
import { Control } from "../../dsl/Control.ts"
import * as Pipeline from "../../dsl/Pipeline.ts"
import type { ControlEnvironment } from "../interpreters/control.ts"
import * as Recipe from "../../dsl/Recipe.ts"
import * as Shrink from "../../dsl/Shrink.ts"
import type { Extensions } from "../interpreters/extensions.ts"
import { MiB, sizeOf } from "../model/regularFile.ts"
import { type Asked, BadPipelineFile, type Chosen, known, otherwise, part, recipeOf } from "./addressed.ts"
import type { Overridden } from "./options.ts"

export { BadPipelineFile }

/** A file that describes standard reinforcement learning; commands that take it catch this. */
export class IsControl extends Data.TaggedError("IsControl")<{
  readonly path: string
  readonly description: Control
  readonly environments: ReadonlyArray<ControlEnvironment>
}> {
  override get message() {
    return `${this.path}: it describes standard reinforcement learning, no pipeline of language models. It can be checked, shown, planned and run.`
  }
}

/** A description with the implementations of its stages and rewards from outside Keel. */
export interface PipelineFile {
  readonly root: Artifact.Any
  readonly extensions: Extensions
  /** The module of the extensions; null if there are none. */
  readonly module: string | null
  /** The recipe that it is of, with what it leaves open. */
  readonly chosen?: Chosen
}

const imported = (path: string) =>
  Effect.tryPromise({
    try: () => import(pathToFileURL(resolve(path)).href) as Promise<Readonly<Record<string, unknown>>>,
    catch: (error) =>
      new BadPipelineFile({
        path,
        problem: `it cannot be loaded: ${error instanceof Error ? error.message : String(error)}`,
        remedy: "Try it with node."
      })
  })

/** The exports with implementations from outside Keel: how each is made, and the fields that identify it, of either sort. */
const exported = [
  { name: "stages", by: ["implement"], fields: [["definition", "make"]] },
  {
    name: "rewards",
    by: ["reward", "verifier", "environment"],
    fields: [["name", "score"], ["name", "verify"], ["name", "step"]]
  },
  { name: "losses", by: ["preferenceLoss", "policyLoss"], fields: [["kind", "name", "of"]] }
] as const

const extensionsIn = Effect.fnUntraced(function*(path: string, loaded: Readonly<Record<string, unknown>>) {
  const found: Record<string, unknown> = {}
  for (const { by, fields, name } of exported) {
    const value = found[name] = loaded[name] ?? []
    const made = (one: unknown) =>
      typeof one === "object" && one !== null && fields.some((sort) => sort.every((field) => field in one))
    if (Array.isArray(value) && value.every(made)) continue
    return yield* new BadPipelineFile({
      path,
      problem: `its export \`${name}\` is no list of implementations`,
      remedy: `Make each with \`${by.join("` or `")}\` of keel/stage: export const ${name} = [${by[0]}(…)]`
    })
  }
  return found as Extensions
})

/** The default export of a module, or another one by its `name`, and its implementations of stages, rewards and losses. */
export const exportsOf = Effect.fnUntraced(function*(path: string, name = "default") {
  const loaded = yield* imported(path)
  const value = loaded[name]
  if (value instanceof Control) {
    const environments = (loaded["environments"] ?? []) as ReadonlyArray<ControlEnvironment>
    return yield* new IsControl({ path, description: value, environments })
  }
  return { value, extensions: yield* extensionsIn(path, loaded) }
})

/** A pipeline or recipe of a module: its default export, or another one by the first of `names`; the next is of an output. */
const fromModule = Effect.fnUntraced(function*(
  path: string,
  names: ReadonlyArray<string>,
  asked: Asked
) {
  const [first, second] = names
  const named = first === undefined ? undefined : yield* exportsOf(path, first)
  const exported = named !== undefined && (Recipe.isRecipe(named.value) || Artifact.isArtifact(named.value))
  const { extensions, value } = exported ? named : yield* exportsOf(path)
  const output = exported ? second : first
  if (Recipe.isRecipe(value)) {
    const { chosen, root } = yield* recipeOf(value, asked, parseValue)
    return { root: yield* part(root, output, path), extensions, chosen }
  }
  if (Artifact.isArtifact(value)) return { root: yield* part(value, output, path), extensions }
  return yield* new BadPipelineFile({
    path,
    problem: value === undefined ? "it has no default export" : "its default export is not a pipeline",
    remedy: "End the file with: export default Evaluate.make(…)"
  })
})

/** `value` as JSON when it is JSON, else as text: `--set ppo.beta=0.1 --set pretrain.family=tales`. */
const parseValue = (value: string): Schema.Json => {
  try {
    return JSON.parse(value) as Schema.Json
  } catch {
    return value
  }
}

const cut = (text: string): string => text.length <= 200 ? text : `${text.slice(0, 200)}…`

/** `name=value` of `--set`. */
export const assigned = Effect.fnUntraced(function*(override: string, example: string) {
  const equals = override.indexOf("=")
  if (equals >= 0) return { name: override.slice(0, equals), value: parseValue(override.slice(equals + 1)) }
  return yield* new BadPipelineFile({
    path: `--set ${cut(override)}`,
    problem: "it has no =",
    remedy: `For example: --set ${example}`
  })
})

const none: Overridden = { set: [], base: Option.none(), take: [], choose: [], shrink: false, seed: Option.none() }

/** The part of an address before the first colon that follows a file or the name of a recipe, and the parts after it. */
const parts = Effect.fnUntraced(function*(address: string) {
  const fs = yield* FileSystem.FileSystem
  if (yield* fs.exists(address)) return [address] as const
  const [path = "", ...names] = address.split(":")
  return [path, ...names] as const
})

/**
 * The description at an address, without overrides: a recipe's name or a file, with `:OUTPUT`. A `.json` description takes its
 * implementations from outside from `module`.
 */
const read = Effect.fnUntraced(function*(address: string, module: string | null, asked: Asked) {
  const fs = yield* FileSystem.FileSystem
  const [path, ...names] = yield* parts(address)
  if (!(yield* fs.exists(path))) {
    const recipe = known(path)
    if (recipe !== undefined) {
      const { chosen, root } = yield* recipeOf(recipe, asked, parseValue)
      return { path, root: yield* part(root, names[0], path), extensions: {}, chosen }
    }
    return yield* new BadPipelineFile(
      /[./\\]/u.test(path)
        ? { path, problem: "there is no such file", remedy: "Check the path." }
        : { path, problem: "there is no such file, and no recipe of this name", remedy: otherwise(path) }
    )
  }
  yield* Effect.catchTag(
    sizeOf(path, 64 * MiB),
    "Unreadable",
    ({ problem, remedy }) => new BadPipelineFile({ path, problem, remedy })
  )
  if (!path.endsWith(".json")) return { path, ...(yield* fromModule(path, names, asked)) }
  const extensions: Extensions = module === null ? {} : yield* extensionsIn(module, yield* imported(module))
  const definitions = (extensions.stages ?? []).map(({ definition }) => definition)
  const root = yield* Effect.mapError(
    Effect.fromResult(Pipeline.fromJson(yield* fs.readFileString(path), definitions)),
    ({ problems }) => new Pipeline.BadDescription({ problems, path })
  )
  return { path, root: yield* part(root, names[0], path), extensions }
})

/** Reads the description at an address and applies the overrides. It does not check the result. */
export const pipelineOf = Effect.fn("pipelineOf")(function*(
  address: string,
  { base, choose, seed, set, shrink, take }: Overridden = none,
  module: string | null = null
) {
  const { extensions, path, root: described, ...recipe } = yield* read(address, module, { take, choose })
  const [asked] = [...take.map((one) => `--take ${cut(one)}`), ...choose.map((one) => `--choose ${cut(one)}`)]
  if (asked !== undefined && recipe.chosen === undefined) {
    return yield* new BadPipelineFile({
      path: asked,
      problem: `${path} is no recipe, and leaves nothing open`,
      remedy: "For a parameter: --set ppo.beta=0.1"
    })
  }
  if (shrink && take.length > 0) {
    return yield* new BadPipelineFile({
      path: asked!,
      problem: "a small copy is of tiny models and toy data, and takes no input",
      remedy: "Leave out --shrink or --take."
    })
  }
  let root = described
  if (shrink) {
    const small = Shrink.shrink(root)
    root = small.root
    yield* Console.error(
      ["A small copy: tiny models, toy data, few steps. In place of what was published:", ...small.said].join("\n  ")
    )
  }
  if (Option.isSome(seed)) root = Pipeline.seed(root, seed.value)
  const overrides = [...Option.match(base, { onNone: () => [], onSome: (dir) => [`checkpoint.path=${dir}`] }), ...set]
  for (const override of overrides) {
    const { name, value } = yield* assigned(override, "ppo.beta=0.1")
    const changed = Pipeline.set(root, name, value)
    if (Result.isFailure(changed)) {
      return yield* new BadPipelineFile({
        path: `--set ${cut(override)}`,
        problem: changed.failure,
        remedy: "For example: --set ppo.beta=0.1"
      })
    }
    root = changed.success
  }
  const outside = Object.values(extensions).some((given) => given.length > 0)
  const from = outside ? resolve(path.endsWith(".json") ? module! : path) : null
  return { root, extensions, module: from, ...recipe } satisfies PipelineFile as PipelineFile
})
