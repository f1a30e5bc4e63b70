/** Prompts in a context, as text. */
import fc from "fast-check"
import { assert, describe, it } from "vitest"
import { Ask } from "../../dsl/index.ts"
import { type Askable, inContext } from "../../src/data/ask.ts"
import { promptIn } from "../../src/data/rows.ts"
import type { Codec } from "../../src/engine/engine.ts"
import { lengths } from "../../src/planning/placeholderText.ts"

const codec: Codec = {
  ...lengths(100),
  chat: (messages, variables = {}) =>
    `${JSON.stringify(variables)}${messages.map(({ content, role }) => `<${role}>${content}`).join("")}`
}
const plain: Askable = { prompt: "p", completion: "c", answer: "a", columns: { kind: "k" } }
const conversation: Askable = {
  prompt: "rendered",
  messages: [{ role: "system", content: "s" }, { role: "user", content: "q" }]
}
const examples = ["x", "y", "z"].map((prompt) => ({ prompt, completion: `=${prompt}` }))
const asked = (ask: Ask.Ask, row: Askable, key = "") => inContext(codec, ask, row, examples, key)

describe("a prompt in its context", () => {
  it.each<[string, Ask.Ask, Askable, string]>([
    ["a system prompt before a text", Ask.system("S"), plain, "S\n\np"],
    ["a template around columns", Ask.template("{{kind}}: {{prompt}} {{completion}} {{answer}}"), plain, "k: p c a"],
    ["a system prompt joins that of a conversation", Ask.system("S"), conversation, "{}<system>S\n\ns<user>q"],
    ["a template takes the last message", Ask.template("Say {{prompt}}"), conversation, "{}<system>s<user>Say q"],
    ["variables of the chat template make a message", Ask.chat({ think: false }), plain, '{"think":false}<user>p'],
    [
      "together",
      Ask.context({ system: "S", template: "[{{prompt}}]", chat: { think: true } }),
      plain,
      '{"think":true}<system>S<user>[p]'
    ]
  ])("%s", (_, ask, row, text) => assert.strictEqual(asked(ask, row), text))

  it("examples: as many as shots, different ones as far as there are enough, each order sometimes", () => {
    const seen = new Set<string>()
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 7 }), fc.string(), (shots, key) => {
        const shown = asked(Ask.fewShot(shots), plain, key).split("\n\n")
        assert.strictEqual(shown.pop(), "p")
        assert.lengthOf(shown, shots)
        assert.strictEqual(new Set(shown).size, Math.min(shots, 3))
        seen.add(shown.slice(0, 3).join())
      })
    )
    assert.isAbove(seen.size, 6)
  })

  it("a column that the row does not have is a mistake with a remedy", () => {
    assert.throws(() => asked(Ask.template("{{completion}}"), conversation), /no column "completion"/u)
  })

  it("what is kept is the prompt alone", () => {
    assert.deepStrictEqual(promptIn(plain), { prompt: "p", answer: "a", columns: { kind: "k" } })
    assert.deepStrictEqual(promptIn(conversation), conversation)
  })
})
