import { assert, describe, it } from "vitest"
import { compare } from "../../src/bench/agreement.ts"
import type { Result } from "../../src/bench/bench.ts"
import type { Case } from "../../src/bench/cases.ts"
import { machineProfile } from "../../src/bench/machine.ts"
import { agreementRows, memoryRows, timings } from "../../src/bench/rows.ts"

const one = (over: Partial<Case>): Case => ({
  name: "train-tiny",
  title: "train step tiny",
  peer: "torch",
  show: "ms",
  amount: 2048,
  flops: 1e9,
  heavy: false,
  open: () => () => {},
  request: {},
  ...over
})

const result: Result = {
  busy: 0,
  versions: { torch: "2.13.0" },
  peaks: new Map([["wasm", 1e11]]),
  measured: [
    {
      one: one({}),
      seconds: new Map([["wasm", [0.04, 0.05, 0.06]], ["torch", [0.08, 0.1, 0.12]]])
    },
    {
      one: one({ name: "gemm", title: "GEMM 16×256×1376", show: "GF/s", amount: 1e9, flops: null }),
      seconds: new Map([["wasm", [0.01, 0.02, 0.04]]])
    }
  ],
  memory: [
    { name: "wasm", resident: { baseline: 2 ** 20, peak: 2 ** 22 } },
    { name: "torch", resident: { baseline: 2 ** 20, peak: 2 ** 23 } }
  ],
  agreement: [
    compare("tiny", "wasm", { losses: [1], ids: [[1]] }, { losses: [1], ids: [[1]] }),
    compare("tiny", "native", { losses: [1.1], ids: [] }, { losses: [1], ids: [] })
  ]
}

describe("the table", () => {
  it("has each backend, the share of its peak, the peer, and the ratio within rounds", () => {
    assert.deepStrictEqual(timings(["wasm", "native"], result), [
      ["", "unit", "wasm", "native", "peer", "wasm ÷ peer", "native ÷ peer"],
      [
        "train step tiny",
        "ms",
        "50.0 (40.0–60.0) 20 %",
        "–",
        "PyTorch 2.13.0 100 (80.0–120)",
        "2.00× (2.00–2.00)",
        "–"
      ],
      ["GEMM 16×256×1376", "GF/s", "50.0 (25.0–100)", "–", "–", "–", "–"]
    ])
  })

  it("has no column of a peer that was not there", () => {
    const alone = { ...result, measured: result.measured.slice(1) }
    assert.deepStrictEqual(timings(["wasm"], alone)[0], ["", "unit", "wasm"])
  })

  it("says how much memory of the peer's, and what disagrees", () => {
    assert.deepStrictEqual(memoryRows(result)[1], ["wasm", "4.0 MiB", "1.0 MiB", "0.50×"])
    assert.deepStrictEqual(agreementRows(result).slice(1), [
      ["tiny", "wasm", "0.0e+0", "0 of 1", "ok"],
      ["tiny", "native", "1.0e-1", "–", "DIFFERENT"]
    ])
  })

  it("becomes rates in the profile of the machine", () => {
    assert.deepStrictEqual(machineProfile(["wasm"], 2, result).backends, {
      wasm: { peak: 100, gemm: { "16×256×1376": 50 }, train: { tiny: 40_960 }, logprobs: {}, generate: {} }
    })
  })
})
