import { wasm } from "../../src/tensor/wasm/wasm.ts"
import { conformance } from "./conformance.ts"
import { sameForAnyThreads } from "./threads.ts"
import { float32 } from "./tolerance.ts"

conformance("wasm, 1 thread", () => wasm({ threads: 1 }), float32)
conformance("wasm, 2 threads", () => wasm({ threads: 2 }), float32)
// For engines without relaxed SIMD: no fused multiply-add.
conformance("wasm plain, 2 threads", () => wasm({ threads: 2, variant: "plain" }), float32)
sameForAnyThreads("wasm", (threads) => wasm({ threads }))
sameForAnyThreads("wasm plain", (threads) => wasm({ threads, variant: "plain" }))
