import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import type * as PlatformError from "effect/PlatformError"
import { join, resolve } from "node:path"
import type { Tensors, Weights } from "./weights.ts"
import { attempt, BadCheckpoint } from "./BadCheckpoint.ts"
import { configText, modelConfig, parseConfig } from "./config.ts"
import { save as saveFolder, whereIs } from "./folder.ts"
import { fetchIt, isHub, local } from "./hub.ts"
import { matchTensors } from "./matchTensors.ts"
import { bytesOf, MiB, sizeOf, textOf, Unreadable } from "./regularFile.ts"
import { decode, encode, headerEnd, headless, shapes } from "./safetensors.ts"
import { joinShards, parseIndex } from "./shards.ts"

/** Text files that travel with the weights. */
const textFiles: ReadonlyArray<string> = [
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "generation_config.json",
  "chat_template.jinja"
]

const configFile = "config.json"
const weightsFile = "model.safetensors"
const indexFile = "model.safetensors.index.json"

/** Largest sizes of files that are read as a whole, bytes: ten times those of the largest models. */
const most = { config: 16 * MiB, tokenizer: 256 * MiB, index: 64 * MiB }

/** Whether a file of a repository is one that `load` reads, or a shard. */
export const modelFile = (name: string): boolean =>
  [configFile, ...textFiles, indexFile].includes(name) || /^model[^/]*\.safetensors$/u.test(name)

/** Reads a file of a model that is shown as `path`. */
export const read = <A, E, R>(file: Effect.Effect<A, E | Unreadable, R>, path: string) =>
  Effect.mapError(file, (error) => {
    if (!(error instanceof Unreadable)) return error
    return new BadCheckpoint({ path, problem: error.problem, remedy: error.remedy })
  })

/** Files that can run code when they are read. They are never opened. */
const pickles = /\.(bin|pt|pth|ckpt|pkl)$/

/** Reads only the `config.json` of a model folder. */
export const config = (dir: string) => Effect.map(configured(dir), ({ config }) => config)

/** Reads the description of the model in a folder, without its weights. */
export const describe = (dir: string) => Effect.map(open(dir), ({ raw, tokenizer }) => ({ config: raw, tokenizer }))

/** A file of weights: `path` is read, and shown as `shown`. */
type Reading = (
  path: string,
  shown: string
) => Effect.Effect<Tensors, BadCheckpoint | PlatformError.PlatformError, FileSystem.FileSystem>

const whole: Reading = (path, shown) =>
  Effect.flatMap(read(bytesOf(path), shown), (bytes) => attempt(() => decode(bytes, shown)))

const header: Reading = Effect.fnUntraced(function*(path, shown) {
  const size = yield* read(sizeOf(path, Infinity), shown)
  const beginning = yield* read(bytesOf(path, Infinity, headless), shown)
  const end = yield* attempt(() => headerEnd(beginning, size, shown))
  const bytes = yield* read(bytesOf(path, Infinity, end), shown)
  return yield* attempt(() => shapes(bytes, size, shown))
})

const loadBy = (reading: Reading) =>
  Effect.fnUntraced(function*(dir: string) {
    const { config, folder, present, raw, tokenizer } = yield* open(dir)
    const tensors = yield* readTensors(folder, dir, present, reading)
    return { config: raw, tensors: yield* attempt(() => matchTensors(config, tensors, dir)), tokenizer }
  })

/** Reads a Hugging Face model folder of the Llama family: a safetensors file, or several with an index. */
export const load = loadBy(whole)

/** The same without the weights themselves: only the headers of their files are read, so that tensors have shapes and no data. */
export const inspect = loadBy(header)

const placeOf = Effect.fnUntraced(function*(dir: string) {
  const fs = yield* FileSystem.FileSystem
  const folder = local(dir)
  const place = isHub(folder) ? undefined : yield* whereIs(resolve(folder))
  if (place === undefined) {
    return yield* new BadCheckpoint(
      isHub(dir)
        ? { path: dir, problem: "it is not in the cache", remedy: fetchIt }
        : {
          path: resolve(dir),
          problem: "there is no such folder",
          remedy: /^[\w.-]+\/[\w.-]+$/u.test(dir)
            ? `Check the path; a model of the Hugging Face hub is Checkpoint.hub(…, ${JSON.stringify(dir)}).`
            : "Check the path."
        }
    )
  }
  if ((yield* fs.stat(place)).type === "Directory") return place
  return yield* new BadCheckpoint({ path: place, problem: "it is a file", remedy: "Point at the folder it is in." })
})

/** The files that `load` reads of a folder, by their names in it; none where there is no such folder. */
export const filesOf = Effect.fnUntraced(function*(dir: string) {
  const fs = yield* FileSystem.FileSystem
  const folder = yield* placeOf(dir)
  const present = new Set(yield* fs.readDirectory(folder))
  const shards = present.has(weightsFile) || !present.has(indexFile) ? [] : yield* Effect.orElseSucceed(
    Effect.flatMap(
      fs.readFileString(join(folder, indexFile)),
      (text) => attempt(() => [indexFile, ...new Set(parseIndex(text, indexFile).values())])
    ),
    () => [indexFile]
  )
  return [configFile, ...textFiles, weightsFile, ...shards].filter((name) => present.has(name))
}, (effect) => Effect.orElseSucceed(effect, (): ReadonlyArray<string> => []))

const configured = Effect.fnUntraced(function*(dir: string) {
  const fs = yield* FileSystem.FileSystem
  const folder = yield* placeOf(dir)
  const present = new Set(yield* fs.readDirectory(folder))
  if (!present.has(configFile)) {
    return yield* new BadCheckpoint({
      path: dir,
      problem: `it has no ${configFile}`,
      remedy: "Point at a Hugging Face model folder: config.json, model.safetensors, tokenizer.json."
    })
  }
  const path = join(dir, configFile)
  const text = yield* read(textOf(join(folder, configFile), most.config), path)
  const raw = yield* attempt(() => parseConfig(text, path))
  return { folder, present, raw, config: yield* attempt(() => modelConfig(raw, path)) }
})

const open = Effect.fnUntraced(function*(dir: string) {
  const found = yield* configured(dir)
  const names = textFiles.filter((name) => found.present.has(name))
  const texts = yield* Effect.forEach(names, (name) =>
    read(
      textOf(join(found.folder, name), name === "tokenizer.json" ? most.tokenizer : most.config),
      join(dir, name)
    ))
  const tokenizer: ReadonlyMap<string, string> = new Map(names.map((name, i) => [name, texts[i]!]))
  return { ...found, tokenizer }
})

/** Writes a Hugging Face model folder, all or nothing. An existing folder is replaced only when it holds only a checkpoint. */
export const save = (dir: string, weights: Weights) => saveFolder(dir, () => contents(weights), checkpointFile)

const readTensors = Effect.fnUntraced(
  function*(folder: string, shown: string, present: ReadonlySet<string>, reading: Reading) {
    const one = (file: string) => reading(join(folder, file), join(shown, file))
    if (present.has(weightsFile)) return yield* one(weightsFile)
    if (!present.has(indexFile)) return yield* noWeights(shown, present)
    const path = join(shown, indexFile)
    const text = yield* read(textOf(join(folder, indexFile), most.index), path)
    const index = yield* attempt(() => parseIndex(text, path))
    const files = [...new Set(index.values())].sort()
    const absent = files.filter((file) => !present.has(file))
    if (absent.length > 0) {
      const problem = `it names files that are not there: ${absent.join(", ")}`
      return yield* new BadCheckpoint({ path, problem, remedy: "Download the missing files." })
    }
    const shards = new Map<string, Tensors>()
    for (const file of files) shards.set(file, yield* one(file))
    return yield* attempt(() => joinShards(index, shards, path))
  }
)

const noWeights = (path: string, present: ReadonlySet<string>): BadCheckpoint => {
  const pickled = [...present].filter((file) => pickles.test(file))
  return pickled.length === 0
    ? new BadCheckpoint({
      path,
      problem: `it has no ${weightsFile}`,
      remedy: "Download the weights in safetensors format."
    })
    : new BadCheckpoint({
      path,
      problem: `its weights are pickled (${pickled.join(", ")}): such a file can run any code when it is read`,
      remedy: "Convert it once with transformers where you trust it: "
        + "AutoModelForCausalLM.from_pretrained(folder).save_pretrained(folder, safe_serialization=True)."
    })
}

/** File name → bytes of a checkpoint. Equal weights give equal bytes. */
export const contents = function*(weights: Weights): Generator<readonly [string, Uint8Array]> {
  const text = new TextEncoder()
  // In the order of transformers, whether the fields come from a file or from a stage.
  const config = Object.fromEntries(Object.entries(withDtype(weights)).sort(([a], [b]) => a < b ? -1 : 1))
  yield [configFile, text.encode(configText(config))]
  for (const [name, file] of weights.tokenizer) {
    if (!textFiles.includes(name)) throw new RangeError(`${JSON.stringify(name)} is not a file of a checkpoint`)
    yield [name, text.encode(file)]
  }
  yield [weightsFile, encode(weights.tensors)]
}

/** transformers casts the weights to the type that `config.json` names, so it must name the stored type. */
const withDtype = ({ config, tensors }: Weights): Readonly<Record<string, unknown>> => {
  const dtype = [...tensors.values()].some(({ data }) => data instanceof Float64Array) ? "float64" : "float32"
  const named = ["dtype", "torch_dtype"].filter((key) => key in config)
  return { ...config, ...Object.fromEntries((named.length > 0 ? named : ["dtype"]).map((key) => [key, dtype])) }
}

const checkpointFile = (name: string): boolean =>
  name === configFile || name === indexFile || textFiles.includes(name) || name.endsWith(".safetensors")
