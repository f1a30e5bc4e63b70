import { assert, describe, it } from "vitest"
import { advice } from "../../src/doctor/advice.ts"
import { enoughMemory, gpusOf, type MachineFacts } from "../../src/doctor/machine.ts"
import { type DoctorReport, text } from "../../src/doctor/text.ts"
import type { Trial } from "../../src/doctor/trial.ts"
import { folders } from "../store/faultyFileSystem.ts"
import { golden, keel } from "./keel.ts"

const folder = folders("doctor")

describe("keel doctor", () => {
  it("says what is here and opens every backend", async () => {
    const { code, stderr, stdout } = await keel(["doctor", "--json"], folder())
    assert.strictEqual(code, 0, stderr)
    const report = JSON.parse(stdout) as DoctorReport
    assert.isTrue(report.machine.node.enough)
    const of = (name: string) => report.backends.find((one) => one.name === name)!
    for (const name of ["wasm", "reference"]) {
      assert.isTrue(of(name).works, of(name).problem ?? "")
      assert.isAbove(of(name).flops!, 0)
    }
    const lines = text(report)
    for (const { name, problem, works } of report.backends) {
      assert.strictEqual(works, problem === null)
      assert.match(
        lines,
        new RegExp(`^  ${name} +${works ? "works: self-test passed in .* s, .* GF/s, f32" : "no: "}`, "m")
      )
    }
  })

  const gib = 2 ** 30
  const machine: MachineFacts = {
    platform: "linux x64",
    node: { version: "v22.3.0", needed: ">=22.19", enough: false },
    cpu: "A processor",
    features: ["avx2", "fma"],
    cores: 8,
    memory: 31.5 * gib,
    gpus: [{ name: "NVIDIA H100 80GB HBM3", memory: 79.6 * gib, driver: "570.86.15" }],
    compilers: { cc: null, "c++": null },
    libtorch: null,
    python: null,
    sandbox: { problem: "the programs unshare are not there", remedy: "Install util-linux." },
    packages: { torch: null, transformers: null, trl: null, tensorflow: null }
  }
  const works: Trial = { name: "wasm", works: true, seconds: 1.25, flops: 93e9, precisions: ["f32"], problem: null }
  const fails = (name: string, problem: string): Trial => ({
    name,
    works: false,
    seconds: 0.01,
    flops: null,
    precisions: [],
    problem
  })

  it("of a bare machine with a GPU, and of one that has everything", () => {
    const bare = [fails("native", "there is no C compiler"), works, fails("tfjs", "TensorFlow.js is not installed")]
    const full: MachineFacts = {
      ...machine,
      node: { ...machine.node, version: "v24.1.0", enough: true },
      gpus: [],
      compilers: { cc: "cc 12.2.0", "c++": "c++ 12.2.0" },
      libtorch: "/opt/torch/lib",
      python: "Python 3.11.7",
      sandbox: null,
      packages: { torch: "2.13.0", transformers: "5.18.0", trl: "1.13.0", tensorflow: "2.21.0" }
    }
    const all = [{ ...works, name: "native", precisions: ["f32", "bf16"] }, works]
    golden(
      "keel-doctor.txt",
      [
        text({ machine, backends: bare, advice: advice(machine, bare) }),
        "",
        text({ machine: full, backends: all, advice: advice(full, all) }),
        ""
      ].join("\n")
    )
  })

  it("reads what nvidia-smi prints", () => {
    assert.deepStrictEqual(gpusOf("NVIDIA H100 80GB HBM3, 81559, 570.86.15\nNVIDIA L4, 23034, 570.86.15"), [
      { name: "NVIDIA H100 80GB HBM3", memory: 81559 * 2 ** 20, driver: "570.86.15" },
      { name: "NVIDIA L4", memory: 23034 * 2 ** 20, driver: "570.86.15" }
    ])
    assert.deepStrictEqual(gpusOf(null), [])
    assert.deepStrictEqual(gpusOf("No devices were found"), [])
  })

  it("compares versions by number", () => {
    const cases = [["v22.19.0", true], ["v22.9.0", false], ["v24.0.0", true], ["v20.20.2", false], [
      "v22.19",
      true
    ]] as const
    for (const [version, expected] of cases) assert.strictEqual(enoughMemory(version, ">=22.19"), expected, version)
  })
})
