/** Rows with tools: rendered by the model's own chat template as transformers does, or refused by name; only the model's tokens count. */
import { assert, describe, it } from "vitest"
import { masked } from "../../src/data/encodeSft.ts"
import { demonstrationRow, preferenceRow, promptRow, rowIn } from "../../src/data/formats.ts"
import { Unfit } from "../../src/data/cut.ts"
import type { Codec } from "../../src/engine/engine.ts"
import { chatTemplate } from "../../src/model/chatTemplate.ts"

const chatOf = (template: string) => chatTemplate(new Map([["chat_template.jinja", template]]), {}, { eos_token: "~" })!

/** With `~` as the end of a turn. */
const template = `{% if tools %}{{ 'tools: ' + (tools | tojson) + '\\n' }}{% endif %}{% for m in messages %}\
{{ m.role + ': ' + (m.content or '') }}{% if m.tool_calls %}{{ m.tool_calls | tojson }}{% endif %}\
{% if m.role == 'assistant' %}{{ eos_token }}{% endif %}{{ '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ 'assistant:' }}{% endif %}`
const chat = chatOf(template)
const add = { type: "function", function: { name: "add", description: "", parameters: { type: "object" } } }
const call = { type: "function", function: { name: "add", arguments: { a: 1 } } }
const calling = [
  { role: "user", content: "1+2?" },
  { role: "assistant", content: null, tool_calls: [call] },
  { role: "tool", content: "3" },
  { role: "assistant", content: "It is 3." }
]
const shown =
  `tools: [{"type": "function", "function": {"name": "add", "description": "", "parameters": {"type": "object"}}}]\n`
const called = `[{"type": "function", "function": {"name": "add", "arguments": {"a": 1}}}]~\n`
const said = `user: 1+2?\nassistant: ${called}tool: 3\nassistant: It is 3.~\n`

const demonstration = (row: Readonly<Record<string, unknown>>, by = chat) => rowIn(demonstrationRow, row, { chat: by })
const whole = (row: Readonly<Record<string, unknown>>, by = chat): string => {
  const { completion, prompt } = demonstration(row, by)
  return prompt + completion
}

describe("a conversation with tools", () => {
  it("is rendered with them, whatever the spelling of the row", () => {
    const spelt = (message: object) => [calling[0], message, ...calling.slice(2)]
    const text = { ...call, function: { name: "add", arguments: '{"a":1}' } }
    for (
      const messages of [
        calling,
        spelt({ role: "assistant", tool_calls: [call] }),
        spelt({ role: "assistant", content: "", tool_calls: [text], name: null }),
        spelt({ role: "assistant", content: null, tool_calls: [call.function] }),
        calling.map((message) => ({ ...message, tool_calls: message.tool_calls ?? null })),
        calling.map((message) => ({ ...message, tool_calls: message.tool_calls ?? [] })),
        calling.map((message) =>
          message.content === null ? message : {
            ...message,
            content: [{ type: "text", text: message.content.slice(0, 1) }, {
              type: "text",
              text: message.content.slice(1)
            }]
          }
        )
      ]
    ) {
      assert.strictEqual(whole({ messages }), said)
      assert.strictEqual(whole({ messages, tools: [add] }), shown + said)
      assert.strictEqual(whole({ messages, tools: JSON.stringify([add]) }), shown + said)
      assert.strictEqual(whole({ messages, tools: null }), said)
    }
    const asked = { messages: calling.slice(0, 1), tools: [add] }
    assert.strictEqual(rowIn(promptRow, asked, { chat }).prompt, `${shown}user: 1+2?\nassistant:`)
    const pair = {
      prompt: calling.slice(0, 1),
      chosen: calling.slice(1, 2),
      rejected: [{ role: "assistant", content: "4" }]
    }
    assert.deepStrictEqual(rowIn(preferenceRow, { ...pair, tools: [add] }, { chat }), {
      prompt: `${shown}user: 1+2?\nassistant:`,
      chosen: ` ${called}`,
      rejected: " 4~\n"
    })
    const kwargs = chatOf(`{{ 'short ' if short else '' }}${template}`)
    assert.strictEqual(whole({ messages: calling, chat_template_kwargs: { short: true } }, kwargs), `short ${said}`)
  })

  it("is learnt where the model speaks", () => {
    const ids = (text: string) => Int32Array.from(text, (letter) => letter.charCodeAt(0))
    const codec: Codec = {
      encodePrompt: ids,
      encodeCompletion: (text, { end }) => ids(text + (end && !text.trimEnd().endsWith("~") ? "~" : "")),
      decode: (tokens) => String.fromCharCode(...Array.from(tokens)),
      chat,
      stop: [126],
      vocab: 128
    }
    const row = masked(codec, "assistant").encode(demonstration({ messages: calling, tools: [add] }))
    const learnt = [...row.completion].filter((_, t) => row.mask[t] === 1)
    assert.strictEqual(codec.decode(row.prompt), `${shown}user: 1+2?\nassistant:`)
    // The line breaks after the ends are the template's: sampling stops before them.
    assert.strictEqual(codec.decode(learnt), ` ${called.trimEnd()} It is 3.~`)
  })

  it("two answers that call differently are two answers", () => {
    const other = {
      role: "assistant",
      content: null,
      tool_calls: [{ ...call, function: { name: "add", arguments: {} } }]
    }
    const { chosen, prompt, rejected } = rowIn(
      preferenceRow,
      { chosen: calling.slice(0, 2), rejected: [calling[0], other] },
      { chat }
    )
    assert.strictEqual(prompt, "user: 1+2?\nassistant:")
    assert.notStrictEqual(chosen, rejected)
  })

  it.each<[string, string, RegExp]>([
    [
      "arguments as text alone",
      "{% for m in messages %}{{ m.role + ':' + (m.content or '') }}{% for c in m.tool_calls or [] %}{{ c.function.name + c.function.arguments }}{% endfor %}{% endfor %}",
      /add\{"a":1\}/u
    ],
    [
      "calls beside a content that is none",
      "{% for m in messages %}{{ m.role }}{% if m.content is none %}{{ m.tool_calls[0].function | tojson }}{% else %}{{ m.content }}{% endif %}{% endfor %}",
      /"arguments": \{"a": 1\}/u
    ]
  ])("is given as its template wants it: %s", (_, template, found) => {
    assert.match(whole({ messages: calling }, chatOf(template)), found)
  })

  it.each<[string, object, string, RegExp]>([
    [
      "no tools",
      { messages: [calling[0], calling[3]], tools: [add] },
      template.replace("{% if tools %}", "{% if false %}"),
      /leaves out the tool add/u
    ],
    [
      "no calls",
      { messages: calling },
      "{% for m in messages %}{{ m.role + (m.content or '') }}{% endfor %}",
      /leaves out the call of add in message 2/u
    ],
    [
      "no calls beside tools",
      { messages: calling, tools: [add] },
      "{{ tools | tojson }}{% for m in messages %}{{ m.role + (m.content or '') }}{% endfor %}",
      /leaves out the call of add in message 2/u
    ],
    [
      "no results",
      { messages: calling },
      template.replace("{% for m in messages %}", "{% for m in messages if m.role != 'tool' %}"),
      /leaves out the result of a tool in message 3/u
    ],
    [
      "an image",
      { messages: [{ role: "user", content: [{ type: "image" }] }, calling[3]] },
      template,
      /a part of the type "image" in the content of message 1/u
    ],
    [
      "a call without a name",
      { messages: [calling[0], { role: "assistant", tool_calls: [{}] }] },
      template,
      /a tool call without a name in message 2/u
    ],
    [
      "no content",
      { messages: [calling[0], { role: "assistant", content: null }] },
      template,
      /no text as the content of message 2: null/u
    ],
    ["tools that are none", { messages: calling, tools: "hammer" }, template, /"tools" is no list of tools/u],
    [
      "a list in the place of a text",
      { messages: [{ role: "user", content: "?" }, calling[3]] },
      "{{ 'a' + messages }}",
      /a text and a value of the type ArrayValue by \+/u
    ]
  ])("is refused by name: %s", (_, row, template, problem) => {
    assert.throws(() => whole(row as never, chatOf(template)), Unfit, problem)
  })
})

it("a template with the line ends of Windows is the same template", () => {
  const lines = "{% for m in messages %}\n{{ m.content }}\n{% endfor %}\nend"
  assert.strictEqual(
    chatOf(lines.replaceAll("\n", "\r\n"))([calling[0] as never]),
    chatOf(lines)([calling[0] as never])
  )
})
