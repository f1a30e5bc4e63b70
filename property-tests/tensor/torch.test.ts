import { it } from "vitest"
import { NoTorch } from "../../src/tensor/torch/locate.ts"
import { torch } from "../../src/tensor/torch/torch.ts"
import { conformance } from "./conformance.ts"
import { float32 } from "./tolerance.ts"

/** Why there is no libtorch here. */
const missing = await torch({ threads: 1 }).then(
  (backend) => backend.dispose(),
  (error: unknown) => {
    if (error instanceof NoTorch) return error.message
    throw error
  }
)

if (missing !== undefined) it.skip(`torch: ${missing}`, () => {})
else conformance("torch, cpu", () => torch({ threads: 1 }), float32)
