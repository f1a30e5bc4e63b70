/** The numbers of publications, as RECIPES.md has them, beside the numbers that the recipes hold: `facts/`. */
import { afterAll, assert, describe, it } from "vitest"
import branchTrainMerge from "./facts/branchTrainMerge.ts"
import commandA from "./facts/commandA.ts"
import deepSeekR1 from "./facts/deepSeekR1.ts"
import hhRlhf from "./facts/hhRlhf.ts"
import instructGpt from "./facts/instructGpt.ts"
import llama2Chat from "./facts/llama2Chat.ts"
import llama31 from "./facts/llama31.ts"
import mimo from "./facts/mimo.ts"
import olmo2 from "./facts/olmo2.ts"
import qwen3 from "./facts/qwen3.ts"
import seedThinking from "./facts/seedThinking.ts"
import smolLm3 from "./facts/smolLm3.ts"
import smolTulu from "./facts/smolTulu.ts"
import tulu3 from "./facts/tulu3.ts"
import warp from "./facts/warp.ts"
import zephyr from "./facts/zephyr.ts"

const systems = [
  instructGpt,
  hhRlhf,
  llama2Chat,
  llama31,
  zephyr,
  tulu3,
  olmo2,
  smolTulu,
  smolLm3,
  deepSeekR1,
  qwen3,
  mimo,
  seedThinking,
  commandA,
  branchTrainMerge,
  warp
]

const values = { equal: 0, withReason: 0 }

describe.each(systems)("$system", ({ recipe, sections }) => {
  it.each(Object.entries(sections))("§%s", (_, facts) => {
    for (const [fact, published, read] of facts) {
      const wanted = [published].flat()
      if (typeof read === "string") {
        assert.isNotEmpty(read, fact)
        values.withReason += wanted.length
      } else {
        assert.deepEqual([read(recipe)].flat(), wanted, fact)
        values.equal += wanted.length
      }
    }
  })
})

afterAll(() =>
  console.info(`Published values: ${values.equal} equal to the recipe's, ${values.withReason} with a reason`)
)
