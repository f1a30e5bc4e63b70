import { NodeServices } from "@effect/platform-node"
import { Effect, Exit } from "effect"
import fc from "fast-check"
import { parquetWriteBuffer } from "hyparquet-writer"
import { mkdirSync, writeFileSync } from "node:fs"
import { brotliCompressSync, gzipSync, zstdCompressSync } from "node:zlib"
import { assert, describe, it } from "vitest"
import { BadData } from "../../src/data/badData.ts"
import type { Message } from "../../src/data/rows.ts"
import type { Named } from "../../src/data/paths.ts"
import { placeIn } from "../../src/data/places.ts"
import { type Batch, batchesOf } from "../../src/data/parquetRows.ts"
import { type Options, read, type Reader, readers } from "../../src/data/read.ts"
import { inFolder } from "./inFolder.ts"

type Files = Readonly<Record<string, Uint8Array | string>>

const reading = <Row extends object>(reader: Reader<Row>, files: Files, named: Named, options: Options = {}) =>
  inFolder(files, () => Effect.runPromiseExit(Effect.provide(read(reader)(named, options), NodeServices.layer)))

const found = async <Row extends object>(reader: Reader<Row>, files: Files, named: Named, options?: Options) => {
  const exit = await reading(reader, files, named, options)
  if (Exit.isFailure(exit)) assert.fail(String(exit.cause))
  return exit.value
}

const error = async <Row extends object>(
  reader: Reader<Row>,
  files: Files,
  named: Named,
  options?: Options
): Promise<BadData> => {
  const exit = await reading(reader, files, named, options)
  if (Exit.isSuccess(exit)) assert.fail(`read ${JSON.stringify(exit.value.rows.slice(0, 3))}`)
  const [reason] = exit.cause.reasons
  if (reason?._tag === "Fail" && reason.error instanceof BadData) return reason.error
  assert.fail(String(exit.cause))
}

const one = (name: string, bytes: Uint8Array | string): [Files, string] => [{ [name]: bytes }, name]

type Rows = ReadonlyArray<Readonly<Record<string, string>>>

const cell = (text: string): string => `"${text.replaceAll('"', '""')}"`
const separated = (rows: Rows, by: string): string => {
  const names = Object.keys(rows[0]!)
  return [names, ...rows.map((row) => names.map((name) => row[name]!))]
    .map((cells) => cells.map(cell).join(by)).join("\r\n")
}

const columns = (rows: ReadonlyArray<Readonly<Record<string, unknown>>>) =>
  Object.keys(rows[0]!).map((name) => ({ name, data: rows.map((row) => row[name]) as Array<never> }))

const codecs = {
  UNCOMPRESSED: undefined,
  SNAPPY: undefined,
  GZIP: (bytes: Uint8Array) => new Uint8Array(gzipSync(bytes)),
  BROTLI: (bytes: Uint8Array) => new Uint8Array(brotliCompressSync(bytes)),
  ZSTD: (bytes: Uint8Array) => new Uint8Array(zstdCompressSync(bytes))
} as const

const parquet = (
  rows: ReadonlyArray<Readonly<Record<string, unknown>>>,
  codec: keyof typeof codecs = "SNAPPY",
  rowGroupSize = 1000
): Uint8Array =>
  new Uint8Array(parquetWriteBuffer({
    columnData: columns(rows),
    codec,
    rowGroupSize,
    compressors: codecs[codec] === undefined ? {} : { [codec]: codecs[codec] }
  }))

/** Every way to write rows of texts down. */
const written = (rows: Rows, codec: keyof typeof codecs, rowGroupSize: number): Files => {
  const list = JSON.stringify(rows, null, 2)
  const lines = rows.map((row) => JSON.stringify(row)).join("\n")
  return {
    "a.jsonl": lines,
    "a.ndjson": lines,
    "a.json": list,
    "lines.json": lines,
    "short.json": JSON.stringify(rows),
    "a.csv": separated(rows, ","),
    "mark.csv": `\uFEFF${separated(rows, ",")}`,
    "a.tsv": separated(rows, "\t"),
    "a.parquet": parquet(rows, codec, rowGroupSize),
    "a.json.gz": new Uint8Array(gzipSync(list)),
    "a.csv.zst": new Uint8Array(zstdCompressSync(separated(rows, ","))),
    "two.jsonl.gz": new Uint8Array(Buffer.concat([gzipSync(`${lines}\n`), gzipSync("\n")])),
    "two.jsonl.zst": new Uint8Array(Buffer.concat([zstdCompressSync(`${lines}\n`), zstdCompressSync("\n")]))
  }
}

const text = fc.oneof(
  fc.string({ unit: "grapheme" }),
  fc.constantFrom('a "quoted" word', "a, b\tc", "a\r\nb", "]},[{", "\\", '\\"', "a\u2028b")
)
// A zero byte is refused, and pandas too reads an empty cell as no value.
const rowsOfText = fc.array(fc.record({ prompt: text, completion: text }), { minLength: 1, maxLength: 12 }).map((
  rows
) =>
  rows.map(({ completion, prompt }) => ({
    prompt: prompt.replaceAll("\0", ""),
    completion: completion.replaceAll("\0", "")
  }))
)

describe("kinds of files", () => {
  it("hold the same rows, whatever is in the texts", async () => {
    await fc.assert(
      fc.asyncProperty(
        rowsOfText,
        fc.constantFrom(...Object.keys(codecs) as Array<keyof typeof codecs>),
        fc.integer({ min: 1, max: 5 }),
        async (rows, codec, size) => {
          const files = written(rows, codec, size)
          for (const name of Object.keys(files)) {
            assert.deepStrictEqual((await found(readers.Demonstrations, files, name)).rows, rows, name)
          }
        }
      ),
      { numRuns: 12 }
    )
  })

  it("may be many times larger than a piece that is read at once", async () => {
    const rows = Array.from({ length: 3000 }, (_, i) => ({ prompt: `${i} `, completion: 'é"\n'.repeat(i % 700) }))
    const files = written(rows, "ZSTD", 150)
    for (const name of Object.keys(files)) {
      assert.deepStrictEqual((await found(readers.Demonstrations, files, name)).rows, rows, name)
    }
  })

  it("say the line of each row, and of its mistake", async () => {
    const lines = async (name: string, bytes: Uint8Array | string) =>
      (await found(readers.Text, ...one(name, bytes))).rows.map((row) => placeIn(row)!.line)
    assert.deepStrictEqual(await lines("a.json", '[\n{"text":"a"},\n\n{"text":\n"b"}\n,{"text":"c"}]'), [2, 4, 6])
    assert.deepStrictEqual(await lines("a.csv", 'text\n"a\nb"\n\nc\n'), [2, 5])
    assert.deepStrictEqual(await lines("a.parquet", parquet([{ text: "a" }, { text: "b" }])), [1, 2])
    const bad = await error(readers.Text, ...one("a.csv", 'text,n\na,1\n"b\nc",2\nd\n'))
    assert.strictEqual(bad.line, 5)
    assert.match(bad.message, /it has 1 cells, and the first line names 2 columns\. /u)
    const third = await error(
      readers.Text,
      ...one("a.parquet", parquet([{ text: "a" }, { text: "b" }, { text: null }]))
    )
    assert.strictEqual(third.line, 3)
    assert.match(third.message, /a\.parquet:3: no field "text"/u)
    assert.strictEqual((await error(readers.Text, ...one("a.json", '[{"text":"a"},\n{"text":3}]'))).line, 2)
  })

  it("that are damaged have an error with the file and a remedy", async () => {
    const told = async (name: string, bytes: Uint8Array | string) =>
      (await error(readers.Text, ...one(name, bytes))).message
    assert.match(
      await told("a.json", '[{"text":"a"},\n{"te'),
      /a\.json:2: the list is not closed: the file is cut off\. /u
    )
    assert.match(await told("a.json", '[{"text":"a"},]'), /an object is missing here/u)
    assert.match(await told("a.json", '[,{"text":"a"}]'), /an object is missing here/u)
    assert.match(await told("a.json", '[{"text":"a"}] x'), /text after the end of the list/u)
    assert.match(await told("a.json", "[]"), /no rows in it/u)
    assert.match(await told("a.json", "[3]"), /not an object but a number/u)
    assert.match(await told("a.json", '{\n "rows": []\n}'), /a\.json:1: not JSON/u)
    assert.match(await told("a.csv", 'text\na "b" c\n'), /a\.csv:2: .*quote/iu)
    assert.match(await told("a.csv", 'text\n"a'), /quote/iu)
    assert.match(await told("a.csv", "text,text\na,b"), /two columns are called "text"/u)
    assert.match(await told("a.csv", "text,\na,b"), /a column has no name/u)
    assert.match(await told("a.csv", "text"), /no rows in it/u)
    assert.match(await told("a.csv", new Uint8Array([...Buffer.from("text\nb\n"), 0xff, 0x0a])), /a\.csv:3: not UTF-8/u)
    assert.match(await told("a.tsv", "text\na\0b\n"), /a\.tsv:2: not text: it holds a zero byte/u)
    assert.match(
      await told("a.jsonl.zst", zstdCompressSync("x".repeat(9999)).subarray(0, 12)),
      /zstd data is damaged or cut off/u
    )
    assert.match(await told("a.jsonl.zst", "{}"), /not zstd data/u)
    assert.match(await told("a.parquet", "PAR1 and no more"), /Parquet data is damaged/u)
    assert.match(
      await told("a.parquet", "version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 1\n"),
      /pointer of Git LFS/u
    )
    const whole = parquet(Array.from({ length: 100 }, (_, i) => ({ text: `story ${i}` })))
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 0, max: whole.length - 1 }),
        fc.boolean(),
        fc.integer({ min: 1, max: 255 }),
        async (at, cut, by) => {
          const harmed = cut ? whole.slice(0, at) : whole.slice()
          if (!cut) harmed[at]! ^= by
          const exit = await reading(readers.Text, ...one("a.parquet", harmed))
          if (Exit.isSuccess(exit)) return
          const [reason] = exit.cause.reasons
          assert.isTrue(reason?._tag === "Fail" && reason.error instanceof BadData, String(exit.cause))
        }
      ),
      // Each starts a worker, and some never end: they are killed.
      { numRuns: 40 }
    )
  }, 180_000)

  it("in Parquet that keep the decoder busy for ever are told, and the decoder is killed", async () => {
    const data = Array.from({ length: 100 }, (_, i) => `story ${i}`)
    const endless = new Uint8Array(parquetWriteBuffer({ columnData: [{ name: "text", data, type: "STRING" }] }))
    // A length in the header of the first page.
    endless[24] = 145
    const told = await error(readers.Text, ...one("a.parquet", endless))
    assert.match(told.message, /a\.parquet: its Parquet data keeps the decoder busy without an end/u)
  }, 60_000)

  it("in Parquet with row groups larger than what is read at once are read in parts, lists only with an index", async () => {
    const texts = Array.from({ length: 5000 }, (_, i) => `${i} ${"once upon a time ".repeat(1 + i % 9)}`)
    const write = (column: object, schema: ReadonlyArray<object>, offsetIndex: boolean) =>
      new Uint8Array(parquetWriteBuffer({
        columnData: [{ name: "a", ...column, offsetIndex } as never],
        schema: schema as never,
        rowGroupSize: 4000,
        pageSize: 5000
      }))
    const text = { type: "BYTE_ARRAY", converted_type: "UTF8", repetition_type: "OPTIONAL" }
    const ofTexts = (indexed: boolean) =>
      write({ data: texts }, [{ name: "root", num_children: 1 }, { name: "a", ...text }], indexed)
    const ofLists = (indexed: boolean) =>
      write({ data: texts.map((one) => [one, "a"]) }, [
        { name: "root", num_children: 1 },
        { name: "a", converted_type: "LIST", num_children: 1, repetition_type: "OPTIONAL" },
        { name: "list", num_children: 1, repetition_type: "REPEATED" },
        { name: "element", ...text }
      ], indexed)
    const parts = async (bytes: Uint8Array, most: number) =>
      inFolder({ "a.parquet": bytes }, async () => {
        const batches: Array<Batch> = []
        for await (const batch of batchesOf("a.parquet", most)) batches.push(batch)
        return batches
      })
    for (const bytes of [ofTexts(false), ofTexts(true), ofLists(true)]) {
      const [some, all] = [await parts(bytes, 150_000), await parts(bytes, 1 << 30)]
      const rows = some.flatMap(({ rows }) => rows)
      assert.isAbove(some.length, 10)
      assert.deepStrictEqual(rows.map(({ a }) => Array.isArray(a) ? a[0] as unknown : a), texts)
      assert.deepStrictEqual(rows, all.flatMap(({ rows }) => rows))
      let line = 1
      for (const batch of some) {
        assert.strictEqual(batch.line, line)
        line += batch.rows.length
      }
    }
    const refused = await parts(ofLists(false), 150_000).then(() => "read", String)
    assert.match(refused, /the row group at row 1 has \d+ bytes, and at most 150000 of lists without an index/u)
  })

  it("that unpack to far more than their size are refused", async () => {
    const bomb = zstdCompressSync(Buffer.alloc(200 << 20, "a"))
    assert.match((await error(readers.Text, ...one("a.txt.zst", bomb))).message, /unpacks to more than/u)
  })

  it("of CSV read labels, scores and messages as JSON, and no other cell", async () => {
    const csv = "prompt,completion,label\n1,2,True\n3,4,0\n"
    assert.deepStrictEqual((await found(readers.UnpairedPreferences, ...one("a.csv", csv))).rows, [
      { prompt: "1", completion: "2", label: true },
      { prompt: "3", completion: "4", label: false }
    ])
    const named = await found(readers.UnpairedPreferences, ...one("a.csv", csv.replace("label", "good")), {
      fields: { label: "good" }
    })
    assert.deepStrictEqual(named.rows.map(({ label }) => label), [true, false])
    const ranked = 'prompt,completions,scores\nq,"[""a"",""b""]","[1, 2.5]"\n'
    assert.deepStrictEqual(
      (await found(readers.Rankings, ...one("a.csv", ranked))).rows,
      [
        { prompt: "q", completions: ["a", "b"], ranks: [1, 2] }
      ].map((row) => ({ ...row, completions: ["b", "a"] }))
    )
  })
})

describe("several files", () => {
  const jsonl = (...texts: ReadonlyArray<string>) => texts.map((text) => `${JSON.stringify({ text })}\n`).join("")
  const files = { "b.jsonl": jsonl("b"), "a.jsonl": jsonl("a", "a2"), "c.csv": "text\nc\n", "d.txt": "" }
  const texts = async (named: Named, options?: Options) =>
    (await found(readers.Text, files, named, options)).rows.map(({ text }) => text)

  it("are read in the order of a list, and of a pattern in the order of their names, each once", async () => {
    assert.deepStrictEqual(await texts(["b.jsonl", "a.jsonl"]), ["b", "a", "a2"])
    assert.deepStrictEqual(await texts("*.jsonl"), ["a", "a2", "b"])
    assert.deepStrictEqual(await texts("*.{csv,jsonl}"), ["a", "a2", "b", "c"])
    assert.deepStrictEqual(await texts(["c.csv", "*.jsonl", "a.jsonl"]), ["c", "a", "a2", "b"])
    assert.strictEqual((await found(readers.Text, files, "[ab].jsonl")).about.files, 2)
    assert.deepStrictEqual(await texts("*.jsonl", { offset: 1, limit: 2 }), ["a2", "b"])
  })

  it("that are not there are an error with the pattern", async () => {
    assert.match((await error(readers.Text, files, "*.parquet")).message, /^\*\.parquet: no file matches/u)
    assert.match((await error(readers.Text, files, ["a.jsonl", "x.jsonl"])).message, /^x\.jsonl: no such file/u)
    assert.match((await error(readers.Text, files, "*.jsonl", { offset: 3 })).message, /no rows are left/u)
  })

  it("named like a pattern are themselves", async () => {
    const odd = { "[a].jsonl": jsonl("odd"), "a.jsonl": jsonl("a") }
    assert.deepStrictEqual((await found(readers.Text, odd, "[a].jsonl")).rows, [{ text: "odd" }])
  })

  it("of a pattern are files, no folders", async () => {
    await inFolder({ "a.jsonl": jsonl("a") }, async () => {
      mkdirSync("b.jsonl")
      writeFileSync("c.jsonl", jsonl("c"))
      const { rows } = await Effect.runPromise(Effect.provide(read(readers.Text)("*.jsonl"), NodeServices.layer))
      assert.deepStrictEqual(rows, [{ text: "a" }, { text: "c" }])
    })
  })
})

describe("bad rows", () => {
  it("are left out and counted where the description says so", () =>
    fc.assert(
      fc.asyncProperty(fc.array(fc.boolean(), { minLength: 1, maxLength: 12 }), fc.nat(3), async (good, offset) => {
        const lines = good.map((fine, i) => fine ? `{"text":"${i}"}` : "{").join("\n")
        const kept = good.flatMap((fine, i) => fine ? [{ text: String(i) }] : []).slice(offset)
        const options = { onBadRow: "skip", offset } as const
        if (kept.length === 0) return void await error(readers.Text, ...one("a.jsonl", lines), options)
        const { about: { layouts, skipped }, rows } = await found(readers.Text, ...one("a.jsonl", lines), options)
        assert.deepStrictEqual(rows, kept)
        assert.strictEqual(skipped?.rows ?? 0, good.filter((fine) => !fine).length)
        if (skipped !== null) assert.include(skipped.first, `a.jsonl:${good.indexOf(false) + 1}: not JSON`)
        assert.deepStrictEqual(layouts.map(([, rows]) => rows), [good.filter(Boolean).length])
      })
    ))

  it("of several files are told with their files", async () => {
    const files = { "a.jsonl": "{\n", "b.jsonl": "3\n{\n" }
    const { message } = await error(readers.Text, files, "*.jsonl")
    assert.match(message, /^a\.jsonl:1: not JSON.*2 other rows are bad \(b\.jsonl:1: .*; b\.jsonl:2: /u)
  })
})

const chat = (messages: ReadonlyArray<Message>): string => messages.map((m) => `<${m.role}>${m.content}</>`).join("")

describe("layouts", () => {
  const lines = (...objects: ReadonlyArray<unknown>): [Files, string] =>
    one("a.jsonl", objects.map((one) => `${JSON.stringify(one)}\n`).join(""))
  const said = async <Row extends object>(reader: Reader<Row>, ...rows: ReadonlyArray<unknown>) => {
    const { about, rows: made } = await found(reader, ...lines(...rows), { chat })
    return [about.layouts[0]![0], made] as const
  }
  const turns = [{ from: "human", value: "q" }, { from: "gpt", value: "a" }]

  it("of TRL are named: standard and conversational, with an implicit prompt, transcripts", async () => {
    const user = [{ role: "user", content: "q" }]
    const bot = [{ role: "assistant", content: "a" }]
    const names = async (reader: Reader<object>, row: unknown) => (await said(reader, row))[0]
    assert.strictEqual(await names(readers.Text, { text: "a" }), "language modeling")
    assert.strictEqual(await names(readers.Text, { messages: user }), "language modeling, conversational")
    assert.strictEqual(await names(readers.Prompts, { prompt: "a" }), "prompt-only")
    assert.strictEqual(await names(readers.Prompts, { prompt: user }), "prompt-only, conversational")
    assert.strictEqual(await names(readers.Demonstrations, { prompt: "a", completion: "b" }), "prompt-completion")
    assert.strictEqual(await names(readers.Preferences, { prompt: "a", chosen: "b", rejected: "c" }), "preference")
    assert.strictEqual(
      await names(readers.Preferences, { chosen: [...user, ...bot], rejected: [...user, ...user] }),
      "preference, conversational, implicit prompt"
    )
    assert.strictEqual(
      await names(readers.Preferences, {
        chosen: "\n\nHuman: a\n\nAssistant: b",
        rejected: "\n\nHuman: a\n\nAssistant: c"
      }),
      "preference, implicit prompt, transcripts (Human, Assistant)"
    )
    assert.strictEqual(
      await names(readers.UnpairedPreferences, { prompt: "a", completion: "b", label: true }),
      "unpaired preference"
    )
    assert.strictEqual(
      await names(readers.Stepwise, { prompt: "a", completions: ["b"], labels: [true] }),
      "stepwise supervision"
    )
  })

  it("of ShareGPT are conversations, pairs and labelled answers", async () => {
    const whole = { prompt: "<user>q</>", completion: "<assistant>a</>" }
    const [name, rows] = await said(readers.Demonstrations, { conversations: turns, id: 3 })
    assert.match(name, /^ShareGPT/u)
    assert.deepStrictEqual(rows, [{ ...whole, turns: [{ context: whole.prompt, answer: whole.completion }] }])
    assert.deepStrictEqual((await said(readers.Text, { conversations: turns, system: "s" }))[1], [
      { text: `<system>s</>${whole.prompt}${whole.completion}` }
    ])
    assert.deepStrictEqual(
      (await said(readers.Preferences, {
        conversations: turns.slice(0, 1),
        chosen: turns[1],
        rejected: { from: "gpt", value: "b" }
      }))[1],
      [{ prompt: "<user>q</>", chosen: "<assistant>a</>", rejected: "<assistant>b</>" }]
    )
    assert.deepStrictEqual((await said(readers.UnpairedPreferences, { conversations: turns, kto_tag: false }))[1], [
      { ...whole, label: false }
    ])
    const wrong = { conversations: [turns[0], { from: "gpt", value: null }] }
    assert.match(
      (await error(readers.Demonstrations, ...lines({ conversations: turns }, wrong), { chat })).message,
      /^a\.jsonl:2: \["conversations"\]\[1\]\["value"\]: expected string/u
    )
    assert.match(
      (await error(readers.Demonstrations, ...lines({ conversations: [{ from: "cat", value: "miau" }] }))).message,
      /a turn is from "cat"/u
    )
  })

  it("of Alpaca are plain texts, the input on a line after the instruction", async () => {
    const [name, rows] = await said(
      readers.Demonstrations,
      { instruction: "add", input: "1 2", output: "3", text: "Below is …" },
      { instruction: "sing", input: "", output: "la", text: "Below is …" }
    )
    assert.match(name, /^Alpaca/u)
    assert.deepStrictEqual(rows, [{ prompt: "add\n1 2", completion: "3" }, { prompt: "sing", completion: "la" }])
    assert.deepStrictEqual(
      (await said(readers.Preferences, { instruction: "a", input: "b", chosen: "c", rejected: "d" }))[1],
      [
        { prompt: "a\nb", chosen: "c", rejected: "d" }
      ]
    )
    assert.match(
      (await error(readers.Demonstrations, ...lines({ instruction: 3, output: "a" }))).message,
      /instruction.*expected string/u
    )
    assert.match(
      (await error(readers.Demonstrations, ...lines({ instruction: "a", output: "b", history: [["q", "r"]] }))).message,
      /is a conversation/u
    )
    // Fields that the description names go first.
    const fields = { prompt: "input", completion: "output" }
    const named = await found(readers.Demonstrations, ...lines({ instruction: "a", input: "b", output: "c" }), {
      fields
    })
    assert.deepStrictEqual(named.rows, [{ prompt: "b", completion: "c" }])
  })

  it("of UltraFeedback are rankings, and pairs of the best and the worst", async () => {
    const rated = (response: string, ...ratings: ReadonlyArray<string>) => ({
      response,
      annotations: Object.fromEntries(ratings.map((Rating, i) => [`aspect ${i}`, { Rating, Rationale: "…" }])),
      overall_score: 10
    })
    const row = { instruction: "q", completions: [rated("a", "3", "4"), rated("b", "5", "N/A"), rated("c", "1", "2")] }
    assert.deepStrictEqual((await said(readers.Rankings, row))[1], [
      { prompt: "q", completions: ["b", "a", "c"], ranks: [1, 2, 3] }
    ])
    const [name, pairs] = await said(readers.Preferences, row)
    assert.match(name, /^UltraFeedback/u)
    assert.deepStrictEqual(pairs, [{ prompt: "q", chosen: "b", rejected: "c", margin: 3.5 }])
    assert.deepStrictEqual((await said(readers.Demonstrations, row))[1], [{ prompt: "q", completion: "b" }])
    const same = { instruction: "q", completions: [rated("a", "3"), rated("b", "3")] }
    assert.match((await error(readers.Preferences, ...lines(same))).message, /no completion is rated above another/u)
  })

  it("in Parquet have lists of messages, and columns without a value are not there", async () => {
    const messages = [{ role: "user", content: "q" }, { role: "assistant", content: "a" }]
    const schema = [
      { name: "root", num_children: 2 },
      { name: "messages", converted_type: "LIST", num_children: 1, repetition_type: "OPTIONAL" },
      { name: "list", num_children: 1, repetition_type: "REPEATED" },
      { name: "element", num_children: 2, repetition_type: "OPTIONAL" },
      { name: "role", type: "BYTE_ARRAY", converted_type: "UTF8", repetition_type: "OPTIONAL" },
      { name: "content", type: "BYTE_ARRAY", converted_type: "UTF8", repetition_type: "OPTIONAL" },
      { name: "prompt", type: "BYTE_ARRAY", converted_type: "UTF8", repetition_type: "OPTIONAL" }
    ]
    const bytes = parquetWriteBuffer({
      columnData: [{ name: "messages", data: [messages, messages] }, { name: "prompt", data: [null, null] }],
      schema: schema as never
    })
    const { about, rows } = await found(readers.Demonstrations, ...one("a.parquet", new Uint8Array(bytes)), { chat })
    assert.deepStrictEqual(
      rows.map(({ completion, prompt }) => ({ completion, prompt })),
      [1, 2].map(() => ({
        prompt: "<user>q</>",
        completion: "<assistant>a</>"
      }))
    )
    assert.strictEqual(about.layouts[0]![0], "prompt-completion, conversational")
  })

  it("with a message without a text name it", async () => {
    const row = { messages: [{ role: "user", content: "q" }, { role: "assistant", content: null }] }
    assert.match(
      (await error(readers.Demonstrations, ...lines(row), { chat })).message,
      /"messages" has no text as the content of message 2: null/u
    )
  })
})
