import { asBatch, sequences, storiesShape, workloads } from "../src/bench/models.ts"
import { transformer } from "../src/engine/transformer/transformer.ts"
import { trlUpdate } from "../src/bench/postTraining.ts"
const name = process.argv[2]!, which = process.argv[3]!
const { native } = await import("../src/tensor/native/native.ts")
const { wasm } = await import("../src/tensor/wasm/wasm.ts")
const backend = name === "native" ? await native({}) : await wasm({})
const engine = transformer(backend)
let weights, rows: any[]
if (which === "sft") {
  weights = storiesShape()
  rows = asBatch(sequences(16, () => 256, 512, "x")) as any
} else {
  const w = (workloads as any)[which]()
  weights = w.weights
  rows = asBatch(w.batches[0]!) as any
}
const N = rows.reduce((s: number, r: any) => s + r.completion.length, 0)
const len = rows[0].completion.length + 1
const policies = new Map<number, any>()
const parts = process.argv[4]
  ? process.argv[4].split(",").map(Number)
  : [rows.length, rows.length / 2, rows.length / 4, rows.length / 8]
for (const p of parts) policies.set(p, engine.policy(weights))
const times = new Map(parts.map((p) => [p, [] as number[]]))
for (let round = 0; round < 12; round++) {
  for (const p of parts) {
    const policy = policies.get(p)
    const t0 = performance.now()
    for (let i = 0; i < rows.length; i += p) {
      const { logps } = policy.logprobs(rows.slice(i, i + p), { retain: true })
      policy.backward(new Float64Array(logps.length).fill(-1 / N))
    }
    policy.step(trlUpdate)
    times.get(p)!.push(performance.now() - t0)
  }
}
for (const [p, t] of times) {
  t.sort((a, b) => a - b)
  console.log(name, which, "tokens", p * len, "median", t[6]!.toFixed(1), "min", t[0]!.toFixed(1))
}
backend.dispose()
