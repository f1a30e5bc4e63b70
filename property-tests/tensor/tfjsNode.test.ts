import { tfjs } from "../../src/tensor/tfjs/tfjs.ts"
import { conformance } from "./conformance.ts"
import { float32 } from "./tolerance.ts"

conformance("tfjs, on TensorFlow", () => tfjs({ threads: 2 }), float32)
