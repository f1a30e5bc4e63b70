import { Result } from "effect"
import { mkdirSync } from "node:fs"
import { assert, describe, it } from "vitest"
import { parts, selected, unknownParts } from "../../src/bench/parts.ts"
import { listed, oneOf } from "../../src/cli/bench.ts"
import { keel } from "../cli/keel.ts"
import { folders } from "../store/faultyFileSystem.ts"

const folder = folders("bench-options")

describe("options of keel bench", () => {
  it("are lists with commas, repeated or both", () => {
    assert.deepStrictEqual(listed(["a", "b, c", "a,", ""]), ["a", "b", "c"])
    assert.deepStrictEqual(listed([]), [])
  })

  it("are known values or name those that are", () => {
    assert.deepStrictEqual(Result.getOrThrow(oneOf("--peer", ["trl,torch"], ["torch", "trl"])), ["trl", "torch"])
    const wrong = oneOf("--peer", ["trl", "jax"], ["torch", "trl"])
    assert.isTrue(Result.isFailure(wrong))
    if (Result.isFailure(wrong)) assert.strictEqual(wrong.failure.message, "--peer jax: it is one of torch, trl")
  })

  it("choose parts by name, or by the word it begins with", () => {
    assert.deepStrictEqual(selected([]), parts)
    assert.deepStrictEqual(selected(["train"]), ["train-tiny", "train-mid"])
    assert.deepStrictEqual(selected(["gemm", "train-mid"]), ["train-mid", "gemm"])
    assert.deepStrictEqual(unknownParts(["train", "tr", "mid", "gemm"]), ["tr", "mid"])
  })

  it("that make no sense are refused before anything runs", async () => {
    const cases: ReadonlyArray<readonly [args: ReadonlyArray<string>, line: RegExp]> = [
      [["--backend", "cuda"], /^BadBenchOption: --backend cuda: it is one of auto, /],
      [
        ["--only", "everything", "--peer", "none"],
        /^BadBenchOption: --only everything: it is one of rates, train-tiny, /
      ]
    ]
    await Promise.all(cases.map(async ([args, line]) => {
      const at = folder()
      mkdirSync(at)
      const { code, stderr, stdout } = await keel(["bench", ...args], at)
      assert.strictEqual(code, 1)
      assert.strictEqual(stdout, "")
      assert.isTrue(stderr.trim().split("\n").some((said) => line.test(said)), stderr)
    }))
  })
})
