import { availableParallelism } from "node:os"
import type { Backend } from "../backend.ts"
import { makeBackend } from "./backend.ts"
import { hushed } from "./hushed.ts"
import { installed, npmName } from "./packages.ts"
import { loadTensorFlow, type TensorFlow } from "./tensorFlow.ts"

/** TensorFlow.js on TensorFlow is not here, or does not load. */
export class NoTfjs extends Error {
  override readonly name = "NoTfjs"
}

/** TensorFlow is loaded once in a process. */
let loaded: TensorFlow | null = null

const load = (threads: number): TensorFlow => {
  const failures: Array<string> = []
  for (const found of installed()) {
    try {
      return hushed(() => loadTensorFlow(found, threads))
    } catch (error) {
      failures.push(`${npmName(found.name)} does not load: ${(error as Error).message.split("\n")[0]!.trim()}`)
    }
  }
  const remedy = "Run `keel backend install tfjs-node-gpu`, or `keel backend install tfjs-node` without a GPU"
  throw new NoTfjs(
    failures.length === 0
      ? `TensorFlow.js is not installed. ${remedy}`
      : `${failures.join("; ")}. ${remedy} to build it anew`
  )
}

/** Enough elements to keep a GPU busy; a processor needs blocks that fit its caches. */
const onGpu = { scores: 2 ** 27, logits: 2 ** 27 }

/**
 * The backend on TensorFlow: `@tensorflow/tfjs-node-gpu` or `@tensorflow/tfjs-node`, whichever is installed (`keel backend install`),
 * on a GPU where TensorFlow finds one. `threads` is read when TensorFlow is first loaded (the cores of the machine unless given).
 * Throws `NoTfjs` where there is none. `makeBackend` takes any other TensorFlow.js.
 */
export const tfjs = async (options?: { readonly threads?: number }): Promise<Backend> => {
  loaded ??= load(options?.threads ?? availableParallelism())
  const { gpu, sumOfSquares, tf } = loaded
  return makeBackend(tf, { sumOfSquares, ...(gpu ? { blocks: onGpu } : {}) })
}
