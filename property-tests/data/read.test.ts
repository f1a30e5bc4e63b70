import { NodeServices } from "@effect/platform-node"
import { Effect, Exit, type FileSystem } from "effect"
import fc from "fast-check"
import { existsSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { gzipSync } from "node:zlib"
import { assert, describe, it } from "vitest"
import { shared as sharedData } from "../model/shared.ts"
import { BadData } from "../../src/data/badData.ts"
import type { Message } from "../../src/data/rows.ts"
import { type Options, read, type Reader as RowReader, readers } from "../../src/data/read.ts"
import { inFolder } from "./inFolder.ts"

type Reader<Row> = (path: string) => Effect.Effect<ReadonlyArray<Row>, BadData, FileSystem.FileSystem>

const rowsBy = <Row extends object>(reader: RowReader<Row>) => (path: string, options?: Options) =>
  Effect.map(read(reader)(path, options), ({ rows }) => rows)
const texts = rowsBy(readers.Text)
const prompts = rowsBy(readers.Prompts)
const demonstrations = rowsBy(readers.Demonstrations)
const preferences = rowsBy(readers.Preferences)
const unpairedPreferences = rowsBy(readers.UnpairedPreferences)

const reading = <Row>(read: Reader<Row>, bytes: Uint8Array | string, path = "rows.jsonl") =>
  inFolder({ [path]: bytes }, () => Effect.runPromiseExit(Effect.provide(read(path), NodeServices.layer)))

const rows = async <Row>(
  read: Reader<Row>,
  bytes: Uint8Array | string,
  path?: string
): Promise<ReadonlyArray<Row>> => {
  const exit = await reading(read, bytes, path)
  if (Exit.isFailure(exit)) assert.fail(String(exit.cause))
  return exit.value
}

const error = async <Row>(read: Reader<Row>, bytes: Uint8Array | string, path?: string): Promise<BadData> => {
  const exit = await reading(read, bytes, path)
  if (Exit.isSuccess(exit)) assert.fail(`read ${JSON.stringify(exit.value)}`)
  const [reason] = exit.cause.reasons
  assert.isTrue(reason?._tag === "Fail" && reason.error instanceof BadData, String(exit.cause))
  return (reason as { readonly error: BadData }).error
}

const lines = (...objects: ReadonlyArray<unknown>): string => objects.map((o) => `${JSON.stringify(o)}\n`).join("")
const chat = (messages: ReadonlyArray<Message>): string => messages.map((m) => `<${m.role}>${m.content}</>`).join("")
const user = (content: string): Message => ({ role: "user", content })
const assistant = (content: string): Message => ({ role: "assistant", content })

describe("files of rows", async () => {
  it("come back as they were written, whatever is in the texts, gzipped or not, with a mark in front or not", async () => {
    const text = fc.oneof(
      fc.string(),
      fc.string({ unit: "grapheme" }),
      fc.constantFrom("a\u2028b", "a\u0085b", "a\r\nb")
    )
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ text }), { minLength: 1 }),
        fc.boolean(),
        fc.boolean(),
        async (all, zip, mark) => {
          const bytes = new TextEncoder().encode(`${mark ? "\uFEFF" : ""}${lines(...all)}`)
          assert.deepStrictEqual(
            await rows(texts, zip ? new Uint8Array(gzipSync(bytes)) : bytes, zip ? "a.jsonl.gz" : "a.jsonl"),
            all
          )
        }
      )
    )
  })

  it("are split on line feeds only, of which the last may be missing; blank lines and \\r do not count", async () => {
    assert.deepStrictEqual(await rows(texts, '{"text":"a\u2028b\u0085c"}\r\n\n  \n{"text":"d"}'), [{
      text: "a\u2028b\u0085c"
    }, { text: "d" }])
    assert.deepStrictEqual(await rows(texts, "one\r\ntwo\u2028three\n", "a.txt"), [{ text: "one" }, {
      text: "two\u2028three"
    }])
    assert.deepStrictEqual(await rows(prompts, gzipSync("why ?\n"), "a.txt.gz"), [{ prompt: "why ?" }])
  })

  it("are read as far as the limit, and no further", async () => {
    const read: Reader<unknown> = (path) => texts(path, { limit: 2 })
    assert.lengthOf(await rows(read, `${lines({ text: "a" }, { text: "b" })}not json`), 2)
  })

  it("are as many as their description says: one fewer or more is an error with both numbers, unless a limit ends it before", async () => {
    const bytes = lines(...["a", "b", "c", "d"].map((text) => ({ text })), { none: 1 })
    const found = (options: Options) => rows((path) => texts(path, { onBadRow: "skip", ...options }), bytes)
    // A bad row is a row of the data set too.
    assert.lengthOf(await found({ all: 5 }), 4)
    assert.lengthOf(await found({ all: 5, offset: 1 }), 3)
    assert.lengthOf(await found({ all: 4, limit: 2 }), 2)
    for (const all of [4, 6]) {
      for (const options of [{ all }, { all, offset: 2 }, { all, limit: 9 }]) {
        const { problem } = await error((path) => texts(path, { onBadRow: "skip", ...options }), bytes)
        assert.strictEqual(problem, `it has 5 rows, and its description says ${all}`)
      }
    }
  })

  it("are all told when they are bad: the first whole, the number of others, and some of them by line", () =>
    fc.assert(
      fc.asyncProperty(fc.array(fc.boolean(), { minLength: 1, maxLength: 12 }), async (good) => {
        const text = good.map((fine) => fine ? '{"text":"a"}' : '{"text":3}').join("\n")
        const at = good.flatMap((fine, i) => fine ? [] : [i + 1])
        if (at.length === 0) return assert.lengthOf(await rows(texts, text), good.length)
        const { line, message } = await error(texts, text)
        assert.strictEqual(line, at[0])
        const others = at.length - 1
        assert.strictEqual(message.includes("other row"), others > 0)
        if (others > 0) {
          assert.include(message, `; ${others} other row${others === 1 ? " is" : "s are"} bad (line ${at[1]}: `)
        }
        const shown = [...message.matchAll(/line (\d+): "text" is neither/gu)].map(([, n]) => Number(n))
        assert.deepStrictEqual(shown, at.slice(1, 5))
        assert.strictEqual(message.includes("; …)"), others > 4)
      })
    ))

  it("have a clear error, with the line and the remedy, when something is wrong", async () => {
    const json = await error(texts, `${lines({ text: "a" })}\n{"text": \n`)
    assert.strictEqual(json.line, 3)
    assert.match(json.message, /^rows\.jsonl:3: not JSON: .*one JSON object/u)
    assert.match(
      (await error(texts, '[{"text":"a"}]')).message,
      /:1: not an object but a list\. .*without the brackets/u
    )
    assert.match((await error(texts, "")).message, /^rows\.jsonl: no rows in it\. /u)
    assert.match((await error(texts, "\n \n")).message, /no rows in it/u)
    assert.match((await error(texts, "\uFEFF")).message, /no rows in it/u)
    assert.match((await error(texts, "a", "model.safetensors")).message, /not a kind of file.*\.jsonl/u)
    assert.match((await error(texts, "{}", "rows.jsonl.gz")).message, /not gzip data/u)
    assert.match(
      (await error(texts, gzipSync("x".repeat(9999)).subarray(0, 25), "rows.jsonl.gz")).message,
      /damaged or cut off/u
    )
    assert.match(
      (await error(texts, new Uint8Array([0x7b, 0x0a, 0xff, 0xfe, 0x0a]), "a.txt")).message,
      /^a\.txt:2: not UTF-8/u
    )
    assert.match((await error(texts, "a\0b", "a.txt")).message, /zero byte/u)
    assert.match((await error(demonstrations, "a\n", "a.txt")).message, /no fields\. Give a \.jsonl/u)
  })

  it("name the field that is missing, those that are there, and how to say which it is", async () => {
    const one = await error(demonstrations, lines({ prompt: "a", completion: "b" }, { question: "c", answer: "d" }))
    assert.strictEqual(one.line, 2)
    assert.match(
      one.message,
      /no field "prompt"; the row has "question", "answer"\. .*fields: \{ prompt: "question" \}/u
    )
    assert.match((await error(texts, lines({}))).message, /no field "text"; the row has no fields/u)
    assert.match(
      (await error(prompts, lines({ prompt: 3 }))).message,
      /"prompt" is neither a string nor a list of messages/u
    )
    assert.match((await error(preferences, lines({ prompt: "a", chosen: "b" }))).message, /no field "rejected"/u)
    assert.match((await error(texts, '{"__proto__":{"text":"a"}}')).message, /no field "text"/u)
  })

  it("that are not there are an error value, not a defect", async () => {
    const exit = await Effect.runPromiseExit(texts("no/such/file.jsonl").pipe(Effect.provide(NodeServices.layer)))
    assert.isTrue(Exit.isFailure(exit) && exit.cause.reasons[0]?._tag === "Fail")
    if (Exit.isFailure(exit)) assert.match(String(exit.cause), /no such file/u)
  })
})

describe("rows", async () => {
  it("have their fields under other names, inside others too", async () => {
    const read: Reader<unknown> = (path) =>
      demonstrations(path, { fields: { prompt: "question", completion: "answers.0.text" } })
    assert.deepStrictEqual(await rows(read, lines({ question: "a", answers: [{ text: "b" }] })), [{
      prompt: "a",
      completion: "b"
    }])
  })

  it("of prompt and completion are kept exactly, and joined give the text", async () => {
    await fc.assert(fc.asyncProperty(fc.record({ prompt: fc.string(), completion: fc.string() }), async (row) => {
      assert.deepStrictEqual(await rows(demonstrations, lines({ ...row, id: 1 })), [row])
      assert.deepStrictEqual(await rows(prompts, lines(row)), [{ prompt: row.prompt }])
    }))
  })

  it("of preferences have an implicit prompt: what both answers begin with, nothing of which is lost", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.string({ unit: "grapheme" }),
        fc.string({ unit: "grapheme" }),
        fc.string({ unit: "grapheme" }),
        async (p, a, b) => {
          fc.pre(a !== b)
          const [row] = await rows(preferences, lines({ chosen: p + a, rejected: p + b }))
          assert.strictEqual(row!.prompt + row!.chosen, p + a)
          assert.strictEqual(row!.prompt + row!.rejected, p + b)
          // Longer than what is known to be common, but for a space or half a character given back.
          assert.isAtLeast(row!.prompt.length, p.length - 1)
        }
      )
    )
    // TRL's own example: the space goes to the answers.
    assert.deepStrictEqual(
      await rows(preferences, lines({ chosen: "The sky is blue.", rejected: "The sky is green." })),
      [
        { prompt: "The sky is", chosen: " blue.", rejected: " green." }
      ]
    )
    const turn = "\n\nHuman: hi\n\nAssistant:"
    assert.deepStrictEqual(
      await rows(preferences, lines({ chosen: `${turn} I am well`, rejected: `${turn} I am ill` })),
      [
        { prompt: turn, chosen: " I am well", rejected: " I am ill" }
      ]
    )
    assert.match((await error(preferences, lines({ chosen: "a", rejected: "a" }))).message, /the same/u)
  })

  it("of preferences have a margin, given or from two scores", async () => {
    const pair = { prompt: "a", chosen: "b", rejected: "c" }
    assert.deepStrictEqual(
      await rows(preferences, lines({ ...pair, margin: 2 }, { ...pair, score_chosen: 9, score_rejected: 8.5 })),
      [
        { ...pair, margin: 2 },
        { ...pair, margin: 0.5 }
      ]
    )
    const scored = { ...pair, metadata: { score_chosen: 9, score_rejected: 4 } }
    assert.deepStrictEqual(await rows(preferences, lines(scored, pair)), [{ ...pair, margin: 5 }, pair])
    assert.match((await error(preferences, lines({ ...pair, margin: "much" }))).message, /not a number/u)
  })

  it("of messages are rendered, and a completion is what it adds to its prompt", async () => {
    const talk = [user("a"), assistant("b"), user("c"), assistant("d")]
    const demos: Reader<unknown> = (path) => demonstrations(path, { chat })
    const split = { prompt: "<user>a</><assistant>b</><user>c</>", completion: "<assistant>d</>" }
    const turns = [{ context: "<user>a</>", answer: "<assistant>b</>" }, {
      context: "<user>c</>",
      answer: "<assistant>d</>"
    }]
    assert.deepStrictEqual(
      await rows(demos, lines({ messages: talk }, { prompt: talk.slice(0, 3), completion: talk.slice(3) })),
      [{ ...split, turns }, { ...split, turns }]
    )
    assert.deepStrictEqual(await rows((path) => texts(path, { chat }), lines({ messages: talk })), [{
      text: chat(talk)
    }])
    const asks: Reader<unknown> = (path) => prompts(path, { chat })
    assert.deepStrictEqual(
      await rows(asks, lines({ prompt: [user("a")] }, { messages: talk.slice(0, 2) }, { messages: [user("a")] })),
      [
        { prompt: "<user>a</>", messages: [user("a")] },
        { prompt: "<user>a</>", messages: [user("a")] },
        { prompt: "<user>a</>", messages: [user("a")] }
      ]
    )
    const pairs: Reader<unknown> = (path) => preferences(path, { chat })
    const pair = { prompt: "<user>a</>", chosen: "<assistant>b</>", rejected: "<assistant>c</>" }
    assert.deepStrictEqual(
      await rows(
        pairs,
        lines(
          { prompt: [user("a")], chosen: [assistant("b")], rejected: [assistant("c")] },
          { chosen: [user("a"), assistant("b")], rejected: [user("a"), assistant("c")] },
          { prompt: "a", chosen: [user("a"), assistant("b")], rejected: [user("a"), assistant("c")] }
        )
      ),
      [pair, pair, pair]
    )
  })

  it("of messages say what is wrong with a template, or that there is none", async () => {
    const talk = lines({ messages: [user("a"), assistant("b")] })
    assert.match((await error(demonstrations, talk)).message, /no chat template.*plain strings/u)
    const shrinking: Reader<unknown> = (path) => demonstrations(path, { chat: (m) => `${m.length}` })
    assert.match((await error(shrinking, talk)).message, /not the beginning/u)
    const throwing: Reader<unknown> = (path) =>
      demonstrations(path, {
        chat: () => {
          throw new Error("roles must alternate")
        }
      })
    assert.match((await error(throwing, talk)).message, /roles must alternate/u)
    const demos: Reader<unknown> = (path) => demonstrations(path, { chat })
    assert.match((await error(demos, lines({ messages: [user("a")] }))).message, /no assistant turn/u)
  })
})

const shared = new URL("../../../shared/data/", import.meta.url)
describe.skipIf(!existsSync(shared))("real files (need ../shared/data)", async () => {
  const count = <Row>(file: string, read: (path: string) => ReturnType<Reader<Row>>): Promise<number> =>
    Effect.runPromise(read(fileURLToPath(new URL(file, shared))).pipe(Effect.provide(NodeServices.layer))).then((all) =>
      all.length
    )

  it("are read whole", async () => {
    assert.strictEqual(await count("corpora/tinystories.jsonl.gz", (path) => texts(path)), 1618)
    assert.strictEqual(await count("prefs/hh_harmless_test.jsonl.gz", (path) => preferences(path)), 2312)
    assert.strictEqual(await count("prefs/ultrafeedback_eval.jsonl.gz", (path) => preferences(path)), 200)
    assert.strictEqual(await count("prefs/oasst_pairs.jsonl.gz", (path) => preferences(path, { chat })), 754)
    assert.strictEqual(await count("instruct/oasst_sft.jsonl.gz", (path) => demonstrations(path, { chat })), 626)
    const fields = { prompt: "instruction", completion: "instances.0.output" }
    assert.strictEqual(await count("instruct/seed_tasks.jsonl", (path) => demonstrations(path, { fields })), 175)
  })
})

describe("unpaired preferences", async () => {
  it("are completions or conversations with a label", async () => {
    assert.deepStrictEqual(
      await rows(
        unpairedPreferences,
        lines(
          { prompt: "a", completion: "b", label: true },
          { prompt: "a", completion: "c", label: 0 }
        )
      ),
      [{ prompt: "a", completion: "b", label: true }, { prompt: "a", completion: "c", label: false }]
    )
    const read = (path: string) => unpairedPreferences(path, { chat })
    assert.deepStrictEqual(
      await rows(read, lines({ messages: [user("q"), assistant("r")], label: false })),
      [{ prompt: "<user>q</>", completion: "<assistant>r</>", label: false }]
    )
    const renamed = (path: string) => unpairedPreferences(path, { fields: { label: "good" } })
    assert.deepStrictEqual(
      await rows(renamed, lines({ prompt: "a", completion: "b", good: true })),
      [{ prompt: "a", completion: "b", label: true }]
    )
  })

  it("without a label, or with one that is neither, say so", async () => {
    const missing = await error(unpairedPreferences, lines({ prompt: "a", completion: "b" }))
    assert.include(missing.message, 'no field "label"')
    for (const label of ["yes", 2, null, NaN]) {
      assert.include(
        (await error(unpairedPreferences, lines({ prompt: "a", completion: "b", label }))).message,
        "label"
      )
    }
  })

  const demo = sharedData("prefs/kto_en_demo.jsonl.gz")
  it.skipIf(demo === null)("of a published set are all there, of both kinds", async () => {
    const read = await Effect.runPromise(
      Effect.provide(unpairedPreferences(demo!, { chat }), NodeServices.layer)
    )
    assert.strictEqual(read.length, 300)
    assert.isAbove(read.filter(({ label }) => label).length, 50)
    assert.isAbove(read.filter(({ label }) => !label).length, 50)
    assert.isTrue(read.every(({ completion, prompt }) => completion !== "" && prompt !== ""))
  })
})
