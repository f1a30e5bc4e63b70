import * as tf from "@tensorflow/tfjs-core"
import "@tensorflow/tfjs-backend-cpu"
import { it } from "vitest"
import { makeBackend } from "../../src/tensor/tfjs/backend.ts"
import { NoTfjs, tfjs } from "../../src/tensor/tfjs/tfjs.ts"
import { conformance } from "./conformance.ts"
import { float32 } from "./tolerance.ts"

tf.enableProdMode()
await tf.ready()
// Small blocks, so that attention and head go through several of them.
const blocks = { scores: 2000, logits: 300 }
conformance("tfjs, in plain JavaScript", () => makeBackend(tf, { blocks }), float32, { runs: 8, elements: 20_000 })

/** Why there is no TensorFlow under TensorFlow.js here; one that is installed and does not load is a failure. */
const missing = await tfjs({ threads: 2 }).then(
  (backend) => backend.dispose(),
  (error: unknown) => {
    if (error instanceof NoTfjs && /is not installed/.test(error.message)) return error.message
    throw error
  }
)

if (missing !== undefined) it.skip(`tfjs, on TensorFlow: ${missing}`, () => {})
else conformance("tfjs, on TensorFlow", () => tfjs({ threads: 2 }), float32, { runs: 30, elements: Infinity })
