/** Training, sampling and checkpoints on libtorch beside the WASM backend, on every kind of model there is. */
import koffi from "koffi"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import type { Optimizer, Policy, Weights } from "../../../src/engine/engine.ts"
import { transformer, type TransformerEngine } from "../../../src/engine/transformer/transformer.ts"
import type { Backend } from "../../../src/tensor/backend.ts"
import { wasm } from "../../../src/tensor/wasm/wasm.ts"
import { noTorch, openTorch } from "../../tensor/libtorch.ts"
import { largestDifference as gap, randomBatch, randomWeights, training, variants } from "./tinyModels.ts"

/** A larger eps than usual: AdamW would turn a gradient that is nothing but rounding into a whole step. */
const update = { ...training, eps: 1e-3 }

/** Three batches of rows of several lengths, round and round. */
const batchOf = (n: number) => randomBatch([[2, 5], [1, 9], [3, 4], [3, 4], [6, 2]], `torch/${n % 3}`)

/** A step of plain language modelling; its loss, nats per token. */
const step = (policy: Policy, seed: number): number => {
  const { logps } = policy.logprobs(batchOf(seed), { retain: true })
  policy.backward(new Float64Array(logps.length).fill(-1 / logps.length))
  policy.step(update)
  return -logps.reduce((sum, x) => sum + x, 0) / logps.length
}
const steps = (policy: Policy, from: number, to: number) =>
  Array.from({ length: to - from }, (_, i) => step(policy, from + i))

/** What a checkpoint holds, as numbers. */
const numbers = ({ tensors }: Weights | Optimizer): ReadonlyArray<number> =>
  [...tensors.values()].flatMap(({ data }) => [...data])

/** Bytes that are allocated in this process outside of V8's heap, by glibc's own account; 0 where there is another C library. */
const allocated = (() => {
  const names = [
    "arena",
    "ordblks",
    "smblks",
    "hblks",
    "hblkhd",
    "usmblks",
    "fsmblks",
    "uordblks",
    "fordblks",
    "keepcost"
  ]
  const info = koffi.struct("mallinfo2", Object.fromEntries(names.map((name) => [name, "size_t"])))
  setFlagsFromString("--expose-gc")
  const collect = runInNewContext("gc") as () => void
  try {
    const ask = koffi.load("libc.so.6").func("mallinfo2", info, [])
    return (): number => {
      for (let i = 0; i < 3; i++) collect()
      const { hblkhd, uordblks } = ask() as { readonly hblkhd: number; readonly uordblks: number }
      return hblkhd + uordblks
    }
  } catch {
    return () => 0
  }
})()

const sampling = { maxNewTokens: 8, topK: 0, topP: 1, stop: [] }
const sampled = (policy: Policy, temperature: number) =>
  policy.sample(
    // A group that shares its prompt, and others of other lengths.
    [[1, 3, 4], [1, 3, 4], [1], [1, 5, 6, 7, 2]].map((ids) => Int32Array.from(ids)),
    { ...sampling, temperature },
    ["a", "b", "c", "d"]
  )

describe.skipIf(noTorch !== undefined)("the engine on torch", () => {
  const open: Array<Backend> = []
  let ours: TransformerEngine
  let theirs: TransformerEngine
  let backend: Backend
  beforeAll(async () => {
    open.push(backend = await openTorch(), await wasm({ threads: 1 }))
    ;[ours, theirs] = open.map((one) => transformer(one)) as [TransformerEngine, TransformerEngine]
  })
  afterAll(() => {
    for (const one of open) one.dispose()
  })

  // Float32 with other orders of summation: 1e-6 a step, which AdamW passes on as it is or smaller; five times that over 20 steps.
  const tolerance = 1e-4

  for (const [name, config] of Object.entries(variants)) {
    it(`${name}: 20 training steps as on wasm, the same bits again, and the same tokens`, () => {
      const weights = randomWeights(config, name)
      const [mine, again, other] = [ours.policy(weights), ours.policy(weights), theirs.policy(weights)]
      for (const temperature of [0, 1]) {
        const [a, b, c] = [mine, again, other].map((policy) => sampled(policy, temperature)) as [
          ReturnType<typeof sampled>,
          ReturnType<typeof sampled>,
          ReturnType<typeof sampled>
        ]
        assert.deepStrictEqual(a, b)
        assert.deepStrictEqual(a.map(({ completion }) => completion), c.map(({ completion }) => completion))
        a.forEach(({ logps }, i) => assert.isBelow(gap([...logps], [...c[i]!.logps]), tolerance))
      }
      const losses = steps(mine, 0, 20)
      assert.deepStrictEqual(steps(again, 0, 20), losses)
      assert.isBelow(gap(losses, steps(other, 0, 20)), tolerance)
      assert.isBelow(losses.at(-1)!, losses[0]!)
      assert.deepStrictEqual(numbers(mine.weights()), numbers(again.weights()))
      for (const policy of [mine, again, other]) policy.dispose()
    })
  }

  it("a checkpoint goes from wasm to torch and back, to what wasm alone reaches", () => {
    const config = variants["Llama, GQA, tied"]!
    const weights = randomWeights(config, "torch 2")
    let held = { weights, optimizer: { step: 0, tensors: new Map() } as Optimizer }
    const losses: Array<number> = []
    for (const [i, engine] of [theirs, ours, theirs].entries()) {
      const policy = engine.policy(held.weights)
      policy.restore(held.optimizer)
      losses.push(...steps(policy, 5 * i, 5 * (i + 1)))
      held = { weights: policy.weights(), optimizer: policy.optimizer() }
      policy.dispose()
    }
    const alone = theirs.policy(weights)
    assert.isBelow(gap(losses, steps(alone, 0, 15)), tolerance)
    assert.isBelow(gap(numbers(held.weights), numbers(alone.weights())), 5e-4)
    assert.isBelow(gap(numbers(held.optimizer), numbers(alone.optimizer())), 1e-4)
    assert.strictEqual(held.optimizer.step, 15)
    alone.dispose()
  })

  it("stopped and resumed it reaches the same bits", () => {
    const config = variants["Qwen3, QK-norm"]!
    const whole = ours.policy(randomWeights(config, "torch 3"))
    steps(whole, 0, 6)
    const first = ours.policy(randomWeights(config, "torch 3"))
    steps(first, 0, 3)
    const second = ours.policy(first.weights())
    second.restore(first.optimizer())
    steps(second, 3, 6)
    assert.deepStrictEqual(numbers(second.weights()), numbers(whole.weights()))
    for (const policy of [whole, first, second]) policy.dispose()
  })

  it("bf16 moves log-probabilities a little, and trains", () => {
    const config = variants["Llama, GQA, tied"]!
    const weights = randomWeights(config, "torch 4")
    const [exact, low] = [ours.policy(weights), ours.policy(weights, { precision: "bf16" })]
    const of = (policy: Policy) => [...policy.logprobs(batchOf(0)).logps]
    const moved = gap(of(exact), of(low))
    assert.isAbove(moved, 0)
    assert.isBelow(moved, 0.1)
    const losses = steps(low, 0, 10)
    assert.isBelow(losses.at(-1)!, losses[0]!)
    for (const policy of [exact, low]) policy.dispose()
  })

  it("1,000 steps with sampling take no more memory than the first ones, and all of it comes back", () => {
    const config = { ...variants["Llama, GQA, tied"]!, num_hidden_layers: 1 }
    const before = backend.memory().live
    const policy = ours.policy(randomWeights(config, "torch 5"))
    const some = (from: number, to: number) => {
      for (let i = from; i < to; i++) {
        step(policy, i)
        if (i % 20 === 0) sampled(policy, 1)
      }
      return { live: backend.memory().live, bytes: allocated() }
    }
    const early = some(0, 300)
    const late = some(300, 1000)
    assert.strictEqual(late.live, early.live)
    // A handle that one of the hundred calls of a step does not drop is 200 bytes, with its numbers at least 64 more: 10 MiB and
    // up for one kernel. What V8 allocates besides its heap differs by less than one.
    assert.isBelow(late.bytes - early.bytes, 2 ** 21)
    policy.dispose()
    assert.strictEqual(backend.memory().live, before)
  })
})
if (noTorch !== undefined) it.skip(`torch: ${noTorch}`, () => {})
