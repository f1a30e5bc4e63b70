/** Conversations of several turns as tokens: what stands between turns is the chat template's, what the policy wrote stays. */
import * as Effect from "effect/Effect"
import fc from "fast-check"
import { assert, describe, it } from "vitest"
import { Environment } from "../../dsl/index.ts"
import { conversation } from "../../src/data/conversation.ts"
import { callsIn, type Tool } from "../../src/data/toolCalls.ts"
import { Unfit } from "../../src/data/encode.ts"
import { promptRow } from "../../src/data/formats.ts"
import { chatTemplate } from "../../src/model/chatTemplate.ts"
import { type Codec, ownTokens, type Policy } from "../../src/engine/engine.ts"
import * as JudgeLayer from "../../src/rewards/judge.ts"
import { answeringOf } from "../../src/training/answering.ts"

/**
 * In the manners of Qwen 2.5 (`<tool_call>`, results as the user), Llama 3.1 (`parameters`), Mistral (a list of calls), Qwen3-Coder and
 * GLM (tags).
 */
const templates = {
  qwen: `{% for m in messages %}{% if m.role == 'tool' %}{{ '<|im_start|>user\\n<tool_response>\\n' + m.content }}\
{{ '\\n</tool_response><|im_end|>\\n' }}{% else %}{{ '<|im_start|>' + m.role + '\\n' + m.content }}\
{% for c in m.tool_calls or [] %}{{ '<tool_call>\\n{"name": "' + c.function.name + '", "arguments": ' }}\
{{ c.function.arguments | tojson }}{{ '}\\n</tool_call>' }}{% endfor %}{{ '<|im_end|>\\n' }}{% endif %}{% endfor %}\
{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}`,
  llama: `{% for m in messages %}{% if 'tool_calls' in m %}{{ '<|start|>assistant<|end|>{"name": "' }}\
{{ m.tool_calls[0].function.name + '", "parameters": ' }}{{ m.tool_calls[0].function.arguments | tojson }}{{ '}<|eot|>' }}\
{% elif m.role == 'tool' %}{{ '<|start|>ipython<|end|>' + m.content + '<|eot|>' }}\
{% else %}{{ '<|start|>' + m.role + '<|end|>' + m.content + '<|eot|>' }}{% endif %}{% endfor %}\
{% if add_generation_prompt %}{{ '<|start|>assistant<|end|>' }}{% endif %}`,
  mistral: `{% for m in messages %}{% if m.role == 'user' %}{{ '[INST]' + m.content + '[/INST]' }}\
{% elif m.role == 'tool' %}{{ '[TOOL_RESULTS]' + m.content + '[/TOOL_RESULTS]' }}{% elif m.tool_calls %}{{ '[TOOL_CALLS][' }}\
{% for c in m.tool_calls %}{% if c.id | length != 9 %}{{ raise_exception('an id has nine letters') }}{% endif %}\
{{ '{"name": "' + c.function.name + '", "arguments": ' }}{{ c.function.arguments | tojson }}{{ '}' }}{% endfor %}{{ ']</s>' }}\
{% else %}{{ m.content + '</s>' }}{% endif %}{% endfor %}`,
  coder: `{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + (m.content or '') }}\
{% for c in m.tool_calls or [] %}{{ '<tool_call>\\n<function=' + c.function.name + '>\\n' }}\
{% for k, v in c.function.arguments | items %}{{ '<parameter=' + k + '>\\n' }}{{ v if v is string else v | tojson }}{{ '\\n</parameter>\\n' }}\
{% endfor %}{{ '</function>\\n</tool_call>' }}{% endfor %}{{ '<|im_end|>\\n' }}{% endfor %}\
{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}`,
  glm: `{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + (m.content or '') }}\
{% for c in m.tool_calls or [] %}{{ '<tool_call>' + c.function.name + '\\n' }}\
{% for k, v in c.function.arguments | items %}{{ '<arg_key>' + k + '</arg_key>\\n<arg_value>' }}{{ v if v is string else v | tojson }}\
{{ '</arg_value>\\n' }}{% endfor %}{{ '</tool_call>' }}{% endfor %}{{ '<|im_end|>\\n' }}{% endfor %}\
{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}`
}

/** A token a letter, and a token for each of these. */
const special = [
  "<|im_start|>",
  "<|im_end|>",
  "<|start|>",
  "<|end|>",
  "<|eot|>",
  "[INST]",
  "[/INST]",
  "[TOOL_CALLS]",
  "[TOOL_RESULTS]",
  "[/TOOL_RESULTS]",
  "</s>"
]
const first = 0x110000
const pieces = new RegExp(`${special.map((one) => one.replaceAll(/[[\]|]/gu, "\\$&")).join("|")}|.`, "gsu")
const encode = (text: string): Int32Array =>
  Int32Array.from(text.match(pieces) ?? [], (piece) => {
    const at = special.indexOf(piece)
    return at < 0 ? piece.codePointAt(0)! : first + at
  })
const written = (ids: ArrayLike<number>): string =>
  Array.from(ids, (id) => id < first ? String.fromCodePoint(id) : special[id - first]!).join("")
const codecWith = (template: string): Codec => {
  const render = chatTemplate(new Map([["chat_template.jinja", template]]), {}, {})!
  return {
    encodePrompt: encode,
    encodeCompletion: encode,
    decode: (ids) => written(Array.from(ids).filter((id) => id < first)),
    chat: render,
    stop: ["<|im_end|>", "<|eot|>", "</s>"].map((one) => first + special.indexOf(one)),
    vocab: first + special.length
  }
}

const tool: Tool = { name: "add", description: "adds", parameters: { type: "object", properties: { a: {}, b: {} } } }
const call = { name: "add", arguments: { a: 1, b: 2 } }

describe.each(Object.entries(templates))("a conversation in the manner of %s", (_, template) => {
  const codec = codecWith(template)
  const speaking = conversation(codec, [tool])

  it("is the template's rendering, for turns that the template would write", () => {
    const messages = [
      { role: "user", content: "1+2?" },
      { role: "assistant", content: "", tool_calls: [{ id: "call00000", type: "function", function: call }] },
      { role: "tool", content: "3" },
      { role: "assistant", content: "It is 3." }
    ]
    const whole = codec.chat(messages)
    const prompt = speaking.prompt({ prompt: "1+2?" })
    assert.equal(written(prompt), codec.chat(messages.slice(0, 1)))
    // What the template writes as the message, up to its end.
    const rest = codec.chat(messages.slice(0, 2)).slice(written(prompt).length)
    const turn = encode(rest).subarray(0, 1 + encode(rest).findIndex((id) => codec.stop.includes(id)))
    const calls = speaking.calls(codec.decode(turn))
    assert.deepStrictEqual(calls, [call])
    const between = speaking.reply({ calls, ended: true }, [{ role: "tool", content: "3" }])!
    assert.isTrue(whole.startsWith(written([...prompt, ...turn, ...between])))
    assert.equal(written([...prompt, ...turn, ...between]), codec.chat(messages.slice(0, 3)))
  })

  it("begins with the row's conversation, whatever its text was; a plain prompt is a message of the user", () => {
    const messages = [{ role: "user", content: "Hello." }, { role: "assistant", content: "Hi." }, {
      role: "user",
      content: "1+2?"
    }]
    for (const row of [{ prompt: messages }, { messages: [...messages, { role: "assistant", content: "3" }] }]) {
      const read = promptRow(row, { chat: codec.chat })
      assert.equal(written(speaking.prompt(read)), codec.chat(messages))
      assert.equal(read.prompt, codec.chat(messages))
    }
    const plain = promptRow({ prompt: "1+2?" }, { chat: codec.chat })
    assert.equal(written(speaking.prompt(plain)), codec.chat([{ role: "user", content: "1+2?" }]))
  })

  it("goes on with a message of the user; nothing follows a turn that was cut off", () => {
    const reply = speaking.reply({ calls: [], ended: true }, [{ role: "user", content: "And 2+2?" }])!
    assert.include(written(reply), "And 2+2?")
    assert.isNull(speaking.reply({ calls: [], ended: false }, [{ role: "user", content: "And 2+2?" }]))
  })
})

describe("an episode", () => {
  /** A tokenizer with a token for "12", which the policy never writes. */
  const merging = (text: string) => encode(text.replaceAll("12", "\u{10ffff}"))
  const codec: Codec = {
    ...codecWith(templates.qwen),
    encodePrompt: merging,
    encodeCompletion: merging,
    decode: (ids) => written(Array.from(ids).filter((id) => id < first)).replaceAll("\u{10ffff}", "12")
  }
  const says = ['{"name": "calculator", "arguments": {"expression": "12 * 3"}}', "It is 36."]

  /** What is asked of a policy that says these things, letter by letter. */
  const played = (environment: Environment.Environment, texts: ReadonlyArray<string>, end = "<|im_end|>") => {
    const contexts: Array<Int32Array> = []
    const policy = {
      sample: (prompts: ReadonlyArray<Int32Array>) =>
        prompts.map((prompt) => {
          contexts.push(prompt)
          const completion = encode(`${texts[contexts.length - 1]}${end}`)
          return { completion, logps: new Float64Array(completion.length), finished: end !== "" }
        })
    } as unknown as Policy
    const [episode] = Effect.runSync(
      answeringOf({ stage: "here", codec, context: 1000 }, environment).pipe(
        Effect.flatMap(({ encoding, sample }) => {
          const row = { prompt: "What is 12 times 3?", row: 1 }
          return sample(
            policy,
            [{ ids: encoding().encode(row), row, world: "w" }],
            { maxNewTokens: 99, temperature: 1, topK: 0, topP: 1, stop: codec.stop },
            ["s"]
          )
        }),
        Effect.provide(JudgeLayer.layer())
      )
    )
    return { contexts, episode: episode! }
  }

  it("keeps the tokens of the policy as it wrote them, and gives it what the tool said", () => {
    const { contexts, episode } = played(Environment.calculator(), says)
    const { completion, given, prompt } = episode.row
    assert.include(written(prompt), "\u{10ffff} times 3")
    assert.deepStrictEqual(
      ownTokens(episode.row),
      Int32Array.from(says.flatMap((one) => [...encode(`${one}<|im_end|>`)]))
    )
    assert.equal(
      written(completion.filter((_, t) => given![t] === 1)),
      "\n<|im_start|>user\n<tool_response>\n36\n</tool_response><|im_end|>\n<|im_start|>assistant\n"
    )
    // The second turn begins where the first ended: with the same tokens, not with the same text.
    assert.deepStrictEqual(
      contexts[1],
      Int32Array.of(...prompt, ...completion.slice(0, contexts[1]!.length - prompt.length))
    )
    assert.isTrue(contexts[1]!.length > prompt.length)
    assert.equal(codec.decode(episode.last.completion), "It is 36.")
  })

  it("ends with a message without a call, after maxTurns, with a message that was cut off, and at the end of the context", () => {
    const ends = (environment: Environment.Environment, texts: ReadonlyArray<string>, end?: string) => {
      const { contexts, episode: { turns, unanswered } } = played(environment, texts, end)
      // An answer that the policy did not see is not in the transcript.
      assert.lengthOf(turns.at(-1)!.replies, 0)
      return [contexts.length, unanswered]
    }
    const calls = Array.from({ length: 99 }, () => says[0]!)
    assert.deepStrictEqual(ends(Environment.calculator(), ["36"]), [1, false])
    assert.deepStrictEqual(ends(Environment.calculator({ maxTurns: 2 }), calls), [2, true])
    assert.deepStrictEqual(ends(Environment.calculator(), says, ""), [1, true])
    assert.deepStrictEqual(ends(Environment.calculator({ maxTurns: 99 }), calls), [9, true])
  })

  it.each([
    ["12 * 3", "36"],
    ["(1 + 2) × 4.5", "13.5"],
    ["1 / 3", "0.3333333333"],
    ["2 - 5", "-3"],
    ["99999999999 * 99999999999", "9999999999800000000001"],
    ["1 / 0", "error: not an expression of numbers, + - * / and brackets"],
    ["process.exit()", "error: not an expression of numbers, + - * / and brackets"]
  ])("the calculator says of %s: %s", (expression, result) => {
    const { episode } = played(Environment.calculator(), [
      JSON.stringify({ name: "calculator", arguments: { expression } }),
      ""
    ])
    assert.deepStrictEqual(episode.turns[0]!.replies, [{ role: "tool", content: result }])
  })
})

describe("tool calls in tags", () => {
  const types: Tool = {
    name: "f",
    description: "",
    parameters: { type: "object", properties: { s: { type: "string" }, n: { type: "number" }, o: {} } }
  }
  const values = fc.record({
    s: fc.string({ unit: fc.constantFrom(...'ab1{}[]" \n') }),
    n: fc.oneof(fc.integer(), fc.double({ noNaN: true, noDefaultInfinity: true }).map((n) => n === 0 ? 0 : n)),
    o: fc.jsonValue({ noUnicodeString: true }).filter((value) =>
      !JSON.stringify(value).includes("<") && typeof value !== "string"
    )
  })

  it.each(["coder", "glm"] as const)("of %s: what the template writes is read as it was, with its types", (name) => {
    const { calls } = conversation(codecWith(templates[name]), [types])
    const render = codecWith(templates[name]).chat
    fc.assert(fc.property(fc.array(values, { maxLength: 3 }), (all) => {
      const said = all.map((args) => ({ name: "f", arguments: JSON.parse(JSON.stringify(args)) }))
      const messages = [{ role: "user", content: "?" }]
      const tools = said.map((of) => ({ type: "function", function: of }))
      const text = render([...messages, { role: "assistant", content: "so", tool_calls: tools } as never])
      assert.deepStrictEqual(calls(text), said)
    }))
    fc.assert(
      fc.property(
        fc.string({
          unit: fc.constantFrom(
            "<function=",
            "</function>",
            "<parameter=",
            "<tool_call>",
            "</tool_call>",
            "<arg_key>",
            ">",
            "a",
            "\n"
          )
        }),
        (text) => void calls(text)
      )
    )
    const began = performance.now()
    for (const open of ["<function=a>", "<tool_call>", "<parameter=", "<arg_key>"]) calls(open.repeat(200_000))
    assert.isBelow(performance.now() - began, 2000)
  })
})

describe("tool calls in a text", () => {
  it("are found whatever stands around them", () => {
    const one = JSON.stringify(call)
    for (
      const text of [
        one,
        `Let me see {1}. <tool_call>\n${one}\n</tool_call>`,
        `[${one}]`,
        `{"type": "function", "function": ${one}}`,
        `{"name": "add", "parameters": {"a": 1, "b": 2}}`,
        `{"name": "add", "arguments": "{\\"a\\": 1, \\"b\\": 2}"}`
      ]
    ) assert.deepStrictEqual(callsIn(text), [call], text)
    assert.deepStrictEqual(callsIn(`${one} ${one}`), [call, call])
    for (const text of ["", "{", "}{", '{"name": "add"}', '{"name": 1, "arguments": {}}', '{"a": "}"', "add(1, 2)"]) {
      assert.deepStrictEqual(callsIn(text), [], text)
    }
  })

  it("of any text: total, and in one pass", () => {
    fc.assert(fc.property(fc.string({ unit: fc.constantFrom(...'{}"\\a:,') }), (text) => void callsIn(text)))
    const began = performance.now()
    callsIn("{".repeat(1_000_000))
    callsIn('{"'.repeat(1_000_000))
    assert.isBelow(performance.now() - began, 2000)
  })
})

describe("a chat template that cannot carry it", () => {
  it.each([
    [
      "has no tool role",
      "{% for m in messages %}{% if m.role != 'tool' %}{{ m.content }}{% endif %}{% endfor %}",
      "tool"
    ],
    ["writes no calls", "{% for m in messages %}{{ m.role + m.content + '</s>' }}{% endfor %}", "tool calls"],
    ["rewrites", "{{ messages[-1].content + messages[-1].role }}", "rewrites"],
    ["refuses", "{{ raise_exception('only users') }}", "only users"]
  ])("is refused with the reason: %s", (_, template, reason) => {
    assert.throws(() => conversation(codecWith(template), [tool]), Unfit, reason)
  })

  it("which a model has none of", () => {
    const none = {
      ...codecWith(templates.qwen),
      chat: () => {
        throw new Error("the model's tokenizer has no chat template")
      }
    }
    assert.throws(() => conversation(none, []), Unfit, "no chat template")
  })
})
