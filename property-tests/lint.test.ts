/**
 * The fences of .oxlintrc.json: who may import whom (DESIGN's table). Each case is written as a file into a copy of the folder
 * tree under a temporary folder with the repository's configuration, and oxlint runs over all of them at once.
 *
 * The repository itself keeps to the fences because `npm run lint` passes; that the fences stand at all is shown here.
 */
import { execFileSync } from "node:child_process"
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll, assert, beforeAll, describe, it } from "vitest"

const repository = fileURLToPath(new URL("../", import.meta.url))

/** Rooms that rest on a room, and that it may not know. */
const above: Readonly<Record<string, ReadonlyArray<string>>> = {
  data: ["rewards", "store", "ledger", "training", "report"],
  rewards: ["store", "ledger", "training", "report"],
  store: ["rewards", "ledger", "training", "report"],
  ledger: ["rewards", "training", "report"]
}

/** Where the importing file stands, what it may import and what it may not. */
const fences: ReadonlyArray<
  { readonly from: string; readonly may: ReadonlyArray<string>; readonly never: ReadonlyArray<string> }
> = [
  {
    from: "dsl/Case.ts",
    may: ["effect/Schema", "effect/Effect", "effect/Result", "./Kl.ts", "./stages/Sft.ts"],
    never: [
      "../src/losses/dpo.ts",
      "../src/engine/engine.ts",
      "./../src/losses/dpo.ts",
      "./stages/../../src/losses/dpo.ts",
      "../examples/01-instruct-gpt.ts",
      "node:fs",
      "fast-check",
      "effect/crypto",
      "@effect/platform-node",
      "@effect/platform-node/NodeFileSystem",
      "effect/FileSystem",
      "effect/Graph"
    ]
  },
  {
    from: "dsl/stages/Case.ts",
    may: ["effect/Schema", "../Wires.ts", "./Sft.ts"],
    never: [
      "../../src/losses/dpo.ts",
      "../../src/stages/sft.ts",
      "./../../src/losses/dpo.ts",
      "node:crypto",
      "effect/Graph",
      "effect/cli/Command"
    ]
  },
  {
    from: "src/sandbox/case.ts",
    may: ["node:fs", "effect/Effect", "./root.ts"],
    never: ["../rewards/judge.ts", "../../dsl/Verifier.ts", "../data/rows.ts"]
  },
  {
    from: "src/losses/case.ts",
    may: ["./kl.ts"],
    never: [
      "effect/Effect",
      "../../dsl/Kl.ts",
      "../tensor/backend.ts",
      "../engine/engine.ts",
      "../sampling/random.ts",
      "node:fs",
      "./../engine/engine.ts"
    ]
  },
  {
    from: "src/optim/case.ts",
    may: ["./schedule.ts"],
    never: ["effect/Effect", "../losses/kl.ts", "../tensor/backend.ts", "../../dsl/Training.ts"]
  },
  {
    from: "src/evaluation/case.ts",
    may: ["./vote.ts", "../ledger/interval.ts", "../ledger/incompleteBeta.ts", "../sampling/random.ts"],
    never: ["effect/Effect", "../ledger/chain.ts", "../losses/kl.ts", "../../dsl/Kl.ts", "../stages/evaluate.ts"]
  },
  {
    from: "src/merging/case.ts",
    may: ["./linear.ts", "../engine/engine.ts", "../sampling/random.ts"],
    never: [
      "effect/Effect",
      "../../dsl/MergeMethod.ts",
      "../losses/kl.ts",
      "../tensor/backend.ts",
      "../stages/merge.ts",
      "./../losses/kl.ts"
    ]
  },
  {
    from: "src/tensor/case.ts",
    may: ["./backend.ts", "./reference/linear.ts", "node:os"],
    never: ["../model/config.ts", "../engine/engine.ts", "../../dsl/Kl.ts", "./../sampling/random.ts", "effect/Effect"]
  },
  {
    from: "src/tensor/wasm/case.ts",
    may: [
      "../compiled/machine.ts",
      "koffi",
      "../backend.ts",
      "./linearMemory.ts",
      "node:worker_threads",
      "@yowasp/clang"
    ],
    never: [
      "../../model/config.ts",
      "../../stages/sft.ts",
      "../../../dsl/Kl.ts",
      "@tensorflow/tfjs-core",
      "effect/Effect"
    ]
  },
  {
    from: "src/tensor/tfjs/case.ts",
    may: ["@tensorflow/tfjs-core", "../backend.ts", "./memory.ts", "node:module"],
    never: ["../wasm/wasm.ts", "../../model/config.ts", "../../../dsl/Kl.ts", "@yowasp/clang", "effect/Effect"]
  },
  {
    from: "src/tensor/torch/case.ts",
    may: ["koffi", "./abi.ts", "../backend.ts", "../compiled/machine.ts", "node:child_process"],
    never: ["../../model/config.ts", "../../engine/engine.ts", "../../../dsl/Errors.ts", "effect/Effect"]
  },
  {
    from: "src/model/case.ts",
    may: ["effect/Effect", "./config.ts", "../tensor/backend.ts", "../sampling/random.ts", "@huggingface/jinja"],
    never: [
      "../../dsl/Kl.ts",
      "../stages/sft.ts",
      "../engine/engine.ts",
      "../tensor/reference.ts",
      "../tensor/wasm/wasm.ts",
      "../losses/kl.ts"
    ]
  },
  {
    from: "src/engine/case.ts",
    may: ["effect/Effect", "./engine.ts", "../sampling/random.ts", "../model/config.ts", "../tensor/backend.ts"],
    never: ["../../dsl/Kl.ts", "../stages/sft.ts", "../tensor/reference.ts", "./tabular/tabular.ts", "../losses/kl.ts"]
  },
  {
    from: "src/engine/transformer/case.ts",
    may: [
      "../engine.ts",
      "./layout.ts",
      "../../model/config.ts",
      "../../sampling/draw.ts",
      "../../optim/adamw.ts",
      "../../tensor/backend.ts"
    ],
    never: [
      "../../../dsl/Kl.ts",
      "../../stages/sft.ts",
      "../../tensor/reference.ts",
      "../../tensor/wasm/wasm.ts",
      "../../losses/kl.ts",
      "../tabular/tree.ts"
    ]
  },
  {
    from: "src/stages/case.ts",
    may: [
      "effect/Effect",
      "../../dsl/Errors.ts",
      "../../dsl/stages/Sft.ts",
      "../losses/kl.ts",
      "../merging/linear.ts",
      "../training/loop.ts",
      "../engine/engine.ts",
      "../engine/current.ts",
      "../sampling/random.ts",
      "../rewards/judge.ts",
      "../data/rows.ts",
      "../store/store.ts",
      "../ledger/measure.ts"
    ],
    never: [
      "./sft.ts",
      "../stages/sft.ts",
      "../training/../stages/sft.ts",
      "../interpreters/run.ts",
      "../tensor/backend.ts",
      "../engine/tabular/tabular.ts",
      "../engine/transformer/transformer.ts",
      "../cli/main.js"
    ]
  },
  {
    from: "src/interpreters/check.ts",
    may: ["effect/Effect", "../../dsl/Pipeline.ts", "../../dsl/stages/Evaluate.ts", "./capsOf.ts"],
    never: [
      "../stages/sft.ts",
      "../engine/engine.ts",
      "../store/store.ts",
      "./execute.ts",
      "../tensor/backend.ts",
      "node:fs"
    ]
  },
  {
    from: "src/interpreters/case.ts",
    may: [
      "effect/Effect",
      "../../dsl/Pipeline.ts",
      "../stages/sft.ts",
      "../engine/tabular/tabular.ts",
      "./check.ts",
      "../store/store.ts"
    ],
    never: [
      "../tensor/reference.ts",
      "../tensor/wasm/wasm.ts",
      "../losses/kl.ts",
      "../optim/adamw.ts",
      "../planning/plan.ts",
      "../program/run.ts",
      "../cli/main.js"
    ]
  },
  {
    from: "src/outside/case.ts",
    may: [
      "effect/Effect",
      "./implementation.ts",
      "../../dsl/Definition.ts",
      "../losses/loss.ts",
      "../training/loop.ts",
      "../engine/engine.ts",
      "../rewards/judge.ts",
      "../data/rows.ts",
      "../store/store.ts"
    ],
    never: [
      "../stages/sft.ts",
      "../interpreters/run.ts",
      "../tensor/backend.ts",
      "../engine/tabular/tabular.ts",
      "../cli/main.js",
      "fast-check"
    ]
  },
  {
    from: "src/testing/case.ts",
    may: [
      "effect/Effect",
      "fast-check",
      "node:assert/strict",
      "../../dsl/stages/Sft.ts",
      "../interpreters/simulate.ts",
      "../engine/tabular/exact.ts",
      "../losses/kl.ts"
    ],
    never: ["vitest", "../tensor/reference.ts", "../program/run.ts", "../cli/main.js", "../../property-tests/run.ts"]
  },
  {
    from: "src/control/case.ts",
    may: ["./network.ts", "../../dsl/Control.ts", "../losses/ppo.ts", "../optim/adamw.ts", "../sampling/random.ts"],
    never: [
      "effect/Effect",
      "../../dsl/Kl.ts",
      "../engine/engine.ts",
      "../stages/ppo.ts",
      "../tensor/backend.ts",
      "node:fs"
    ]
  },
  {
    from: "src/bench/case.ts",
    may: [
      "effect/Effect",
      "node:child_process",
      "./statistics.ts",
      "../engine/engine.ts",
      "../model/config.ts",
      "../sampling/random.ts",
      "../losses/crossEntropy.ts",
      "../optim/adamw.ts",
      "../tensor/backend.ts"
    ],
    never: [
      "../tensor/native/native.ts",
      "../tensor/wasm/wasm.ts",
      "../tensor/reference.ts",
      "../engine/transformer/transformer.ts",
      "../stages/sft.ts",
      "../interpreters/run.ts",
      "../program/backend.ts",
      "../../dsl/Kl.ts",
      "./../tensor/wasm/wasm.ts"
    ]
  },
  {
    from: "src/cli/case.ts",
    may: [
      "effect/Effect",
      "../interpreters/run.ts",
      "../../dsl/Pipeline.ts",
      "../store/store.ts",
      "../program/run.ts",
      "../bench/bench.ts"
    ],
    never: ["../losses/kl.ts", "../tensor/backend.ts", "../tensor/wasm/wasm.ts"]
  },
  {
    from: "src/program/backend.ts",
    may: ["../tensor/wasm/wasm.ts", "../tensor/reference.ts", "../engine/transformer/transformer.ts"],
    never: ["../losses/kl.ts", "../cli/run.ts"]
  },
  {
    from: "src/program/case.ts",
    may: ["effect/Effect", "./backend.ts", "../planning/plan.ts", "../interpreters/run.ts", "../bench/profile.ts"],
    never: ["../losses/kl.ts", "../tensor/backend.ts", "../tensor/wasm/wasm.ts", "../cli/run.ts"]
  },
  {
    from: "examples/00-case.ts",
    may: ["../dsl/index.ts", "../src/interpreters/simulate.ts", "effect"],
    never: ["../src/losses/kl.ts", "../src/tensor/reference.ts"]
  },
  {
    from: "src/planning/case.ts",
    may: [
      "effect/Effect",
      "./plan.ts",
      "./cost/rates.ts",
      "../interpreters/execute.ts",
      "../engine/transformer/transformer.ts",
      "../tensor/backend.ts",
      "../tensor/counting/backend.ts",
      "../training/rehearsal.ts",
      "../../dsl/stages/Sft.ts"
    ],
    never: [
      "../stages/sft.ts",
      "../losses/kl.ts",
      "../tensor/wasm/wasm.ts",
      "../tensor/reference.ts",
      "../program/run.ts",
      "../cli/run.ts"
    ]
  },
  ...["data", "doctor", "ledger", "report", "rewards", "sampling", "store", "training"].map((folder) => ({
    from: `src/${folder}/case.ts`,
    may: [
      "effect/Effect",
      "./case.ts",
      "../engine/engine.ts",
      "../tensor/backend.ts",
      "../../dsl/Errors.ts",
      "../../dsl/stages/Sft.ts"
    ],
    never: [
      "../stages/sft.ts",
      "../interpreters/run.ts",
      "../planning/plan.ts",
      "../program/run.ts",
      "../tensor/wasm/wasm.ts",
      "../cli/main.js",
      ...(above[folder] ?? []).map((room) => `../${room}/case.ts`)
    ]
  }))
]

/** A specifier in the forms in which one module reaches another. */
const forms = (of: string): ReadonlyArray<string> => [
  `import { x } from "${of}"`,
  `import type { X } from "${of}"`,
  `export { x } from "${of}"`,
  `export * from "${of}"`,
  `const x = await import("${of}")`
]

interface Case {
  readonly from: string
  readonly of: string
  readonly code: string
  readonly refused: boolean
  /** The number of the copy of the tree that it stands in: several cases have the same path. */
  readonly copy: string
}

const cases: ReadonlyArray<Case> = fences.flatMap(({ from, may, never }) => [
  ...may.flatMap((of) => forms(of).map((code) => ({ from, of, code, refused: false }))),
  // All of effect takes a tenth of a second to load; what we load is single modules of it.
  ...[...never, ...(from.startsWith("examples") ? [] : ["effect"])].flatMap((of) =>
    forms(of).map((code) => ({ from, of, code, refused: true }))
  )
]).map((one, i) => ({ ...one, copy: `case-${i}` }))

interface Diagnostic {
  readonly code: string
  readonly filename: string
  readonly message: string
}

describe("import fences", () => {
  let root: string
  let found: ReadonlyArray<Diagnostic>

  beforeAll(() => {
    root = mkdtempSync(join(tmpdir(), "keel-fences-"))
    // Each case is a folder with the configuration at its root, as the repository has: the globs of a fence start there.
    for (const { code, copy, from } of cases) {
      const file = join(root, copy, from)
      mkdirSync(dirname(file), { recursive: true })
      copyFileSync(join(repository, ".oxlintrc.json"), join(root, copy, ".oxlintrc.json"))
      writeFileSync(file, `${code}\n`)
    }
    found = lint(root)
  })
  afterAll(() => rmSync(root, { recursive: true, force: true }))

  const lint = (folder: string): ReadonlyArray<Diagnostic> => {
    let output: string
    try {
      output = execFileSync(
        process.execPath,
        [join(repository, "node_modules/oxlint/bin/oxlint"), "--format", "json", "."],
        { cwd: folder, encoding: "utf8", maxBuffer: 2 ** 26, stdio: ["ignore", "pipe", "pipe"] }
      )
    } catch (error) {
      output = (error as { readonly stdout: string }).stdout
    }
    return (JSON.parse(output) as { readonly diagnostics: ReadonlyArray<Diagnostic> }).diagnostics
      .filter(({ code }) => code === "eslint(no-restricted-imports)")
  }

  const refusedIn = (copy: string): boolean =>
    found.some(({ filename }) => filename.replaceAll("\\", "/").includes(`${copy}/`))

  for (const { from } of fences) {
    it(`of ${from}`, () => {
      const own = cases.filter((one) => one.from === from)
      assert.isAbove(own.filter(({ refused }) => refused).length, 0)
      assert.isAbove(own.filter(({ refused }) => !refused).length, 0)
      const wrong = own.filter(({ copy, refused }) => refusedIn(copy) !== refused)
      assert.deepStrictEqual(wrong.map(({ code, refused }) => `${refused ? "let through" : "refused"}: ${code}`), [])
    })
  }

  it("are tried for every folder of src: a new one has to say what it may import", () => {
    const tried = new Set(
      fences.map(({ from }) => from.split("/")).filter(([top]) => top === "src").map(([, folder]) => folder)
    )
    const folders = readdirSync(join(repository, "src"), { withFileTypes: true }).filter((entry) => entry.isDirectory())
    assert.deepStrictEqual(folders.map(({ name }) => name).filter((name) => !tried.has(name)), [])
  })

  it("are errors, and stand in one group of patterns each", () => {
    // Comments out: the file is JSON with comments.
    const config = JSON.parse(
      readFileSync(join(repository, ".oxlintrc.json"), "utf8").replace(/^\s*\/\/.*$/gm, "")
    ) as {
      readonly overrides: ReadonlyArray<
        { readonly rules: Record<string, [string, { readonly patterns: ReadonlyArray<object> }]> }
      >
    }
    for (const { rules } of config.overrides) {
      const [severity, { patterns }] = rules["no-restricted-imports"]!
      assert.strictEqual(severity, "error")
      assert.lengthOf(patterns, 1)
    }
  })
})
