import { createHash } from "node:crypto"
import { existsSync, readFileSync } from "node:fs"
import { createRequire } from "node:module"
import { dirname } from "node:path"
import util from "node:util"
import type { T, Tfjs } from "./pieces.ts"
import { bindingOf, digestOf, type Found, npmName } from "./packages.ts"
import type { SumOfSquares } from "./sumOfSquares.ts"

/** The binding of TensorFlow that TensorFlow.js uses; we use it for operations that TensorFlow.js does not name. */
interface Binding {
  readonly executeOp: (
    name: string,
    attributes: ReadonlyArray<{ readonly name: string; readonly type: number; readonly value: number }>,
    inputs: ReadonlyArray<number>,
    outputs: number
  ) => ReadonlyArray<{ readonly id: number }>
  readonly tensorDataSync: (id: number) => Int32Array
  readonly deleteTensor: (id: number) => void
  readonly TF_ATTR_TYPE: number
  readonly TF_FLOAT: number
  readonly TF_INT32: number
  readonly TF_Version: string
}

interface NodeBackend {
  readonly binding: Binding
  readonly isUsingGpuDevice: boolean
  readonly getInputTensorIds: (tensors: ReadonlyArray<T>) => ReadonlyArray<number>
}

/** TensorFlow.js on TensorFlow. */
export interface TensorFlow {
  readonly tf: Tfjs
  readonly version: string
  /** Whether TensorFlow computes on a GPU. */
  readonly gpu: boolean
  readonly sumOfSquares: SumOfSquares
}

/** TensorFlow reads its environment once, when it is loaded. The user's settings stay. */
const environment = (threads: number): Readonly<Record<string, string>> => ({
  TF_NUM_INTRAOP_THREADS: String(threads),
  // Warnings and errors only.
  TF_CPP_MIN_LOG_LEVEL: "2",
  // The same bits from run to run, and products of float32 in float32 (10 bits of mantissa otherwise).
  TF_DETERMINISTIC_OPS: "1",
  NVIDIA_TF32_OVERRIDE: "0",
  TF_FORCE_GPU_ALLOW_GROWTH: "true"
})

/** The packages call two functions of Node: Node 23 removed one and warns of the other. */
const restoreUtil = (): void => {
  const functions = util as unknown as Record<string, unknown>
  functions["isNullOrUndefined"] = (x: unknown) => x === null || x === undefined
  functions["isArray"] = Array.isArray
}

/** DT_DOUBLE of TensorFlow's types.proto. */
const double = 2

/**
 * Σ x² where x is: cast to double precision, half the sum of squares there (`L2Loss`), and the 8 bytes of the result read as two
 * integers, because TensorFlow.js knows no doubles.
 */
const sumOfSquares = (node: NodeBackend) => (x: T): number => {
  const { binding } = node
  const type = (name: string, value: number) => ({ name, type: binding.TF_ATTR_TYPE, value })
  const made: Array<number> = []
  const run = (name: string, attributes: Parameters<Binding["executeOp"]>[1], input: number): number => {
    const { id } = binding.executeOp(name, attributes, [input], 1)[0]!
    made.push(id)
    return id
  }
  try {
    const wide = run("Cast", [type("SrcT", binding.TF_FLOAT), type("DstT", double)], node.getInputTensorIds([x])[0]!)
    const half = run("L2Loss", [type("T", double)], wide)
    const bits = run("Bitcast", [type("T", double), type("type", binding.TF_INT32)], half)
    return 2 * new Float64Array(binding.tensorDataSync(bits).slice().buffer)[0]!
  } finally {
    for (const id of made) binding.deleteTensor(id)
  }
}

/** Throws for a binding that has changed since it was compiled: loading a damaged library ends the process. */
const checkBinding = (packageFolder: string): void => {
  const digest = digestOf(packageFolder)
  if (!existsSync(digest)) return
  const found = createHash("sha256").update(readFileSync(bindingOf(packageFolder))).digest("hex")
  if (found !== readFileSync(digest, "utf8")) throw new Error(`${bindingOf(packageFolder)} is damaged`)
}

/** Loads a package with TensorFlow in it; throws when it does not load. */
export const loadTensorFlow = ({ from, name }: Found, threads: number): TensorFlow => {
  checkBinding(dirname(createRequire(from).resolve(`${npmName(name)}/package.json`)))
  restoreUtil()
  for (const [key, value] of Object.entries(environment(threads))) process.env[key] ??= value
  const tf = createRequire(from)(npmName(name)) as Tfjs
  tf.enableProdMode()
  const node = tf.backend() as unknown as NodeBackend
  return {
    tf,
    version: node.binding.TF_Version,
    gpu: node.isUsingGpuDevice,
    sumOfSquares: sumOfSquares(node)
  }
}
