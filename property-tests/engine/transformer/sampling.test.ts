import fc from "fast-check"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import type { Sampled, Sampling } from "../../../src/engine/engine.ts"
import { chooseToken } from "../../../src/engine/transformer/chooseToken.ts"
import type { TransformerPolicy } from "../../../src/engine/transformer/policy.ts"
import { transformer } from "../../../src/engine/transformer/transformer.ts"
import { workspace } from "../../../src/engine/transformer/workspace.ts"
import { distribution, draw } from "../../../src/sampling/draw.ts"
import { stream } from "../../../src/sampling/random.ts"
import type { Backend } from "../../../src/tensor/backend.ts"
import { reference } from "../../../src/tensor/reference.ts"
import { kinds, open } from "./backends.ts"
import { largestDifference, plainSampling, randomBatch, randomNumbers, randomWeights, variants } from "./tinyModels.ts"

const promptsOf = (lengths: ReadonlyArray<number>, seed: string): ReadonlyArray<Int32Array> =>
  randomBatch(lengths.map((length) => [length, 0] as const), seed).map((row) => row.prompt)
const seedsOf = (prompts: ReadonlyArray<unknown>, seed: string) => prompts.map((_, i) => `${seed}/${i}`)

const samplings: Readonly<Record<string, Sampling>> = {
  greedy: { ...plainSampling, temperature: 0 },
  plain: plainSampling,
  hot: { ...plainSampling, temperature: 1.7 },
  truncated: { ...plainSampling, temperature: 0.8, topK: 6, topP: 0.9 }
}

/** The definition: the whole sequence through the model for every token, no cache. */
const slowly = (policy: TransformerPolicy, prompt: Int32Array, sampling: Sampling, seed: string): Sampled => {
  const random = stream(seed)
  const completion: Array<number> = []
  const logps: Array<number> = []
  while (completion.length < sampling.maxNewTokens && prompt.length + completion.length < policy.context) {
    const logits = policy.logits(Int32Array.from([...prompt, ...completion]))
    const probabilities = distribution(logits, sampling)
    const token = sampling.temperature === 0 ? probabilities.indexOf(1) : draw(probabilities, random.next())
    completion.push(token)
    logps.push(Math.log(distribution(logits, { temperature: 1, topK: 0, topP: 1 })[token]!))
    if (sampling.stop.includes(token)) break
  }
  const finished = completion.length > 0 && sampling.stop.includes(completion.at(-1)!)
  return { completion: Int32Array.from(completion), logps: Float64Array.from(logps), finished }
}

describe.each(Object.entries(variants))("%s", (name, raw) => {
  const policy = transformer(reference()).policy(randomWeights(raw, name))

  it.each(Object.entries(samplings))("cached, batched sampling equals the slow definition: %s", (how, sampling) => {
    const prompts = promptsOf([1, 6, 3, 20, 2], `${name}${how}`)
    const seeds = seedsOf(prompts, how)
    policy.sample(prompts, sampling, seeds).forEach((sampled, i) => {
      const slow = slowly(policy, prompts[i]!, sampling, seeds[i]!)
      assert.deepStrictEqual(sampled.completion, slow.completion)
      assert.isAtMost(largestDifference(sampled.logps, slow.logps), 1e-12)
      assert.strictEqual(sampled.finished, slow.finished)
    })
  })
})

describe.each(kinds)("sampling on %s", (kind) => {
  let backend: Backend
  let policy: TransformerPolicy
  const tolerance = kind === "reference" ? 1e-12 : 1e-5
  beforeAll(async () => {
    backend = await open(kind)
    policy = transformer(backend).policy(randomWeights(variants["Qwen3, QK-norm"]!, "sampling"))
  })
  afterAll(() => {
    policy.dispose()
    backend.dispose()
  })

  it("invariant 32: gives the log-probabilities that a forward pass over the whole gives", () => {
    for (const sampling of Object.values(samplings)) {
      const prompts = promptsOf([1, 2, 9, 4], "logps")
      const sampled = policy.sample(prompts, sampling, seedsOf(prompts, "logps"))
      const rows = sampled.map(({ completion }, i) => ({ prompt: prompts[i]!, completion }))
      const together = Float64Array.from(sampled.flatMap(({ logps }) => [...logps]))
      assert.isAtMost(largestDifference(policy.logprobs(rows).logps, together), tolerance)
    }
  })

  it("invariant 12: a sample does not depend on what else is in the batch, nor on waiting for a slot", () => {
    const { int } = stream("lengths")
    const prompts = promptsOf(Array.from({ length: 150 }, () => 1 + int(12)), "waiting")
    const seeds = seedsOf(prompts, "waiting")
    const together = policy.sample(prompts, plainSampling, seeds)
    for (let i = 0; i < prompts.length; i += 7) {
      const [alone] = policy.sample([prompts[i]!], plainSampling, [seeds[i]!])
      assert.deepStrictEqual(alone!.completion, together[i]!.completion)
      assert.isAtMost(largestDifference(alone!.logps, together[i]!.logps), tolerance)
    }
    assert.isTrue(together.some(({ finished }) => finished) && together.some(({ finished }) => !finished))
  })

  it("equal seeds give equal samples, different ones different samples", () => {
    const prompts = promptsOf(Array.from({ length: 8 }, () => 3), "seeds").map((_, __, all) => all[0]!)
    const free = { ...plainSampling, stop: [] }
    const same = policy.sample(prompts, free, prompts.map(() => "one"))
    for (const { completion } of same) assert.deepStrictEqual(completion, same[0]!.completion)
    const other = policy.sample(prompts, free, seedsOf(prompts, "many"))
    assert.strictEqual(new Set(other.map(({ completion }) => completion.join())).size, 8)
  })

  it("ends at a stop token, which it keeps, at the limit, or at the end of the context", () => {
    const all = Array.from({ length: 13 }, (_, i) => i)
    const [stopped] = policy.sample([Int32Array.of(1)], { ...plainSampling, stop: all }, ["a"])
    assert.deepStrictEqual([stopped!.completion.length, stopped!.logps.length, stopped!.finished], [1, 1, true])
    const [limited] = policy.sample([Int32Array.of(1)], { ...plainSampling, stop: [], maxNewTokens: 4 }, ["a"])
    assert.deepStrictEqual([limited!.completion.length, limited!.finished], [4, false])
    const [prompt] = promptsOf([22], "context")
    const [filled] = policy.sample([prompt!], { ...plainSampling, stop: [] }, ["a"])
    assert.deepStrictEqual([filled!.completion.length, filled!.finished], [2, false])
    const [full] = policy.sample(promptsOf([24], "context"), plainSampling, ["a"])
    assert.deepStrictEqual([full!.completion.length, full!.finished], [0, false])
    assert.deepStrictEqual(policy.sample([], plainSampling, []), [])
    const [nothing] = policy.sample([prompt!], { ...plainSampling, maxNewTokens: 0 }, ["a"])
    assert.strictEqual(nothing!.completion.length, 0)
  })
})

it("a token is chosen as draw(distribution(…)) with the number of its row's own stream", () => {
  const backend = reference()
  fc.assert(
    fc.property(
      fc.record({
        seeds: fc.array(fc.string(), { minLength: 1, maxLength: 5 }),
        vocab: fc.integer({ min: 1, max: 30 }),
        spread: fc.constantFrom(0, 0.1, 3, 300)
      }),
      fc.record({
        temperature: fc.constantFrom(0, 0.3, 1, 2),
        topK: fc.integer({ min: 0, max: 8 }),
        topP: fc.constantFrom(0.2, 0.9, 1)
      }),
      ({ seeds, spread, vocab }, how) => {
        const space = workspace(backend)
        const all = randomNumbers(vocab * seeds.length, seeds.join()).map((x) => x * spread)
        const logits = space.reals("logits", all.length)
        backend.write(logits, all)
        const rows = seeds.map((seed) => ({ random: stream(seed) }))
        const { logps, tokens } = chooseToken({ backend, space, vocab }, { ...plainSampling, ...how })(logits, rows)
        seeds.forEach((seed, n) => {
          const row = all.subarray(n * vocab, (n + 1) * vocab)
          const chances = distribution(row, how)
          assert.strictEqual(
            tokens[n],
            how.temperature === 0 ? chances.indexOf(1) : draw(chances, stream(seed).next())
          )
          const max = Math.max(...row)
          const lse = max + Math.log(row.reduce((sum, z) => sum + Math.exp(z - max), 0))
          assert.closeTo(logps[n]!, row[tokens[n]!]! - lse, 1e-9)
        })
        space.dispose()
      }
    ),
    { numRuns: 200 }
  )
})
