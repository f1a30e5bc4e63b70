/**
 * A fuzzed input: files, the code of Keel that reads them, and a command line that does the same. Drawn by number, so that a case can be
 * made again.
 */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { Cause, Console, Effect, Exit, type FileSystem, Option } from "effect"
import { execFileSync } from "node:child_process"
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { Artifact, Checkpoint, Pipeline, Sft, Source } from "../../dsl/index.ts"
import { mermaid, text } from "../../dsl/Render.ts"
import { pipelineOf } from "../../src/cli/pipelineFile.ts"
import { priceOf } from "../../src/cli/prices.ts"
import { encodeTexts } from "../../src/data/encode.ts"
import { read, readers as byRole } from "../../src/data/read.ts"
import { problems } from "../../src/interpreters/check.ts"
import { codecOf } from "../../src/interpreters/checkpoints.ts"
import { shapesIn } from "../../src/interpreters/checkpointShapes.ts"
import { loadWith } from "../../src/model/adapter.ts"
import { modelConfig } from "../../src/model/config.ts"
import { codec } from "../../src/model/tokenizer.ts"
import { ledger } from "../../src/program/ledger.ts"
import { type Random, stream } from "../../src/sampling/random.ts"
import { events, started } from "../../src/store/runDirectory.ts"
import { mutate, mutateJson, pick } from "./mutations.ts"
import type { Files, Seeds } from "./seeds.ts"

/** Something else than a file: a pipe that nobody writes to, a folder, a link to `/dev/zero`, a link to itself. */
type Special = "pipe" | "folder" | "zero" | "loop"

export interface Case {
  readonly name: string
  /** By path in the folder of the case. */
  readonly files: ReadonlyMap<string, Buffer | Special>
  /** Reads the files in the folder; null where only the command line does. */
  readonly inside: ((folder: string) => Effect.Effect<unknown, unknown, FileSystem.FileSystem>) | null
  /** Runs in the folder. */
  readonly args: ReadonlyArray<string>
}

export const place = (folder: string, { files }: Case): void => {
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  for (const [name, content] of files) {
    const path = join(folder, name)
    mkdirSync(dirname(path), { recursive: true })
    if (content === "pipe") execFileSync("mkfifo", [path])
    else if (content === "folder") mkdirSync(path)
    else if (content === "zero") symlinkSync("/dev/zero", path)
    else if (content === "loop") symlinkSync(path, path)
    else writeFileSync(path, content)
  }
}

const under = (folder: string, files: Files): Array<[string, Buffer | Special]> =>
  [...files].map(([name, bytes]) => [`${folder}/${name}`, bytes])

/** One of the files harmed, now and then replaced by something that is no file. */
const harmed = (files: ReadonlyMap<string, Buffer | Special>, random: Random, only = /./u) => {
  const made = new Map(files)
  const name = pick(random, [...files.keys()].filter((name) => only.test(name)))
  const own = made.get(name) as Buffer
  const isJson = name.endsWith("json")
  made.set(
    name,
    random.int(100) === 0
      ? pick<Special>(random, ["pipe", "folder", "zero", "loop"])
      : mutate(own, isJson, random)
  )
  if (random.int(50) === 0) made.delete(name)
  return { files: made, name }
}

const template = (random: Random): Buffer =>
  Buffer.from(
    Array.from({ length: 1 + random.int(6) }, () =>
      pick(random, [
        "{% for m in messages %}{{ m.content }}{% endfor %}",
        "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
        "{% set n = namespace(x='ab') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}{{ n.x }}",
        "{% set n = namespace(x=[1]) %}{% for i in range(60) %}{% set n.x = n.x + n.x %}{% endfor %}",
        "{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}",
        "{{ messages | tojson(indent=1000000000) }}",
        "{{ range(1000000000) | length }}",
        "{{ 'a\\nb' | indent(999999999, true) }}",
        "{{ raise_exception('no') }}",
        "{{ messages[5].content }}",
        "{{ ".repeat(1 + random.int(3000)),
        "{{ (".repeat(1) + "(".repeat(random.int(20_000)),
        "{% if ".repeat(random.int(2000)),
        "{{ 9".padEnd(random.int(5000), "9") + " }}"
      ])).join("")
  )

const modelCase = (seeds: Seeds, random: Random): Case => {
  const model = new Map<string, Buffer | Special>(under("model", seeds.model))
  if (random.int(3) === 0) model.set("model/tokenizer.json", pick(random, seeds.tokenizers))
  const withAdapter = random.int(5) === 0
  if (withAdapter) { for (const [name, bytes] of under("adapter", seeds.adapter)) model.set(name, bytes) }
  const { files, name } = harmed(
    model,
    random,
    pick(random, [/./u, /tokenizer|config/u, withAdapter ? /adapter/u : /safetensors/u])
  )
  if (random.int(30) === 0) files.set("model/chat_template.jinja", template(random))
  const chat = random.int(2) === 0
  return {
    name: `model ${name}`,
    files,
    inside: (folder) =>
      Effect.gen(function*() {
        const path = join(folder, "model")
        const weights = yield* loadWith(path, withAdapter ? join(folder, "adapter") : undefined)
        const own = yield* codecOf(
          { codec: ({ config, tokenizer }) => codec(tokenizer, modelConfig(config)) },
          weights,
          path
        )
        const { context, vocab } = modelConfig(weights.config)
        yield* encodeTexts({ stage: "fuzz", codec: own, context }, [
          { text: "once there was a girl aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" },
          { text: "<s> ünïcödé \u{1f600}\n</s>" }
        ])
        own.decode(Array.from({ length: 5 }, () => random.int(vocab)))
      }),
    args: [
      "generate",
      "model",
      "--backend",
      "wasm",
      "--prompt",
      "once there was",
      "--max-tokens",
      "2",
      ...(chat ? ["--chat"] : [])
    ]
  }
}

const readers = {
  texts: read(byRole.Text),
  prompts: read(byRole.Prompts),
  demonstrations: read(byRole.Demonstrations),
  preferences: read(byRole.Preferences),
  unpairedPreferences: read(byRole.UnpairedPreferences),
  rankings: read(byRole.Rankings),
  stepwise: read(byRole.Stepwise),
  packed: read(byRole.Text),
  csv: read(byRole.Demonstrations),
  json: read(byRole.Demonstrations),
  zst: read(byRole.Demonstrations)
} as const

/** Rows in other files than JSON Lines. */
const named: Readonly<Partial<Record<keyof typeof readers, string>>> = {
  packed: "rows.jsonl.gz",
  csv: "rows.csv",
  json: "rows.json",
  zst: "rows.jsonl.zst"
}

const rowsCase = (seeds: Seeds, random: Random): Case => {
  const kind = pick(random, Object.keys(readers) as ReadonlyArray<keyof typeof readers>)
  const name = named[kind] ?? (random.int(10) === 0 ? "rows.txt" : "rows.jsonl")
  const seed = seeds.rows[kind]!
  const bytes = kind in named || random.int(3) === 0
    ? mutate(seed, kind === "json", random)
    : Buffer.from(seed.toString().split("\n").map((line) => line === "" ? line : mutateJson(line, random)).join("\n"))
  const special = random.int(100) === 0 ? pick<Special>(random, ["pipe", "folder", "zero", "loop"]) : null
  const fields = random.int(4) === 0
    ? { prompt: pick(random, ["question", "a.b.0", "", "__proto__.x", "messages.0.content"]) }
    : {}
  const root = Sft.make({
    base: Checkpoint.huggingFace("tales", "model"),
    demonstrations: Source.demonstrations(Source.file(name, { fields }))
  }, { batchSize: 1, learningRate: 1e-3 })
  return {
    name: `rows ${kind}`,
    files: new Map<string, Buffer | Special>([
      [name, special ?? bytes],
      ["description.json", Buffer.from(Pipeline.toJson(root))],
      ...under("model", seeds.model)
    ]),
    inside: (folder) =>
      readers[kind](join(folder, name), {
        fields,
        chat: (messages) => messages.map(({ content, role }) => `${role}: ${content}`).join("\n")
      }),
    args: ["run", "description.json", "--backend", "wasm", "--out", "runs/fuzz"]
  }
}

/** The ids made right again, so that the parameters are looked at. */
const sealed = (text: string): string => {
  try {
    const description = JSON.parse(text)
    const ids = new Map<string, string>()
    for (const node of description.nodes) {
      node.inputs = Object.fromEntries(
        Object.entries(node.inputs).map(([wire, id]) => [wire, ids.get(id as string) ?? id])
      )
      const id = Artifact.idOf(node.op, node.params, node.inputs)
      ids.set(node.id, id)
      node.id = id
    }
    description.root = ids.get(description.root) ?? description.root
    return JSON.stringify(description)
  } catch {
    return text
  }
}

/** A parameter of the description by its path, as `--set` names it. */
const parameter = (description: string, random: Random): string => {
  const { op, params } = pick(random, JSON.parse(description).nodes as ReadonlyArray<{ op: string; params: object }>)
  const path = [op.toLowerCase()]
  let at: unknown = params
  do {
    const keys = [...Object.keys(at as object), "x"]
    path.push(pick(random, keys))
    at = (at as Readonly<Record<string, unknown>>)[path.at(-1)!]
  } while (typeof at === "object" && at !== null && random.int(2) === 0)
  return path.join(".")
}

const overrides = (description: string, random: Random): ReadonlyArray<string> =>
  Array.from({ length: random.int(3) }, () => {
    const path = random.int(4) > 0
      ? parameter(description, random)
      : pick(random, [
        "ppo",
        "",
        "cap.total",
        "sft.__proto__.x",
        "x".repeat(random.int(300)),
        `sft${".a".repeat(random.int(20_000))}`
      ])
    const value = mutateJson(pick(random, ["0.5", "[1, {}]", '{"a": [1]}', '"text"']), random)
    return random.int(20) === 0 ? path : `${path}=${value}`
  })

const descriptionCase = (seeds: Seeds, random: Random): Case => {
  const seed = pick(random, seeds.descriptions)
  const own = random.int(2) === 0 ? Buffer.from(seed) : mutate(Buffer.from(seed), true, random)
  const bytes = random.int(3) > 0 ? Buffer.from(sealed(own.toString())) : own
  const set = overrides(seed, random)
  const special = random.int(200) === 0 ? pick<Special>(random, ["pipe", "folder", "zero", "loop"]) : null
  return {
    name: "description",
    files: new Map<string, Buffer | Special>([["description.json", special ?? bytes], ...under("model", seeds.model)]),
    inside: (folder) =>
      Effect.gen(function*() {
        const file = join(folder, "description.json")
        const { root } = yield* pipelineOf(file, {
          set,
          take: [],
          choose: [],
          shrink: false,
          base: Option.none(),
          seed: Option.none()
        })
        problems(root, { shapes: yield* shapesIn(root) })
        Pipeline.toJson(root)
        mermaid(root)
        text(root)
      }),
    args: [pick(random, ["check", "show"]), "description.json", ...set.flatMap((one) => ["--set", one])].map((arg) =>
      arg.replaceAll("\0", "0")
    )
  }
}

const runCase = (seeds: Seeds, random: Random): Case => {
  const { files, name } = harmed(new Map(under("run", seeds.runFolder)), random, /description|run\.json|events/u)
  const path = "run/events.jsonl"
  const log = seeds.runFolder.get("events.jsonl")!.toString()
  if (name === path && random.int(2) === 0) {
    const lines = log.trimEnd().split("\n")
    const at = random.int(lines.length)
    files.set(path, Buffer.from(lines.map((line, i) => i === at ? mutateJson(line, random) : line).join("\n")))
  }
  return {
    name: `run folder ${name}`,
    files,
    inside: (folder) =>
      Effect.gen(function*() {
        const run = join(folder, "run")
        yield* started(run)
        yield* events(run)
        yield* ledger(run)
      }),
    args: [pick(random, ["ledger", "resume"]), "run"]
  }
}

const pricesCase = (seeds: Seeds, random: Random): Case => {
  const { files } = harmed(new Map([["prices.json", seeds.prices]]), random)
  files.set("description.json", Buffer.from(seeds.descriptions[0]!))
  return {
    name: "prices",
    files,
    inside: (folder) => priceOf(join(folder, "prices.json"), "cpu"),
    args: ["run", "description.json", "--backend", "wasm", "--out", "runs/fuzz", "--prices", "prices.json"]
  }
}

const flags = [
  ["check", "--set", "--base", "--seed", "--json"],
  ["show", "--set", "--mermaid", "--json"],
  ["plan", "--set", "--device", "--prices"],
  ["run", "--out", "--backend", "--device", "--prices", "--set"],
  ["resume", "--set", "--json"],
  ["ledger", "--json"],
  [
    "generate",
    "--prompt",
    "--max-tokens",
    "--temperature",
    "--top-k",
    "--top-p",
    "--seed",
    "--chat",
    "--greedy",
    "--backend"
  ]
] as const

const flagCase = (seeds: Seeds, random: Random): Case => {
  const [command, ...options] = pick(random, flags)
  const values = [
    "-1",
    "0",
    "1e99",
    "NaN",
    "",
    "a",
    "\u{1f600}",
    "../..",
    "-",
    "--",
    "[[[",
    "{",
    "=",
    "9".repeat(400),
    "/dev/null",
    "model"
  ]
  const args = Array.from({ length: random.int(4) }, () => [pick<string>(random, options), pick(random, values)]).flat()
  const file = pick(random, ["description.json", "model", "nowhere", "", "/dev/zero", "."])
  return {
    name: `flags ${command}`,
    files: new Map<string, Buffer | Special>([
      // Not one that trains: the flags decide how long that takes.
      ["description.json", Buffer.from("{}")],
      ...under("model", seeds.model)
    ]),
    inside: null,
    args: [command, file, ...args]
  }
}

const kinds = [
  { share: 40, of: modelCase },
  { share: 20, of: rowsCase },
  { share: 25, of: descriptionCase },
  { share: 12, of: runCase },
  { share: 3, of: pricesCase }
]

/** The case with this number. `outside`: for the command line, flags among them. */
export const caseOf = (seeds: Seeds, seed: string, at: number, outside = false): Case => {
  const random = stream(`${seed}/${at}`)
  if (outside && random.int(6) === 0) return flagCase(seeds, random)
  let place = random.int(kinds.reduce((sum, { share }) => sum + share, 0))
  for (const { of, share } of kinds) {
    place -= share
    if (place < 0) return of(seeds, random)
  }
  throw new Error("unreachable")
}

/** A line that begins like one of a stack trace. */
const trace = /^ {4}at /mu

/** What is wrong with how a text for people ends, if anything: a stack trace, an error without a name. */
export const complaint = (exit: Exit.Exit<unknown, unknown>): string | null => {
  if (Exit.isSuccess(exit)) return null
  for (const reason of exit.cause.reasons) {
    const error: unknown = reason._tag === "Fail" ? reason.error : reason._tag === "Die" ? reason.defect : null
    const tag = (error as { readonly _tag?: unknown } | null)?._tag
    const { message } = error as Error
    if (typeof tag !== "string") return `no tagged error: ${Cause.pretty(exit.cause).slice(0, 1500)}`
    if (trace.test(message)) return `a stack trace in the message: ${message.slice(0, 1500)}`
    if (message.length > 20_000) return `a message of ${message.length} characters: ${message.slice(0, 500)}`
  }
  return null
}

export const inProcess = (one: Case, folder: string): Promise<string | null> => {
  place(folder, one)
  const quiet = { ...globalThis.console, log: () => {}, error: () => {} }
  return Effect.runPromiseExit(
    one.inside!(folder).pipe(
      Effect.provide(NodeFileSystem.layer),
      Effect.provideService(Console.Console, quiet)
    )
  ).then(complaint)
}
