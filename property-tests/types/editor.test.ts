/**
 * What an editor shows of a recipe, by the compiler's own language service: artefacts under the cursor, the names of wires, and wrong
 * wires. The advice of all other type errors is pinned by the `.tst.ts` files beside this one.
 */
import { mkdtempSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import ts from "typescript-6"
import { assert, describe, it } from "vitest"
import { keel } from "../cli/keel.ts"

const folder = fileURLToPath(new URL("../../", import.meta.url))
const file = `${folder}property-tests/types/written.ts`
const { config } = ts.readConfigFile(`${folder}tsconfig.json`, ts.sys.readFile)
const { options } = ts.parseJsonConfigFileContent(config, ts.sys, folder)

const start = `
import { Compare, Distill, Distillation, Dpo, Ensemble, Evaluate, Gold, Grpo, Kl, Merge, MergeMethod } from "../../dsl/index.ts"
import { Mix, Pipeline, Ppo, PreferenceLoss, RewardModeling, Sft, Split } from "../../dsl/index.ts"
import { allowance, base, demonstrations, held, params, ppo, ppoParams, preferences, prompts, reward, sft, waiting } from "./recipe.ts"
const rl = { ...ppoParams, allowance }
const gold = { gold: Gold.tales, maxNewTokens: 4 }
const maybe = [sft].at(-1)
`

let written = start
let version = 0
const service = ts.createLanguageService({
  getScriptFileNames: () => [file],
  getScriptVersion: (path) => path === file ? String(version) : "0",
  getScriptSnapshot: (path) => {
    const text = path === file ? written : ts.sys.readFile(path)
    return text === undefined ? undefined : ts.ScriptSnapshot.fromString(text)
  },
  getCompilationSettings: () => ({ ...options, noUnusedLocals: false, noErrorTruncation: false }),
  getCurrentDirectory: () => folder,
  getDefaultLibFileName: ts.getDefaultLibFilePath,
  fileExists: (path) => path === file || ts.sys.fileExists(path),
  readFile: ts.sys.readFile,
  readDirectory: ts.sys.readDirectory,
  directoryExists: ts.sys.directoryExists,
  getDirectories: ts.sys.getDirectories
})

const write = (text: string): void => {
  written = `${start}${text}\n`
  version++
}

/** The type of an expression as an editor shows it. */
const shown = (expression: string): string => {
  write(`const shown = ${expression}`)
  const { displayParts } = service.getQuickInfoAtPosition(file, written.indexOf("shown ="))!
  return ts.displayPartsToString(displayParts)
}

/** Each error, as the text that it is at and the message. */
const errors = (text: string): ReadonlyArray<readonly [at: string, message: string]> => {
  write(text)
  return service.getSemanticDiagnostics(file).map(({ length, messageText, start }) => [
    written.slice(start, start! + length!),
    ts.flattenDiagnosticMessageText(messageText, "\n")
  ])
}

/** The names offered at ▮. */
const offered = (text: string): ReadonlyArray<string> => {
  write(text.replace("▮", ""))
  const { entries } = service.getCompletionsAtPosition(file, start.length + text.indexOf("▮"), {})!
  return entries.map(({ name }) => name).sort()
}

describe("an artefact under the cursor is one line: kind, family, open inputs, KL allotted, and then the rest", () => {
  const hovers = {
    "prompts": `"Prompts", "", never, 0`,
    "Sft.make({ base, demonstrations }, params)": `"Policy", "tales", never, 0`,
    "Sft.make({ base: waiting, demonstrations }, params)": `"Policy", "tales", "base: BaseModel", 0`,
    "Compare.make({ policy: sft, prompts }, gold)": `"Preferences", "", never, 0`,
    "RewardModeling.make({ init: sft, preferences }, params)": `"RewardModel", "tales", never, 0`,
    "Ensemble.make([reward, reward], { rule: Ensemble.mean })": `"RewardModel", "tales", never, 0`,
    "Ppo.make({ init: ppo, reference: sft, reward, value: reward, prompts, held }, rl)":
      `"Policy", "tales", never, 12000`,
    "Merge.make({ held }, { sft, ppo }, { method: MergeMethod.uniformSoup, maxNewTokens: 4 })":
      `"Policy", "tales", never, 0 | 6000`,
    "Mix.make({ a: demonstrations, b: demonstrations })": `"Demonstrations", "", never, 0`,
    "Pipeline.cap(ppo, { kl: Kl.mnatsPerSequence(8000), from: sft })": `"Policy", "tales", never, 6000`,
    "Evaluate.make({ initial: sft, prompts: held }, { sft, ppo }, gold)": `"Evaluation", "", never, 0 | 6000`,
    "Pipeline.repeat(sft, 2, (base) => Sft.make({ base, demonstrations }, params))": `"Policy", "tales", never, number`
  }
  for (const [expression, type] of Object.entries(hovers)) {
    it(expression, () => {
      const text = shown(expression)
      assert.isTrue(text.startsWith(`const shown: Artifact<${type}, `), text)
      assert.match(text, /^[^\n]{1,160}$/u)
    })
  }
})

describe("the wires of an operation are offered where they are written", () => {
  const offers: Readonly<Record<string, ReadonlyArray<string>>> = {
    "Ppo.make({ ▮ }, rl)": ["held", "init", "pretraining", "prompts", "reference", "reward", "value"],
    "Ppo.make({ ▮ })": ["held", "init", "pretraining", "prompts", "reference", "reward", "value"],
    "Ppo.make({ init: sft, ▮ })": ["held", "pretraining", "prompts", "reference", "reward", "value"],
    "Sft.make({ base, ▮ }, params)": ["demonstrations", "held", "pretraining", "reward", "validation"],
    "Grpo.make({ ▮ })": ["held", "init", "prompts", "reference", "reward"],
    "Dpo.make({ ▮ }, { ...rl, loss: PreferenceLoss.dpo() })": ["held", "init", "preferences", "reference", "reward"],
    "Distill.make({ ▮ })": ["demonstrations", "held", "prompts", "reward", "student", "teacher"],
    "Evaluate.make({ ▮ }, { sft }, gold)": ["initial", "judge", "preferences", "prompts", "reward", "text"],
    "Merge.make({ ▮ }, { sft, ppo }, { method: MergeMethod.uniformSoup, maxNewTokens: 4 })": ["held"],
    "Pipeline.connect(waiting, { ▮ })": ["base"]
  }
  for (const [text, names] of Object.entries(offers)) {
    it(text, () => assert.deepStrictEqual(offered(text), names))
  }
})

describe("a wrong wire is one error, at that wire", () => {
  const needs = "Ppo.reward needs a RewardModel: train one with RewardModeling.make(…), not a"
  const wrong: Readonly<Record<string, readonly [at: string, advice: string]>> = {
    "Ppo.make({ init: sft, reference: sft, reward: Gold.tales, value: reward, prompts, held }, rl)": [
      "reward",
      `${needs} TalesChecker`
    ],
    "Ppo.make({ init: sft, reference: sft, reward: sft, value: reward, prompts, held }, rl)": [
      "reward",
      `${needs} Policy`
    ],
    "Ppo.make({ init: sft, reference: sft, reward: undefined, value: reward, prompts, held }, rl)": [
      "reward",
      `${needs} value that may be undefined`
    ],
    "Ppo.make({ init: sft, reference: sft, reward: 'models/reward', value: reward, prompts, held }, rl)": [
      "reward",
      `${needs} value that is no artefact`
    ],
    "Ppo.make({ init: sft, reference: sft, reward: Ppo, value: reward, prompts, held }, rl)": [
      "reward",
      `${needs} value that is no artefact`
    ],
    "Ppo.make({ init: maybe, reference: sft, reward, value: reward, prompts, held }, rl)": [
      "init",
      "Ppo.init needs the policy to start from, e.g. the output of Sft.make(…), not a value that may be undefined"
    ],
    "Ppo.make({ init: Gold.tales, reference: sft, reward, value: reward, prompts, held }, rl)": [
      "init",
      "Ppo.init needs the policy to start from, e.g. the output of Sft.make(…), not a TalesChecker"
    ],
    "Ppo.make({ init: prompts, reference: sft, reward, value: reward, prompts, held }, rl)": [
      "init",
      "Ppo.init needs the policy to start from, e.g. the output of Sft.make(…), not a Prompts"
    ],
    "Ppo.make({ init: sft, reference: sft, reward, value: reward, prompts, hold: held }, rl)": [
      "hold",
      "Ppo has no wire 'hold'"
    ],
    "RewardModeling.make({ init: sft, preferences: Gold.tales }, params)": [
      "preferences",
      "RewardModeling.preferences needs judged answers, e.g. Compare.make(…), Source.preferences(…) or Source.rankings(…), not a TalesChecker"
    ],
    "Evaluate.make({ initial: sft, prompts: 'held.jsonl' }, { sft }, gold)": [
      "prompts",
      "Evaluate.prompts needs held-out instructions, e.g. Source.prompts(…), not a value that is no artefact"
    ],
    "Evaluate.make({ initial: sft, prompts: held }, { sft, ppo: Gold.tales }, gold)": [
      "ppo",
      "Evaluate.models.ppo needs a policy to report on, not a TalesChecker"
    ],
    "Merge.make({ held }, { sft, x: Gold.tales }, { method: MergeMethod.uniformSoup, maxNewTokens: 4 })": [
      "x",
      "Merge.models.x needs a policy or a reward model to merge, not a TalesChecker"
    ],
    "Ensemble.make([reward, undefined], { rule: Ensemble.mean })": [
      "undefined",
      "Ensemble.members needs reward models, not a value that may be undefined"
    ],
    "Mix.make({ a: demonstrations, b: Gold.tales })": [
      "b",
      "Mix.parts.b needs rows to mix, e.g. Source.demonstrations(…), not a TalesChecker"
    ],
    "Distill.make({ student: sft, teacher: sft, prompts, demonstrations }, { ...params, objective: Distillation.sequenceLevel })":
      ["demonstrations", "Distill has prompts and demonstrations: connect one of them"],
    "Split.make({ of: reward }, { fraction: 0.5 })": [
      "of",
      "Split.of needs rows to split, e.g. Source.prompts(…), not a RewardModel"
    ]
  }
  for (const [text, [at, advice]] of Object.entries(wrong)) {
    it(text, () => {
      const [[place, message] = [], ...others] = errors(text)
      assert.deepStrictEqual(others, [])
      assert.strictEqual(place, at)
      // It begins with the advice where the value is an object, whose type would take hundreds of characters.
      const [first] = message!.split("\n")
      assert.isTrue(
        [`Property '"${advice}"' is missing in type '`, "Type '"].some((begin) => first!.startsWith(begin)) &&
          [`"${advice}"'.`, `'Mistake<"${advice}">'.`].some((end) => first!.endsWith(end)),
        message
      )
    })
  }

  it("two wrong wires are two errors", () => {
    const text = "Ppo.make({ init: reward, reference: sft, reward, value: reward, prompts: demonstrations, held }, rl)"
    assert.deepStrictEqual(errors(text).map(([at]) => at), ["init", "prompts"])
  })

  it("and none where a wire that may be left out is undefined", () => {
    const wires = "init: sft, reference: sft, reward, value: reward, prompts, held, pretraining: undefined"
    assert.deepStrictEqual(errors(`Ppo.make({ ${wires} }, rl)`), [])
  })
})

it("whoever runs it in spite of the compiler is told the same in one line", async () => {
  const cwd = mkdtempSync(join(tmpdir(), "keel-"))
  const wires = "init: sft, reference: sft, reward: Gold.tales, value: reward, prompts, held"
  writeFileSync(
    join(cwd, "wrong.ts"),
    `import { Gold, Kl, Pipeline, Ppo } from "${folder}dsl/index.ts"\n` +
      `import { allowance, held, ppoParams, prompts, reward, sft } from "${folder}property-tests/types/recipe.ts"\n` +
      `const policy = Ppo.make({ ${wires} } as never, { ...ppoParams, allowance })\n` +
      "export default Pipeline.cap(policy, { kl: Kl.mnatsPerSequence(8000), from: sft })\n"
  )
  const { code, stderr } = await keel(["simulate", "wrong.ts"], cwd)
  assert.strictEqual(code, 1)
  assert.match(
    stderr.trim(),
    /^Refused: 1 mistake; nothing was trained or written:\n {2}ppo-[0-9a-f]{8}: Ppo\.reward needs a RewardModel: train one with RewardModeling\.make\(…\), not a TalesChecker$/u
  )
})
