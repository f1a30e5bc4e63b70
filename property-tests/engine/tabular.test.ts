import fc from "fast-check"
import { assert, describe, it } from "vitest"
import type { Policy, Row, Update, Weights } from "../../src/engine/engine.ts"
import { language, policyWeights, uniform } from "../../src/engine/tabular/checkpoint.ts"
import { codecOf } from "../../src/engine/tabular/codec.ts"
import { completions, logDistribution } from "../../src/engine/tabular/exact.ts"
import { tabular } from "../../src/engine/tabular/tabular.ts"
import { world } from "../../src/engine/tabular/world.ts"
import { sumRows } from "../../src/losses/ragged.ts"
import { stream } from "../../src/sampling/random.ts"
import { assertClose, finiteDifferences, i32, total } from "../losses/gradients.ts"
import { everyRow, randomPolicy, readGradient, readout, worlds } from "./tabularWorlds.ts"

const small = world({ prompts: 2, vocab: 3, horizon: 3, seed: "tabular" })
const engine = tabular(small)
const codec = codecOf(small)
const update: Update = { learningRate: 0.1, betas: [0.9, 0.99], eps: 1e-8, weightDecay: 0.01, maxGradNorm: 1 }
const tensor = (weights: Weights, name: string): Float64Array => Float64Array.from(weights.tensors.get(name)!.data)
const row = (prompt: string, completion: string, end = true): Row => ({
  prompt: codec.encodePrompt(prompt),
  completion: codec.encodeCompletion(completion, { end })
})
const sampling = { maxNewTokens: 10, temperature: 1, topK: 0, topP: 1, stop: codec.stop }
const randomGradient = (key: string, length: number): Float64Array => {
  const random = stream(key)
  return Float64Array.from({ length }, () => random.normal())
}
const train = (policy: Policy, from: number, to: number): void => {
  for (let step = from; step < to; step++) {
    const prompts = small.prompts.map(codec.encodePrompt)
    const samples = policy.sample(prompts, sampling, prompts.map((_, i) => `${step}/${i}`))
    const batch = prompts.map((prompt, i) => ({ prompt, completion: samples[i]!.completion }))
    const { logps } = policy.logprobs(batch, { retain: true })
    policy.backward(randomGradient(`gradient ${step}`, logps.length))
    policy.step(update)
  }
}

describe("tabular codec", () => {
  it("ids: letters, </s>, prompts, bos; text goes to ids and back", () => {
    assert.deepStrictEqual(codec.encodePrompt("p1"), i32(5, 4))
    assert.deepStrictEqual(codec.encodeCompletion("b a", { end: true }), i32(1, 0, 2))
    assert.deepStrictEqual(codec.encodeCompletion("", { end: false }), i32())
    assert.deepStrictEqual(codec.stop, [2])
    assert.strictEqual(codec.vocab, 6)
    for (const { text, tokens } of completions(small)) assert.strictEqual(codec.decode(tokens), text)
    assert.strictEqual(codec.decode(codec.encodePrompt("p0")), "p0")
  })

  it("unknown text says what the tokens are; there is no chat template", () => {
    assert.throws(
      () => codec.encodePrompt("hello"),
      '"hello" is not a token of world-2-3-3-tabular; it has: a b </s> p0 p1'
    )
    assert.throws(() => codec.chat([{ role: "user", content: "p0" }]), "no chat template")
  })
})

describe("tabular policy", () => {
  it("by hand: two tokens of the uniform policy", () => {
    const { entropies, logps, offsets } = engine.policy(uniform(small)).logprobs([row("p0", "a"), row("p1", "")])
    assertClose(logps, [-Math.log(3), -Math.log(3), -Math.log(3)], 1e-15)
    assertClose(entropies, [Math.log(3), Math.log(3), Math.log(3)], 1e-15)
    assert.deepStrictEqual(offsets, i32(0, 2, 3))
  })

  it("log-probabilities of all completions exponentiate to 1 for each prompt, and equal the enumeration", () => {
    fc.assert(fc.property(worlds, fc.string(), (any, key) => {
      const weights = randomPolicy(any, key)
      const { logps, offsets } = tabular(any).policy(weights).logprobs(everyRow(any))
      const sequences = sumRows(logps, offsets)
      assertClose([total(sequences.map(Math.exp))], [any.prompts.length], 1e-12)
      assertClose(sequences, logDistribution(any, weights).flatMap((of) => Array.from(of)), 1e-12)
    }))
  })

  it("invariant 34: backward is the finite difference of log-probabilities; two calls accumulate", () => {
    fc.assert(
      fc.property(worlds, fc.string(), (any, key) => {
        const weights = randomPolicy(any, key)
        const rows = everyRow(any)
        const length = rows.reduce((sum, r) => sum + r.completion.length, 0)
        const slope = randomGradient(key, length)
        const policy = tabular(any).policy(weights)
        for (let i = 0; i < 2; i++) {
          policy.logprobs(rows, { retain: true })
          policy.backward(slope)
        }
        const { gradient, norm } = readGradient(policy, "logits")
        const loss = (logits: Float64Array): number => {
          const { logps } = tabular(any).policy(policyWeights(any, logits)).logprobs(rows)
          return total(logps.map((logp, i) => logp * slope[i]!))
        }
        const expected = finiteDifferences(loss, tensor(weights, "logits")).map((x) => 2 * x)
        assertClose(gradient, expected, 1e-7)
        assertClose([norm], [Math.hypot(...expected)], 1e-7)
      }),
      { numRuns: 20 }
    )
  })

  it("batch equals singles", () => {
    const policy = engine.policy(language(small))
    const rows = everyRow(small)
    const alone = rows.flatMap((r) => Array.from(policy.logprobs([r]).logps))
    assertClose(policy.logprobs(rows).logps, alone, 0)
  })

  it("a text for pretraining: the prompt is given, uniform, without gradient", () => {
    const policy = engine.policy(language(small))
    const text = { prompt: codec.encodePrompt(""), completion: codec.encodeCompletion("p1 b a", { end: true }) }
    const { logps } = policy.logprobs([text], { retain: true })
    const continued = policy.logprobs([row("p1", "b a")]).logps
    assertClose(logps, [-Math.LN2, ...continued], 1e-15)
    policy.logprobs([text], { retain: true })
    policy.backward(Float64Array.of(1, 0, 0, 0))
    assert.strictEqual(policy.step(update), 0)
    // Two texts in one row: </s>, bos and the next prompt begin a new one.
    const both = i32(...text.completion, 5, ...codec.encodeCompletion("p0 b", { end: true }))
    const packed = policy.logprobs([{ prompt: i32(), completion: both }]).logps
    assertClose(packed, [...policy.logprobs([text]).logps, 0, -Math.LN2, ...policy.logprobs([row("p0", "b")]).logps], 0)
  })

  it("what no completion can be is refused with the remedy", () => {
    const policy = engine.policy(uniform(small))
    const refused = (prompt: Int32Array, completion: Int32Array, message: string): void =>
      assert.throws(() => policy.logprobs([{ prompt, completion }]), message)
    refused(codec.encodePrompt("p0"), i32(0, 0, 0, 2), "longer than world-2-3-3-tabular's horizon, 3 tokens")
    refused(codec.encodePrompt(""), i32(0), "a without a prompt before it")
    refused(codec.encodePrompt("p0"), i32(2, 0), "a without a prompt before it")
    refused(codec.encodePrompt("p0"), i32(0, 4), "p1 in the middle of a completion")
    refused(codec.encodePrompt("p0"), i32(9), "id 9 is not a token")
    assert.throws(() => policy.sample([codec.encodePrompt("")], sampling, ["s"]), "a prompt of world-2-3-3-tabular is")
    const other = uniform(world({ prompts: 2, vocab: 4, horizon: 3, seed: "tabular" }))
    assert.throws(() => engine.policy(other), "weights of another model")
  })

  it("backward without a retained forward pass, or twice, is a bug", () => {
    const policy = engine.policy(uniform(small))
    policy.logprobs([row("p0", "a")])
    assert.throws(() => policy.backward(new Float64Array(2)), "retain")
    policy.logprobs([row("p0", "a")], { retain: true })
    assert.throws(() => policy.backward(new Float64Array(3)), "3 gradients for 2 tokens")
    policy.logprobs([row("p0", "a")], { retain: true })
    policy.backward(new Float64Array(2))
    assert.throws(() => policy.backward(new Float64Array(2)), "retain")
  })

  it("training changes neither the weights it was opened with nor those handed out", () => {
    const initial = language(small)
    const policy = engine.policy(initial)
    train(policy, 0, 1)
    const [handed, moments] = [policy.weights(), policy.optimizer()]
    const [logits, m] = [tensor(handed, "logits"), moments.tensors.get("logits.m")!.data.slice()]
    train(policy, 1, 3)
    assert.deepStrictEqual(tensor(initial, "logits"), tensor(language(small), "logits"))
    assert.deepStrictEqual(tensor(handed, "logits"), logits)
    assert.deepStrictEqual(moments.tensors.get("logits.m")!.data, m)
    assert.notDeepEqual(tensor(policy.weights(), "logits"), logits)
  })

  it("invariant 47: resuming from saved weights and optimiser continues bit for bit", () => {
    const straight = engine.policy(language(small))
    train(straight, 0, 7)
    const first = engine.policy(language(small))
    train(first, 0, 3)
    const resumed = engine.policy(first.weights())
    resumed.restore(first.optimizer())
    train(resumed, 3, 7)
    assert.deepStrictEqual(tensor(resumed.weights(), "logits"), tensor(straight.weights(), "logits"))
    assert.deepStrictEqual(resumed.optimizer(), straight.optimizer())
    const forgetful = engine.policy(first.weights())
    train(forgetful, 3, 7)
    assert.notDeepEqual(tensor(forgetful.weights(), "logits"), tensor(straight.weights(), "logits"))
  })
})

describe("tabular sampling", () => {
  const weights = language(small)
  const policy = engine.policy(weights)
  const prompt = codec.encodePrompt("p1")

  it("frequencies match the distribution (chi-square, 14 degrees of freedom, 99.9 % below 36.12)", () => {
    const n = 20_000
    const samples = policy.sample(
      Array(n).fill(prompt),
      sampling,
      Array.from({ length: n }, (_, i) => `frequency ${i}`)
    )
    const all = completions(small)
    assert.strictEqual(all.length, 15)
    const counts = new Map(all.map(({ tokens }) => [tokens.join(), 0]))
    for (const { completion } of samples) counts.set(completion.join(), counts.get(completion.join())! + 1)
    const expected = logDistribution(small, weights)[1]!.map((logp) => n * Math.exp(logp))
    const chiSquare = all.reduce(
      (sum, { tokens }, i) => sum + (counts.get(tokens.join())! - expected[i]!) ** 2 / expected[i]!,
      0
    )
    assert.isBelow(chiSquare, 36.12)
  })

  it("its log-probabilities are those of logprobs, at temperature 1 and untruncated", () => {
    for (const options of [sampling, { ...sampling, temperature: 0.3, topK: 2, topP: 0.8 }]) {
      const seeds = Array.from({ length: 50 }, (_, i) => `logps ${i}`)
      const samples = policy.sample(seeds.map(() => prompt), options, seeds)
      const { logps } = policy.logprobs(samples.map(({ completion }) => ({ prompt, completion })))
      assertClose(samples.flatMap((s) => Array.from(s.logps)), logps, 0)
    }
  })

  it("invariant 12: a sample depends on its seed alone, not on what else is in the batch", () => {
    const other = codec.encodePrompt("p0")
    const alone = policy.sample([prompt], sampling, ["x"])[0]!
    assert.deepStrictEqual(policy.sample([other, other, prompt], sampling, ["a", "b", "x"])[2], alone)
  })

  it("greedy takes the likeliest token each time, the lowest id of equals", () => {
    const greedy = { ...sampling, temperature: 0 }
    const [sample] = engine.policy(uniform(small)).sample([prompt], greedy, ["s"])
    assert.deepStrictEqual(sample!.completion, i32(0, 0, 0))
    const [top1] = policy.sample([prompt], { ...sampling, topK: 1 }, ["s"])
    assert.deepStrictEqual(policy.sample([prompt], greedy, ["t"])[0], top1)
  })

  it("ends with a stop token (finished), at maxNewTokens or at the horizon (not finished)", () => {
    const seeds = Array.from({ length: 200 }, (_, i) => `end ${i}`)
    for (const maxNewTokens of [1, 2, 10]) {
      for (
        const { completion, finished } of policy.sample(seeds.map(() => prompt), { ...sampling, maxNewTokens }, seeds)
      ) {
        assert.strictEqual(finished, completion[completion.length - 1] === 2)
        assert.strictEqual(completion.indexOf(2), finished ? completion.length - 1 : -1)
        assert.isTrue(finished || completion.length === Math.min(maxNewTokens, 3))
      }
    }
  })
})

describe("tabular scorer", () => {
  it("starts at zero from a policy; one number before each token and one after the last", () => {
    const scorer = engine.scorer(language(small))
    const { offsets, values } = scorer.values([row("p0", "a"), row("p1", "", false)])
    assert.deepStrictEqual(offsets, i32(0, 3, 4))
    assert.deepStrictEqual(values, new Float64Array(4))
  })

  it("backward reaches the state of each position; a scorer made from a scorer keeps its scores", () => {
    const scorer = engine.scorer(uniform(small))
    const rows = [row("p0", "a"), row("p0", "a b")]
    scorer.values(rows, { retain: true })
    scorer.backward(Float64Array.of(0, 0, -1, 0, 0, 0, -4))
    const norm = scorer.step(readout)
    assert.closeTo(norm, Math.sqrt(17), 1e-15)
    const kept = engine.scorer(scorer.weights())
    // The ends of "a </s>" and "a b </s>" are different states; every state before them is untouched.
    assertClose(kept.values(rows).values, [0, 0, 1, 0, 0, 0, 4], 1e-8)
    // The state after "a" is one state, be it the value before the next token or the score of the cut-off text.
    kept.values([row("p0", "a", false)], { retain: true })
    kept.backward(Float64Array.of(0, -2))
    kept.step(readout)
    assertClose(kept.values(rows).values, [0, 2, 1, 0, 2, 0, 4], 1e-8)
  })

  it("is 0 before the prompt of a text, and gradients there are dropped", () => {
    const scorer = engine.scorer(uniform(small))
    const text = { prompt: i32(), completion: codec.encodeCompletion("p0", { end: true }) }
    scorer.values([text], { retain: true })
    scorer.backward(Float64Array.of(5, 0, 0))
    assert.strictEqual(scorer.step(update), 0)
  })

  it("invariant 47: resumes bit for bit", () => {
    const rows = [row("p0", "a"), row("p1", "b b")]
    const go = (scorer: ReturnType<typeof engine.scorer>, from: number, to: number) => {
      for (let step = from; step < to; step++) {
        const { values } = scorer.values(rows, { retain: true })
        scorer.backward(randomGradient(`scorer ${step}`, values.length))
        scorer.step(update)
      }
      return scorer
    }
    const straight = go(engine.scorer(uniform(small)), 0, 5)
    const first = go(engine.scorer(uniform(small)), 0, 2)
    const resumed = engine.scorer(first.weights())
    resumed.restore(first.optimizer())
    assert.deepStrictEqual(go(resumed, 2, 5).weights(), straight.weights())
  })
})
