/** The numbers of `Evaluate` against the completions that it keeps, and the likelihood of a text against the model and other code. */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { Effect, Exit } from "effect"
import { existsSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "vitest"
import { Evaluate, Source, Verifier } from "../../dsl/index.ts"
import { Datasets } from "../../src/data/dataset.ts"
import * as files from "../../src/data/files.ts"
import type { TextRow } from "../../src/data/rows.ts"
import { encodeWindows } from "../../src/data/windows.ts"
import { mcNemar } from "../../src/evaluation/paired.ts"
import { bounded, meanOf } from "../../src/evaluation/scores.ts"
import { passAtK } from "../../src/evaluation/passAtK.ts"
import { problems } from "../../src/interpreters/check.ts"
import { load } from "../../src/model/checkpoint.ts"
import type { Report, Sample } from "../../src/store/report.ts"
import { likelihoods } from "../../src/training/likelihoods.ts"
import { folders } from "../store/faultyFileSystem.ts"
import { engine, folderIn, runs, succeeded, tiny } from "./tiny.ts"

const folder = folders("evaluate")
const { base, held, sft } = tiny()
const text = Source.text(Source.tales({ count: 3, seed: 9 }))

const answered = Source.prompts(Source.tales({ split: "held", count: 4 }))
const judging = [Verifier.pattern("e.*e"), Verifier.noRepetition({ n: 1 })]

let place: string | undefined
const made = async (root: object): Promise<{ report: Report; samples: ReadonlyArray<Sample> }> => {
  place ??= folder()
  const { exit } = succeeded(await runs(root as never, place))
  if (!Exit.isSuccess(exit)) throw new Error("it failed")
  return exit.value as never
}

describe("Evaluate", () => {
  it("reports pass rates, pass@k and comparisons of the completions that it keeps", async () => {
    const { report, samples } = await made(
      Evaluate.make({ initial: base, prompts: answered }, { sft, base }, {
        verifiers: judging,
        completionsPerPrompt: 3,
        passAt: [2, 3],
        maxNewTokens: 6,
        order: ["sft", "base"]
      })
    )
    assert.deepStrictEqual(report.models.map(({ name }) => name), ["sft", "base"])
    const verdicts = (model: string, verifier: string) =>
      samples.filter((one) => one.model === model).map((one) => one.verdicts[verifier]!)
    for (const { name, scores } of report.models) {
      const own = samples.filter(({ model }) => model === name)
      assert.strictEqual(own.length, 4)
      for (const { completions, verdicts } of own) {
        assert.deepStrictEqual(verdicts["Pattern"], completions.map((one) => /e.*e/u.test(one) ? 1 : 0))
      }
      const { mean, pass } = scores!["Pattern"]!
      assert.deepStrictEqual(mean, bounded(verdicts(name, "Pattern").map(meanOf)))
      assert.deepStrictEqual(pass.map(({ k }) => k), [2, 3])
      for (const { k, value } of pass) {
        const exact = meanOf(verdicts(name, "Pattern").map((of) => passAtK(3, of.filter((x) => x === 1).length, k)))
        assert.closeTo(value, exact, 1e-12)
      }
      // Shares have no pass@k, and a text as a whole no answer to vote for.
      assert.deepStrictEqual(scores!["NoRepetition"]!.pass, [])
      assert.isUndefined(scores!["Pattern"]!.majority)
    }
    const [first] = report.paired!
    const [a, b] = ["sft", "base"].map((name) => meanOf(verdicts(name, "Pattern").map(meanOf)))
    assert.deepInclude(first, { from: "sft", to: "base", of: "Pattern", n: 4, mcNemar: null })
    assert.closeTo(first!.value, b! - a!, 1e-12)
  })

  it("answers with one completion as with the first of several, and tests them by McNemar", async () => {
    const options = { verifiers: judging, maxNewTokens: 6 }
    const [one, three] = [
      await made(Evaluate.make({ initial: base, prompts: answered }, { base, sft }, options)),
      await made(
        Evaluate.make({ initial: base, prompts: answered }, { base, sft }, { ...options, completionsPerPrompt: 3 })
      )
    ]
    const firsts = three.samples.map(({ completions }) => completions[0])
    assert.deepStrictEqual(one.samples.map(({ completions }) => completions[0]), firsts)
    const of = (model: string) => one.samples.filter((s) => s.model === model).map((s) => s.verdicts["Pattern"]![0]!)
    assert.deepStrictEqual(one.report.paired![0]!.mcNemar, mcNemar(of("base"), of("sft")))
    assert.isTrue(three.samples.every(({ completions }) => new Set(completions).size > 1))
  })

  it("ends completions with a stop text, which is no part of them", async () => {
    const { report, samples } = await made(
      Evaluate.make({ initial: base, prompts: answered }, { base }, {
        verifiers: judging,
        maxNewTokens: 12,
        stop: ["e"]
      })
    )
    const completions = samples.flatMap(({ completions }) => completions)
    assert.isFalse(completions.some((one) => one.includes("e")))
    assert.isAbove(report.models[0]!.finished, 0)
    assert.isTrue(samples.some(({ ended, tokens }) => ended[0] === true && tokens[0]! < 12))
  })

  it("measures the likelihood of a text as the model gives it, without prompts too", async () => {
    const { report, samples } = await made(Evaluate.make({ initial: base, text }, { base, sft }, { maxNewTokens: 1 }))
    assert.isUndefined(samples)
    const weights = await Effect.runPromise(
      Effect.provide(load(`${await folderIn(place!, sft)}/model`), NodeFileSystem.layer)
    )
    const own = engine()
    const { origin } = text.node.params as unknown as { readonly origin: Source.Origin }
    const { rows } = await Effect.runPromise(
      Effect.flatMap(Datasets, ({ load }) => load("Text", origin, () => "")).pipe(
        Effect.provide(files.layer),
        Effect.provide(NodeFileSystem.layer)
      )
    )
    const policy = own.policy(weights)
    const codec = own.codec(weights)
    let [nats, tokens, bytes] = [0, 0, 0]
    for (const { text } of rows as ReadonlyArray<TextRow>) {
      const ids = codec.encodePrompt(text)
      const { logps } = policy.logprobs([{ prompt: ids.slice(0, 1), completion: ids.slice(1) }])
      nats -= logps.reduce((sum, x) => sum + x, 0)
      tokens += logps.length
      bytes += Buffer.byteLength(text)
    }
    const found = report.models[1]!.text!
    assert.deepInclude(found, { documents: 3, tokens, bytes })
    assert.closeTo(found.natsPerToken.value, nats / tokens, 1e-6)
    assert.closeTo(found.natsPerByte.value, nats / bytes, 1e-6)
    const { of, value } = report.paired![0]!
    assert.strictEqual(of, "nats per byte")
    assert.closeTo(value, found.natsPerByte.value - report.models[0]!.text!.natsPerByte.value, 1e-9)
  })

  it("names the mistakes in its parameters", () => {
    const wrong = (params: object, wires: object = { prompts: held }) =>
      problems(
        Evaluate.make({ initial: base, ...wires } as never, { base } as never, { maxNewTokens: 4, ...params }) as never
      )
        .map(({ problem }) => problem).join("; ")
    assert.include(
      wrong({ completionsPerPrompt: 3, temperature: 0 }),
      "are all the same at temperature 0: raise temperature"
    )
    assert.include(
      wrong({ passAt: [4], completionsPerPrompt: 2, verifiers: judging }),
      "pass@4 needs 4 completions of each prompt"
    )
    assert.include(wrong({ passAt: [1] }), "passAt is about verifiers, and it has none")
    assert.include(wrong({ order: ["other"] }), "order must name each of its models once: base")
    assert.include(wrong({}, {}), "Evaluate.prompts is missing")
    assert.include(
      wrong({ verifiers: judging }, { text }),
      "verifiers and judges read completions, and it has no prompts"
    )
    assert.strictEqual(wrong({}, { text }), "")
  })
})

const [golden, folderOf] = ["models/stories260K/golden.json", "models/stories260K-hf"].map((name) =>
  fileURLToPath(new URL(`../../../shared/data/${name}`, import.meta.url))
) as [string, string]

describe.skipIf(!existsSync(golden))("the likelihood of stories under stories260K", () => {
  it("is that of transformers", async () => {
    const { cases } = JSON.parse(readFileSync(golden, "utf8")) as {
      readonly cases: ReadonlyArray<{ readonly text: string; readonly token_logprobs: ReadonlyArray<number> }>
    }
    const weights = await Effect.runPromise(Effect.provide(load(folderOf), NodeFileSystem.layer))
    const own = engine()
    const policy = own.policy(weights)
    const texts = cases.map(({ text }) => ({ text }))
    const windows = await Effect.runPromise(
      encodeWindows({ stage: "test", codec: own.codec(weights), context: policy.context }, texts)
    )
    const { rows } = await Effect.runPromise(likelihoods(policy, "stories", windows).make(0, cases.length))
    cases.forEach(({ token_logprobs }, i) => {
      assert.strictEqual(rows[i]!.tokens, token_logprobs.length)
      const nats = token_logprobs.reduce((sum, x) => sum - x, 0)
      // Five decimals are kept of each.
      assert.closeTo(rows[i]!.nats, nats, 5e-6 * token_logprobs.length)
    })
  })
})
