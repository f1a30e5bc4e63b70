/**
 * LoRA adapters in the layout of PEFT: `adapter_config.json` and `adapter_model.safetensors`, which
 * `PeftModel.from_pretrained(base, folder)` reads, and adapters that PEFT wrote merged into the weights of their base.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Schema from "effect/Schema"
import { join } from "node:path"
import type { Adapter, TensorData, Tensors, Weights } from "./weights.ts"
import { attempt, BadCheckpoint } from "./BadCheckpoint.ts"
import { load as loadModel, read } from "./checkpoint.ts"
import { save as saveFolder, whereIs } from "./folder.ts"
import { local } from "./hub.ts"
import { parseJson } from "./json.ts"
import { bytesOf, MiB, textOf } from "./regularFile.ts"
import { decode, encode } from "./safetensors.ts"

const configFile = "adapter_config.json"
const weightsFile = "adapter_model.safetensors"
const prefix = "base_model.model."

/** The files that `load` reads, by their names in the folder. */
export const filesOf: ReadonlyArray<string> = [configFile, weightsFile]

/** The fields that decide the computation of an adapter; fields of other methods than plain LoRA must be off. */
const Config = Schema.Struct({
  peft_type: Schema.Literal("LORA"),
  r: Schema.Int.check(Schema.isGreaterThan(0)),
  lora_alpha: Schema.Finite,
  target_modules: Schema.Array(Schema.String),
  bias: Schema.optionalKey(Schema.Literal("none")),
  use_rslora: Schema.optionalKey(Schema.Literal(false)),
  use_dora: Schema.optionalKey(Schema.Literal(false)),
  fan_in_fan_out: Schema.optionalKey(Schema.Literal(false))
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

const bad = (path: string, problem: string) =>
  new BadCheckpoint({ path, problem, remedy: "Point at the folder of a plain LoRA adapter that PEFT saved." })

const oneLine = (error: unknown): string => (error as Error).message.replace(/\s+/gu, " ")

/** Reads the configuration of a plain LoRA adapter, and whether its weights exist, without the weights. */
export const config = Effect.fnUntraced(function*(at: string) {
  const fs = yield* FileSystem.FileSystem
  const dir = (yield* whereIs(local(at))) ?? at
  for (const file of [configFile, weightsFile]) {
    if (!(yield* fs.exists(join(dir, file)))) return yield* bad(dir, `it has no ${file}`)
  }
  const path = join(dir, configFile)
  const text = yield* read(textOf(path, MiB), path)
  const json = yield* Effect.try({
    try: () => parseJson(text),
    catch: (error) => bad(path, `not JSON (${oneLine(error)})`)
  })
  return yield* Effect.mapError(Schema.decodeUnknownEffect(Config)(json), (error) => bad(path, oneLine(error)))
})

/** Reads an adapter of plain LoRA. */
export const load = Effect.fnUntraced(function*(dir: string) {
  const { lora_alpha: alpha, r: rank, target_modules: targetModules } = yield* config(dir)
  const at = join((yield* whereIs(local(dir))) ?? dir, weightsFile)
  const bytes = yield* read(bytesOf(at), at)
  const tensors = yield* attempt(() => decode(bytes, join(dir, weightsFile)))
  const pairs = new Map<string, { a: TensorData; b: TensorData }>()
  let head: TensorData | null = null
  for (const [name, tensor] of tensors) {
    const [, module, side] = /^base_model\.model\.(.+)\.lora_([AB])\.weight$/u.exec(name) ?? []
    if (name === `${prefix}score.weight`) head = tensor
    else if (module === undefined) return yield* bad(dir, `${name} is no part of a plain LoRA adapter`)
    else if (side === "A") {
      const b = tensors.get(`${prefix}${module}.lora_B.weight`)
      if (b === undefined) return yield* bad(dir, `${module} has a lora_A and no lora_B`)
      pairs.set(module, { a: tensor, b })
    }
  }
  return { rank, alpha, targetModules, pairs, head }
})

/** W + (α/r) B A in double precision, rounded to float32; throws `BadCheckpoint` for an adapter of another model. */
export const merge = (weights: Weights, { alpha, head, pairs, rank }: Adapter): Weights => {
  const tensors = new Map(weights.tensors)
  for (const [module, { a, b }] of pairs) {
    const name = `${module}.weight`
    const w = tensors.get(name)
    const [outputs, inputs] = [b.shape[0]!, a.shape[1]!]
    if (w?.shape.join() !== [outputs, inputs].join() || a.shape[0] !== rank || b.shape[1] !== rank) {
      throw new BadCheckpoint({
        path: name,
        problem: `the adapter is of a [${outputs}, ${inputs}] matrix, the model has ${
          w === undefined ? "none" : `[${w.shape}]`
        }`,
        remedy: "Take the base model that the adapter was trained on."
      })
    }
    const data = Float32Array.from(w.data)
    for (let o = 0; o < outputs; o++) {
      for (let i = 0; i < inputs; i++) {
        let sum = 0
        for (let k = 0; k < rank; k++) sum += b.data[o * rank + k]! * a.data[k * inputs + i]!
        data[o * inputs + i] = w.data[o * inputs + i]! + alpha / rank * sum
      }
    }
    tensors.set(name, { shape: w.shape, data })
  }
  if (head !== null) tensors.set("score.weight", head)
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
