import type { Backend } from "../backend.ts"
import { adamw } from "./adamw.ts"
import { attention } from "./attention.ts"
import { cache } from "./cache.ts"
import { elementwise } from "./elementwise.ts"
import { embedding } from "./embedding.ts"
import { gelu } from "./gelu.ts"
import { head } from "./head.ts"
import { linear } from "./linear.ts"
import { makeMemory } from "./memory.ts"
import { norm } from "./norm.ts"
import type { Tfjs } from "./pieces.ts"
import { rope } from "./rope.ts"
import { sample } from "./sample.ts"
import { type SumOfSquares, sumOfSquares as sumOnHost } from "./sumOfSquares.ts"
import { swiglu } from "./swiglu.ts"

/** Scores or logits that exist at a time: as many as fit the caches of a processor, or keep a GPU busy. */
export interface BlockSizes {
  readonly scores: number
  readonly logits: number
}

export interface Options {
  readonly blocks?: BlockSizes
  readonly sumOfSquares?: SumOfSquares
}

const onProcessor: BlockSizes = { scores: 2 ** 20, logits: 2 ** 21 }

/**
 * The kernels as operations of TensorFlow.js, on whatever backend of it is set (`tensorflow` of tfjs-node and tfjs-node-gpu, `cpu`,
 * `wasm`, …), with explicit backward passes: its automatic differentiation is not used. Everything is float32.
 */
export const makeBackend = (tf: Tfjs, { blocks = onProcessor, sumOfSquares = sumOnHost }: Options = {}): Backend => {
  const memory = makeMemory(tf)
  const { release: releaseMasks, ...attend } = attention(tf, memory, blocks.scores)
  const { release: releaseOwners, ...cached } = cache(tf, memory)
  const backend: Backend = {
    name: "tfjs",
    realBytes: 4,
    addressable: Infinity,
    precisions: ["f32"],
    at: (precision) => {
      if (precision !== "f32") memory.check.fail("at", `no precision ${precision}: TensorFlow.js has float32 only`)
      return backend
    },
    ...memory.ofBackend,
    dispose: () => {
      releaseMasks()
      releaseOwners()
      memory.release()
    },
    ...elementwise(tf, memory, sumOfSquares),
    ...embedding(tf, memory),
    ...linear(tf, memory),
    ...norm(tf, memory),
    ...rope(tf, memory),
    ...attend,
    ...cached,
    ...swiglu(tf, memory),
    ...gelu(tf, memory),
    ...head(tf, memory, blocks.logits),
    ...sample(tf, memory),
    ...adamw(tf, memory)
  }
  return backend
}
