/**
 * LoRA adapters in the layout of PEFT: `adapter_config.json` and `adapter_model.safetensors`, which
 * `PeftModel.from_pretrained(base, folder)` reads, and adapters that PEFT wrote merged into the weights of their base.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Schema from "effect/Schema"
import { join } from "node:path"
import type { Adapter, TensorData, Tensors, Weights } from "./weights.ts"
import { adapterFields, scalingOf } from "./adapterConfig.ts"
import { attempt, BadCheckpoint } from "./BadCheckpoint.ts"
import { load as loadModel, read } from "./checkpoint.ts"
import { save as saveFolder, whereIs } from "./folder.ts"
import { local } from "./hub.ts"
import { parseConfig } from "./config.ts"
import { refused } from "./foreignFields.ts"
import { bytesOf, MiB, textOf } from "./regularFile.ts"
import { decode, encode } from "./safetensors.ts"

const configFile = "adapter_config.json"
const weightsFile = "adapter_model.safetensors"
const prefix = "base_model.model."

/** The files that `load` reads, by their names in the folder. */
export const filesOf: ReadonlyArray<string> = [configFile, weightsFile]

const Positive = Schema.Int.check(Schema.isGreaterThan(0))

/** The fields that are read, and their types; `adapterFields` says which others change nothing. */
const Config = Schema.Struct({
  peft_type: Schema.Literal("LORA"),
  r: Positive,
  lora_alpha: Schema.Finite,
  use_rslora: Schema.optionalKey(Schema.Boolean),
  rank_pattern: Schema.optionalKey(Schema.NullOr(Schema.Record(Schema.String, Positive))),
  alpha_pattern: Schema.optionalKey(Schema.NullOr(Schema.Record(Schema.String, Schema.Finite))),
  target_modules: Schema.Union([Schema.Array(Schema.String), Schema.String]),
  exclude_modules: Schema.optionalKey(Schema.Unknown),
  modules_to_save: Schema.optionalKey(Schema.NullOr(Schema.Array(Schema.String)))
})

const configOf = ({ alpha, head, rank, targetModules }: Adapter) => ({
  base_model_name_or_path: null,
  bias: "none",
  fan_in_fan_out: false,
  inference_mode: true,
  lora_alpha: alpha,
  lora_dropout: 0,
  modules_to_save: head === null ? null : ["score"],
  peft_type: "LORA",
  r: rank,
  target_modules: [...targetModules].sort(),
  task_type: head === null ? "CAUSAL_LM" : "SEQ_CLS",
  use_dora: false,
  use_rslora: false
})

const tensorsOf = ({ head, pairs }: Adapter): Tensors =>
  new Map([
    ...[...pairs].flatMap(([module, { a, b }]): ReadonlyArray<readonly [string, TensorData]> => [
      [`${prefix}${module}.lora_A.weight`, a],
      [`${prefix}${module}.lora_B.weight`, b]
    ]),
    ...(head === null ? [] : [[`${prefix}score.weight`, head] as const])
  ])

/** File name → bytes of an adapter. */
export const contents = function*(adapter: Adapter): Generator<readonly [string, Uint8Array]> {
  yield [weightsFile, encode(tensorsOf(adapter))]
  yield [configFile, new TextEncoder().encode(`${JSON.stringify(configOf(adapter), null, 2)}\n`)]
}

/** Writes an adapter, all or nothing. An existing folder is replaced only when it holds only an adapter. */
export const save = (dir: string, adapter: Adapter) =>
  saveFolder(dir, () => contents(adapter), (name) => name === configFile || name === weightsFile)

const bad = (path: string, problem: string, remedy = "Point at the folder of a LoRA adapter that PEFT saved.") =>
  new BadCheckpoint({ path, problem, remedy })

const merged =
  "Merge it with PEFT (model.merge_and_unload().save_pretrained(folder)) and give the merged model as the checkpoint, without an adapter."

const oneLine = (error: unknown): string => (error as Error).message.replace(/\s+/gu, " ")

/** Reads the configuration of a LoRA adapter, and whether its weights exist, without the weights. */
export const config = Effect.fnUntraced(function*(at: string) {
  const fs = yield* FileSystem.FileSystem
  const dir = (yield* whereIs(local(at))) ?? at
  for (const file of [configFile, weightsFile]) {
    if (!(yield* fs.exists(join(dir, file)))) return yield* bad(dir, `it has no ${file}`)
  }
  const path = join(dir, configFile)
  const text = yield* read(textOf(path, MiB), path)
  const json = yield* attempt(() => parseConfig(text, path))
  const found = yield* Effect.mapError(
    Schema.decodeUnknownEffect(Config)(json),
    (error) => bad(path, oneLine(error))
  )
  const problems = refused(adapterFields, json)
  if (problems.length > 0) return yield* bad(path, problems.join("; "), merged)
  yield* Effect.try({
    try: () => scalingOf(found, ""),
    catch: (error) => bad(path, `rank_pattern or alpha_pattern is no regular expression (${oneLine(error)})`, merged)
  })
  return found
})

/** An adapter that was read. */
export interface Read extends Adapter {
  /** Of each module, the rank of its matrices and the factor of their product. */
  readonly scaling: ReadonlyMap<string, { readonly rank: number; readonly scale: number }>
  /** Tensors that take the place of the base's. */
  readonly whole: Tensors
}

/** Reads an adapter of LoRA. */
export const load = Effect.fnUntraced(function*(dir: string) {
  const found = yield* config(dir)
  const at = join((yield* whereIs(local(dir))) ?? dir, weightsFile)
  const bytes = yield* read(bytesOf(at), at)
  const tensors = yield* attempt(() => decode(bytes, join(dir, weightsFile)))
  const pairs = new Map<string, { a: TensorData; b: TensorData }>()
  const whole = new Map<string, TensorData>()
  const saved = found.modules_to_save ?? []
  for (const [name, tensor] of tensors) {
    const [, module, side] = /^base_model\.model\.(.+)\.lora_([AB])\.weight$/u.exec(name) ?? []
    const kept = name.startsWith(prefix) ? name.slice(prefix.length) : ""
    if (kept === "score.weight" || saved.some((one) => `.${kept}`.includes(`.${one}.`))) whole.set(kept, tensor)
    else if (module === undefined) {
      return yield* bad(dir, `${name} is no part of a LoRA adapter of linear modules`, merged)
    } else if (side === "A") {
      const b = tensors.get(`${prefix}${module}.lora_B.weight`)
      if (b === undefined) return yield* bad(dir, `${module} has a lora_A and no lora_B`)
      pairs.set(module, { a: tensor, b })
    }
  }
  const modules = [...pairs.keys()]
  const named = typeof found.target_modules === "string" ? [] : found.target_modules
  const none = found.exclude_modules != null
    ? []
    : named.filter((one) => !modules.some((module) => `.${module}`.endsWith(`.${one}`)))
  if (none.length > 0) return yield* bad(dir, `no tensor is of ${none.join(", ")}, which target_modules names`)
  const targetModules = typeof found.target_modules === "string"
    ? [...new Set(modules.map((module) => module.slice(module.lastIndexOf(".") + 1)))]
    : named
  const { lora_alpha: alpha, r: rank } = found
  const scaling = new Map(modules.map((module) => [module, scalingOf(found, module)]))
  return {
    rank,
    alpha,
    targetModules,
    pairs,
    head: whole.get("score.weight") ?? null,
    scaling,
    whole
  } satisfies Read as Read
})

const other = (path: string, problem: string) =>
  new BadCheckpoint({ path, problem, remedy: "Take the base model that the adapter was trained on." })

const shape = (tensor: TensorData | undefined): string => tensor === undefined ? "none" : `[${tensor.shape.join(", ")}]`

/** W + s B A in double precision, rounded to float32, s = α/r unless it was read; throws `BadCheckpoint` for another model's adapter. */
export const merge = (weights: Weights, adapter: Adapter & Partial<Pick<Read, "scaling" | "whole">>): Weights => {
  const tensors = new Map(weights.tensors)
  for (const [module, { a, b }] of adapter.pairs) {
    const name = `${module}.weight`
    const w = tensors.get(name)
    const [outputs, inputs] = [b.shape[0]!, a.shape[1]!]
    const { rank, scale } = adapter.scaling?.get(module) ?? { rank: adapter.rank, scale: adapter.alpha / adapter.rank }
    if (a.shape[0] !== rank || b.shape[1] !== rank) {
      throw other(
        name,
        `its lora_A is ${shape(a)} and its lora_B ${shape(b)}, and its rank is ${rank} (r, rank_pattern)`
      )
    }
    if (w?.shape.join() !== [outputs, inputs].join()) {
      throw other(name, `the adapter is of a [${outputs}, ${inputs}] matrix, the model has ${shape(w)}`)
    }
    const data = Float32Array.from(w.data)
    for (let o = 0; o < outputs; o++) {
      for (let i = 0; i < inputs; i++) {
        let sum = 0
        for (let k = 0; k < rank; k++) sum += b.data[o * rank + k]! * a.data[k * inputs + i]!
        data[o * inputs + i] = w.data[o * inputs + i]! + scale * sum
      }
    }
    tensors.set(name, { shape: w.shape, data })
  }
  if (adapter.head !== null) tensors.set("score.weight", adapter.head)
  for (const [name, tensor] of adapter.whole ?? []) {
    const w = tensors.get(name)
    const tied = weights.config.tied && /(?:embed_tokens|lm_head)\.weight$/u.test(name)
    if (tied) {
      throw other(name, "the adapter has it as a whole (modules_to_save), and the model's embedding is also its head")
    }
    if (name !== "score.weight" && w?.shape.join() !== tensor.shape.join()) {
      throw other(
        name,
        `the adapter has it as ${shape(tensor)}, the model ${w === undefined ? "has none" : `as ${shape(w)}`}`
      )
    }
    tensors.set(name, tensor)
  }
  return { config: weights.config, tensors, tokenizer: weights.tokenizer }
}

/** A Hugging Face model folder, with its adapter, if any, merged into it. */
export const loadWith = Effect.fnUntraced(function*(dir: string, adapter: string | undefined) {
  const weights = yield* loadModel(dir)
  if (adapter === undefined) return weights
  const read = yield* load(adapter)
  return yield* Effect.mapError(
    attempt(() => merge(weights, read)),
    ({ path, problem, remedy }) => new BadCheckpoint({ path: join(adapter, path), problem, remedy })
  )
})
