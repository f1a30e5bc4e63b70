/** What counts in a demonstration: masks of conversations, truncation, and batches by tokens. */
import { Effect, Result } from "effect"
import fc from "fast-check"
import { assert, describe, it } from "vitest"
import type { Truncating } from "../../dsl/Truncation.ts"
import { encodeWithin } from "../../src/data/encode.ts"
import { masked, type SftLoss } from "../../src/data/encodeSft.ts"
import { demonstrationRow } from "../../src/data/formats.ts"
import type { Chat } from "../../src/data/messages.ts"
import type { DemonstrationRow } from "../../src/data/rows.ts"
import type { Codec } from "../../src/engine/engine.ts"
import { transformer } from "../../src/engine/transformer/transformer.ts"
import { crossEntropy } from "../../src/losses/crossEntropy.ts"
import { reference } from "../../src/tensor/reference.ts"
import { batchesWithin } from "../../src/training/batches.ts"
import { randomBatch, randomWeights, revealing, variants } from "../engine/transformer/tinyModels.ts"
import { assertClose } from "../losses/gradients.ts"

/** A token for every character; 1 begins a prompt and 2 ends a completion. */
const codec: Codec = {
  encodePrompt: (text) => Int32Array.of(1, ...Array.from(text, (c) => c.charCodeAt(0))),
  encodeCompletion: (text, { end }) => Int32Array.of(...Array.from(text, (c) => c.charCodeAt(0)), ...(end ? [2] : [])),
  decode: (ids) => Array.from(ids, (id) => id > 2 ? String.fromCharCode(id) : "").join(""),
  chat: () => "",
  stop: [2],
  vocab: 256
}
/** ChatML in small: <role:text>, and the header of the next turn unless the assistant had the last word. */
const chat: Chat = (messages) =>
  messages.map(({ content, role }) => `<${role[0]}:${content}>`).join("") +
  (messages.at(-1)!.role === "assistant" ? "" : "<a:")

const use = { stage: "sft", codec, context: 200 }
interface Options extends Truncating {
  readonly loss: SftLoss
}
const plain: Options = { loss: "completion", truncation: "error" }
const encode = (row: DemonstrationRow, options: Partial<Options> = {}, context = 200) => {
  const how = { ...plain, ...options }
  const encoded = encodeWithin({ ...use, context }, [row], masked(codec, how.loss), how)
  return Effect.runSync(Effect.result(Effect.map(encoded, ({ encoded }) => encoded)))
}
const one = (row: DemonstrationRow, options: Partial<Options> = {}, context = 200) =>
  Result.getOrThrow(encode(row, options, context))[0]!
const problem = (row: DemonstrationRow, options: Partial<Options>, context = 200): string => {
  const encoded = encode(row, options, context)
  return Result.isFailure(encoded) ? encoded.failure.message : "it was encoded"
}

const rowOf = (messages: ReadonlyArray<{ readonly role: string; readonly content: string }>): DemonstrationRow =>
  demonstrationRow({ messages }, { chat })
/** What counts in a row, and all of it after the prompt. */
const counted = ({ completion, mask }: ReturnType<typeof one>): string =>
  Array.from(completion, (id, t) => mask[t] === 1 ? id === 2 ? "$" : String.fromCharCode(id) : "_").join("")

const talk = rowOf([
  { role: "system", content: "S" },
  { role: "user", content: "hi" },
  { role: "assistant", content: "ho" },
  { role: "tool", content: "42" },
  { role: "user", content: "and" },
  { role: "assistant", content: "so" }
])

describe("what counts", () => {
  it("invariant 35: every rendered beginning is continued by the next, and the turns make up the whole", () => {
    const content = fc.string({ minLength: 1, maxLength: 6, unit: fc.constantFrom(..."abc xyz.") })
    const exchange = fc.record({ answer: content, role: fc.constantFrom("user", "tool"), content })
    fc.assert(fc.property(fc.array(exchange, { maxLength: 4 }), (exchanges) => {
      const messages = [
        { role: "user", content: "q" },
        ...exchanges.flatMap(({ answer, ...next }) => [{ role: "assistant", content: answer }, next]),
        { role: "assistant", content: "end" }
      ]
      const { completion, prompt, turns } = rowOf(messages)
      assert.strictEqual(prompt + completion, chat(messages))
      assert.strictEqual(turns!.map(({ answer, context }) => context + answer).join(""), chat(messages))
      assert.deepStrictEqual(
        turns!.map(({ answer }) => answer),
        messages.filter(({ role }) => role === "assistant").map(({ content }) => `${content}>`)
      )
      const row = one(rowOf(messages), { loss: "assistant" })
      assert.strictEqual(codec.decode([...row.prompt, ...row.completion]), chat(messages))
      // Exactly the assistant's characters, and the end.
      const said = messages.filter(({ role }) => role === "assistant").map(({ content }) => content.length + 1)
      assert.strictEqual(row.mask.reduce((sum, x) => sum + x, 0), said.reduce((sum, x) => sum + x, 0) + 1)
    }))
  })

  it("the last answer, every answer of the assistant, or everything", () => {
    assert.strictEqual(counted(one(talk)), "so>$")
    assert.strictEqual(
      counted(one(talk, { loss: "assistant" })),
      "ho>________________so>$".replace(/_+/u, "_".repeat("<t:42><u:and><a:".length))
    )
    assert.strictEqual(
      counted(one(talk, { loss: "all" })),
      "<s:S><u:hi><a:ho><t:42><u:and><a:so>$"
    )
    // A prompt with a completion is one turn.
    const pair = { prompt: "p", completion: "c" }
    assert.deepStrictEqual(one(pair, { loss: "assistant" }), one(pair))
  })

  it("a template that rewrites earlier turns is refused where all turns are wanted", () => {
    // As templates do that leave out what earlier turns have thought.
    const forgetful: Chat = (messages) =>
      chat(
        messages.map((one, i) => one.role === "assistant" && i + 1 < messages.length ? { ...one, content: "" } : one)
      )
    const row = demonstrationRow({
      messages: [
        { role: "user", content: "a" },
        { role: "assistant", content: "b" },
        { role: "user", content: "c" },
        { role: "assistant", content: "d" }
      ]
    }, { chat: forgetful })
    assert.isNull(row.turns)
    assert.match(problem(row, { loss: "assistant" }), /row 1: its chat template rewrites earlier turns/)
  })
})

describe("truncation", () => {
  const row = { prompt: "abcd", completion: "wxyz" }

  it("invariant 33: never silent; then from the end asked for", () => {
    assert.match(problem(row, {}, 9), /row 1 has 10 tokens; the context is 9/)
    assert.match(problem(row, { maxLength: 8 }), /row 1 has 10 tokens; maxLength is 8/)
    const start = one(row, { maxLength: 8, truncation: "keep-start" })
    assert.strictEqual(codec.decode([...start.prompt, ...start.completion]), "abcdwxy")
    const end = one(row, { maxLength: 7, truncation: "keep-end" })
    assert.strictEqual(codec.decode(end.prompt), "cd")
    assert.strictEqual(counted(end), "wxyz$")
    // The first token left is given, not predicted.
    const last = one(row, { maxLength: 3, truncation: "keep-end" })
    assert.deepStrictEqual([codec.decode(last.prompt), counted(last)], ["y", "z$"])
    assert.match(problem(row, { maxLength: 5, truncation: "keep-start" }), /nothing of its answer is left/)
    assert.match(problem(row, { maxLength: 1, truncation: "keep-end" }), /nothing of its answer is left/)
  })

  it("leaves at most maxLength tokens, a beginning or an end of the whole, and masks with their tokens", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 8, max: 60 }),
        fc.constantFrom("keep-start" as const, "keep-end" as const),
        (maxLength, truncation) => {
          const all = one(talk, { loss: "assistant" })
          const encoded = encode(talk, { loss: "assistant", maxLength, truncation })
          if (Result.isFailure(encoded)) return assert.strictEqual(truncation, "keep-start")
          const cut = encoded.success[0]!
          const [whole, part] = [[...all.prompt, ...all.completion], [...cut.prompt, ...cut.completion]]
          assert.isAtMost(part.length, maxLength)
          assert.deepStrictEqual(
            part,
            truncation === "keep-start" ? whole.slice(0, part.length) : whole.slice(-part.length)
          )
          const [maskAll, mask] = [[...all.mask], [...cut.mask]]
          assert.deepStrictEqual(
            mask,
            truncation === "keep-start" ? maskAll.slice(0, mask.length) : maskAll.slice(maskAll.length - mask.length)
          )
        }
      )
    )
  })
})

describe("batches by tokens", () => {
  it("invariant 33: no batch exceeds its tokens or its rows; every row comes once an epoch, in the shuffled order", () => {
    fc.assert(fc.property(
      fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 30 }),
      fc.integer({ min: 20, max: 60 }),
      fc.integer({ min: 1, max: 6 }),
      fc.integer({ min: 1, max: 3 }),
      (lengths, tokens, size, epochs) => {
        const batches = batchesWithin("key", lengths, { size, tokens }, { epochs })
        for (const batch of batches) {
          assert.isAtMost(batch.reduce((sum, row) => sum + lengths[row]!, 0), tokens)
          assert.isTrue(batch.length >= 1 && batch.length <= size)
        }
        const flat = batches.flat()
        assert.strictEqual(flat.length, epochs * lengths.length)
        for (let epoch = 0; epoch < epochs; epoch++) {
          const rows = flat.slice(epoch * lengths.length, (epoch + 1) * lengths.length)
          assert.strictEqual(new Set(rows).size, lengths.length)
        }
        // Steps in place of passes are the first of these batches; the last of a pass would go on with rows of the next.
        const steps = batches.length - 1
        if (steps > 0) {
          assert.deepStrictEqual(
            batchesWithin("key", lengths, { size, tokens }, { epochs: 1, steps }),
            batches.slice(0, steps)
          )
        }
        // No batch could have taken the next row too.
        batches.slice(0, -1).forEach((batch, i) => {
          const held = batch.reduce((sum, row) => sum + lengths[row]!, 0)
          assert.isTrue(batch.length === size || held + lengths[batches[i + 1]![0]!]! > tokens)
        })
      }
    ))
    assert.throws(() => batchesWithin("key", [30], { size: 1, tokens: 20 }, { epochs: 1 }), /more than the 20/)
  })

  it("invariant 33: a packed batch has the loss and gradient of its sequences apart, in any order; masked tokens do not matter", () => {
    const weights = randomWeights(variants["Llama, GQA, tied"]!, "packing")
    const rows = randomBatch([[2, 4], [1, 3], [3, 5]], "packing")
    const masks = rows.map(({ completion }, i) => Float64Array.from(completion, (_, t) => (t + i) % 3 === 0 ? 0 : 1))
    const total = masks.reduce((sum, mask) => sum + mask.reduce((a, b) => a + b, 0), 0)
    const of = (order: ReadonlyArray<ReadonlyArray<number>>) => {
      const policy = transformer(reference()).policy(weights)
      let loss = 0
      for (const indices of order) {
        const { logps } = policy.logprobs(indices.map((i) => rows[i]!), { retain: true })
        const one = crossEntropy(logps, { mask: indices.flatMap((i) => [...masks[i]!]), denominator: total })
        loss += one.loss
        policy.backward(one.gradient)
      }
      policy.step(revealing)
      return { loss, gradient: policy.optimizer().tensors.get("exp_avg.model.embed_tokens.weight")!.data }
    }
    const packed = of([[0, 1, 2]])
    for (const order of [[[0], [1], [2]], [[2, 0, 1]], [[1], [2, 0]]]) {
      const other = of(order)
      assert.closeTo(other.loss, packed.loss, 1e-12)
      assertClose(other.gradient, packed.gradient, 1e-12)
    }
    // Another number under the mask.
    const logps = Float64Array.of(-1, -2, -3)
    const changed = Float64Array.of(-1, -200, -3)
    const mask = [1, 0, 1]
    assert.deepStrictEqual(crossEntropy(logps, { mask }), crossEntropy(changed, { mask }))
    assert.strictEqual(crossEntropy(logps, { mask: [0, 0, 0] }).loss, 0)
  })

  it("invariant 20: micro-batches summed over the whole batch's tokens are the batch; a mean of means is not, for other lengths", () => {
    const [long, short] = [Float64Array.of(-1, -1, -1, -1), Float64Array.of(-3)]
    const whole = crossEntropy(Float64Array.of(...long, ...short)).loss
    const part = (logps: Float64Array, denominator?: number) =>
      crossEntropy(logps, denominator === undefined ? {} : { denominator }).loss
    assert.closeTo(part(long, 5) + part(short, 5), whole, 1e-15)
    assert.isAbove(Math.abs((part(long) + part(short)) / 2 - whole), 0.5)
  })
})
