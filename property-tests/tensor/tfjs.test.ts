import * as tf from "@tensorflow/tfjs-core"
import "@tensorflow/tfjs-backend-cpu"
import { makeBackend } from "../../src/tensor/tfjs/backend.ts"
import { conformance } from "./conformance.ts"
import { float32 } from "./tolerance.ts"

tf.enableProdMode()
await tf.ready()
conformance("tfjs, in plain JavaScript", () => makeBackend(tf), float32)
