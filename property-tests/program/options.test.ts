import { Effect } from "effect"
import { assert, it } from "vitest"
import { Pretrain, Source } from "../../dsl/index.ts"
import { generate, plan, run, score, simulate } from "../../src/program/index.ts"

const root = Pretrain.make({ text: Source.text(Source.tales({ count: 8 })) }, {
  family: "tales",
  model: { dim: 8, layers: 1, heads: 1, kvHeads: 1, ffn: 8, context: 16 },
  steps: 1,
  batchSize: 1,
  learningRate: 1e-3
})

it.each<[string, Effect.Effect<unknown, Error>, string, string]>([
  ["run", run(root, { bakend: "wasm" } as never), "bakend", "backend"],
  ["simulate", simulate(root, { learningRateScaling: 1 } as never), "learningRateScaling", "learningRateScale"],
  ["plan", plan(root, { rehearsd: 3 } as never), "rehearsd", "rehearsed"],
  ["generate", generate("nowhere", ["a"], { temprature: 0 } as never), "temprature", "temperature"],
  ["score", score("nowhere", [], { devcie: "cpu" } as never), "devcie", "device"]
])("%s refuses an option that it does not have, with the nearest name", async (of, effect, wrong, right) => {
  const { message } = await Effect.runPromise(Effect.flip(effect))
  assert.match(message, new RegExp(`${of}: there is no option ${wrong}, only .*: ${right} was meant\\?$`, "u"))
})
