/**
 * Walks the closed union: every operation that computes has a description, an implementation, a loss where it trains, an example that
 * uses it, and tests, all found by its stem (`git ls-files | grep -i ppo`).
 */
import { globSync, readFileSync } from "node:fs"
import { basename, join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "vitest"
import { definitions } from "../dsl/Stage.ts"
import { reached } from "./mutation/run.ts"

const repository = fileURLToPath(new URL("../", import.meta.url))
const files = globSync("{dsl,src,examples,property-tests}/**/*.ts", { cwd: repository }).sort()
const textOf = (file: string): string => readFileSync(join(repository, file), "utf8")

/** Operations that the interpreters themselves mean: nothing is computed. */
const structural = new Set(["Input", "Cap", "Outputs", "Source", "Checkpoint"])

/** Stages that train by a formula of another name. */
const borrowed: Readonly<Record<string, string>> = {
  Pretrain: "crossEntropy",
  Sft: "crossEntropy",
  RewardModeling: "bradleyTerry"
}

/** Operations whose implementation stands in a file of another name. */
const implementedIn: Readonly<Record<string, string>> = {
  Ensemble: "src/interpreters/meaning.ts",
  Reward: "src/rewards/composed.ts",
  Mix: "src/stages/data.ts",
  Filter: "src/stages/data.ts",
  Split: "src/stages/data.ts",
  Deduplicate: "src/stages/data.ts",
  Decontaminate: "src/stages/data.ts"
}

/** Operations that are tested together with others. */
const testedIn: Readonly<Record<string, string>> = {
  Pretrain: "property-tests/interpreters/check.test.ts",
  Sft: "property-tests/interpreters/check.test.ts",
  Compare: "property-tests/interpreters/check.test.ts",
  Evaluate: "property-tests/interpreters/check.test.ts",
  OnPolicyDistill: "property-tests/interpreters/distill.test.ts",
  Sample: "property-tests/interpreters/rejectionSampling.test.ts",
  Score: "property-tests/interpreters/rejectionSampling.test.ts",
  Select: "property-tests/interpreters/rejectionSampling.test.ts",
  Pair: "property-tests/interpreters/rejectionSampling.test.ts",
  Difficulty: "property-tests/data/composition.test.ts",
  Mix: "property-tests/dsl/composition.test.ts",
  Filter: "property-tests/dsl/composition.test.ts",
  Split: "property-tests/dsl/composition.test.ts",
  Deduplicate: "property-tests/dsl/composition.test.ts",
  Decontaminate: "property-tests/dsl/composition.test.ts"
}

/** A report of its own, the end of a pipeline; feedback of judges and people, which the examples of recipes are about. */
const withoutExample = new Set(["BestOfN", "Judge"])

const stemOf = (op: string): string => op[0]!.toLowerCase() + op.slice(1)
const has = (path: string): boolean => files.includes(path)
const examples = files.filter((file) => file.startsWith("examples/"))
const tests = files.filter((file) => /^property-tests\/.*\.test\.ts$/u.test(file))

describe.each(Object.values(definitions).filter(({ op }) => !structural.has(op)))("$op", ({ op, schema }) => {
  const stem = stemOf(op)
  const stage = implementedIn[op] ?? `src/stages/${stem}.ts`

  it("has a description and an implementation", () => {
    assert.isTrue(has(`dsl/stages/${op}.ts`), `dsl/stages/${op}.ts`)
    assert.isTrue(has(stage), stage)
    assert.match(textOf(stage), new RegExp(stem, "iu"))
  })

  it("has a loss where it trains: its own, or one that it says it borrows", () => {
    if (!("learningRate" in (schema.fields as object))) return
    const own = borrowed[op] ?? stem
    assert.isTrue(has(`src/losses/${own}.ts`), `src/losses/${own}.ts`)
    assert.isTrue(reached(stage).has(`src/losses/${own}.ts`), `${stage} does not use it`)
    assert.isTrue(tests.some((file) => textOf(file).includes(`src/losses/${own}.ts"`)), `no test imports ${own}`)
  })

  it("has an example that uses it", () => {
    const used = examples.some((file) => new RegExp(`\\b${op}\\.\\w+\\(`, "u").test(textOf(file)))
    assert.isTrue(used || withoutExample.has(op), `no example calls ${op}.make`)
  })

  it("has tests", () => {
    const together = testedIn[op]
    if (together === undefined) {
      assert.isTrue(
        tests.some((file) => basename(file).toLowerCase().startsWith(stem.toLowerCase())),
        `${stem}.test.ts`
      )
    } else {
      assert.isTrue(has(together), together)
      assert.match(textOf(together), new RegExp(stem, "iu"))
    }
  })
})

it("what is listed here exists", () => {
  for (
    const op of [...Object.keys(borrowed), ...Object.keys(testedIn), ...Object.keys(implementedIn), ...withoutExample]
  ) {
    assert.property(definitions, op)
  }
})
