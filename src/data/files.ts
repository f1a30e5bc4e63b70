import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import {
  type File,
  type Hub,
  namedBy,
  type Openings,
  type Origin,
  type Puzzles,
  type Rows,
  type Tales
} from "../../dsl/Source.ts"
import { windows } from "../model/foreign.ts"
import { BadData } from "./badData.ts"
import { type Dataset, Datasets, type Role } from "./dataset.ts"
import { Unfit } from "./encode.ts"
import { rowIn } from "./formats.ts"
import type { Chat } from "./messages.ts"
import { cut } from "./openings.ts"
import { completed } from "./rows.ts"
import * as puzzles from "./puzzles/puzzles.ts"
import { read, readers } from "./read.ts"
import * as judged from "./tales/judgedRows.ts"
import * as tales from "./tales/tales.ts"

/** Of the code that makes the rows of a task: a higher version makes everything again that was made of them. */
export const versions: Readonly<Record<string, number>> = { Tales: 1, Puzzles: 1 }

const fromTales = (role: Role, { count, seed, split }: Tales): Effect.Effect<Dataset, BadData> => {
  const key = `${role}/${split}/${seed}`
  switch (role) {
    case "Text":
      return Effect.succeed({ role, rows: tales.text(key, count), vocabulary: tales.words() })
    case "Prompts": {
      const rows = tales.prompts(split, key, count)
      return rows.length === count ? Effect.succeed({ role, rows }) : Effect.fail(
        new BadData({
          path: "tales",
          line: 0,
          problem: `it has ${rows.length} ${split} prompts, not ${count}`,
          remedy: "Ask for fewer."
        })
      )
    }
    case "Demonstrations":
      return Effect.succeed({ role, rows: tales.demonstrations(key, count) })
    case "Completions":
      return Effect.succeed({ role, rows: tales.demonstrations(key, count).map(completed) })
    case "Rankings":
      return Effect.succeed({ role, rows: judged.rankings(key, count) })
    case "UnpairedPreferences":
      return Effect.succeed({ role, rows: judged.unpaired(key, count) })
    case "Stepwise":
      return Effect.succeed({ role, rows: judged.stepwise(key, count) })
    case "Preferences":
    case "ScoredCompletions":
      return Effect.fail(
        new BadData({
          path: "tales",
          line: 0,
          problem: `it has no ${role === "Preferences" ? "preferences" : "scores"} of its own`,
          remedy: role === "Preferences"
            ? "Make them with Compare.make from a policy's answers."
            : "Score a policy's answers: Score.byJudge(…, { gold: Gold.tales })."
        })
      )
  }
}

const fromPuzzles = (role: Role, origin: Puzzles): Effect.Effect<Dataset, BadData> => {
  const failed = (problem: string, remedy: string) =>
    Effect.fail(new BadData({ path: `puzzles of ${origin.task}`, line: 0, problem, remedy }))
  switch (role) {
    case "Text":
      return Effect.succeed({ role, rows: puzzles.texts(origin), vocabulary: puzzles.wordsOf(origin.task) })
    case "Demonstrations":
      return Effect.succeed({ role, rows: puzzles.demonstrations(origin) })
    case "Completions":
      return Effect.succeed({ role, rows: puzzles.demonstrations(origin).map(completed) })
    case "Prompts": {
      const rows = puzzles.prompts(origin)
      return rows.length === origin.count
        ? Effect.succeed({ role, rows })
        : failed(`only ${rows.length} different prompts, not ${origin.count}, were found`, "Ask for fewer.")
    }
    default:
      return failed("puzzles have no judgements", "Judge a policy's answers: Score.byVerifier(…), Pair.make(…).")
  }
}

/** The rows of files in the role, with a report of the reading. */
const fromFile = (role: Role, origin: File | Hub, chat: Chat) => {
  const { chat: asked, fields, limit, offset, onBadRow, rows: all, template } = origin
  return Effect.map(
    read<any>(readers[role])(namedBy(origin)!, {
      fields,
      chat,
      offset,
      ...(limit === undefined ? {} : { limit }),
      ...(all === undefined ? {} : { all }),
      ...(onBadRow === undefined ? {} : { onBadRow }),
      ...(template === undefined ? {} : { template }),
      ...(asked === undefined ? {} : { asked })
    }),
    ({ about, rows }) => ({ role, rows, about, ...(role === "Text" ? { vocabulary: [] } : {}) }) as Dataset
  )
}

const fromOpenings = Effect.fnUntraced(function*(role: Role, { continuation, limit, offset, path, words }: Openings) {
  const texts = yield* read(readers.Text)(path, { offset, ...(limit === undefined ? {} : { limit }) })
  const rows = texts.rows.flatMap(({ text }) => cut(text, words, continuation))
  switch (role) {
    case "Text":
      return {
        role,
        rows: rows.map(({ completion, prompt }) => ({ text: prompt + completion })),
        vocabulary: []
      } as const
    case "Prompts":
      return { role, rows: rows.map(({ prompt }) => ({ prompt })) } as const
    case "Demonstrations":
      return { role, rows } as const
    case "Completions":
      return { role, rows: rows.map(completed) } as const
    case "Preferences":
    case "UnpairedPreferences":
      return yield* new BadData({
        path,
        line: 0,
        problem: "openings are no preferences",
        remedy: "Make them with Compare.make from a policy's answers."
      })
    default:
      return yield* new BadData({
        path,
        line: 0,
        problem: "the openings of stories have no judgements",
        remedy: "Give a file of judged answers: Source.file(…)."
      })
  }
})

const fromRows = (role: Role, { rows }: Rows, chat: Chat): Effect.Effect<Dataset, BadData> =>
  Effect.gen(function*() {
    const read: Array<unknown> = []
    const bad = ({ problem, remedy }: { readonly problem: string; readonly remedy: string }) =>
      new BadData({ path: "Source.rows", line: read.length + 1, problem, remedy })
    const piece = (): Result.Result<"more" | "done", BadData> => {
      try {
        if (read.length < rows.length) read.push(rowIn<unknown>(readers[role].row, rows[read.length]!, { chat }))
      } catch (error) {
        if (error instanceof Unfit) return Result.fail(bad({ problem: error.message, remedy: error.remedy }))
        throw error
      }
      return Result.succeed(read.length < rows.length ? "more" : "done")
    }
    yield* windows(piece, bad)
    return { role, rows: read, ...(role === "Text" ? { vocabulary: [] } : {}) } as unknown as Dataset
  })

/** Data sets that were read: those with conversations by the template that rendered them. */
export class Loaded {
  readonly plain = new Map<string, Dataset>()
  readonly rendered = new WeakMap<Chat, Map<string, Dataset>>()
}

/** Data sets that a plan, an inspection and a run share, so that each file is read once. Null: every time anew. */
export const CurrentLoaded = Context.Reference<Loaded | null>("keel/Loaded", { defaultValue: () => null })

const once = (
  load: (role: Role, origin: Origin, chat: Chat) => Effect.Effect<Dataset, BadData>
): Datasets["Service"]["load"] =>
  Effect.fnUntraced(function*(role, origin, chat) {
    const loaded = yield* CurrentLoaded
    if (loaded === null) return yield* load(role, origin, chat)
    const key = JSON.stringify([role, origin])
    const found = loaded.plain.get(key) ?? loaded.rendered.get(chat)?.get(key)
    if (found !== undefined) return found
    let renders = false
    const dataset = yield* load(role, origin, (messages, variables) => {
      renders = true
      return chat(messages, variables)
    })
    const known = renders ? loaded.rendered.get(chat) ?? new Map<string, Dataset>() : loaded.plain
    known.set(key, dataset)
    if (renders) loaded.rendered.set(chat, known)
    return dataset
  })

/** Files and the tasks that Keel makes itself. */
export const layer: Layer.Layer<Datasets, never, FileSystem.FileSystem> = Layer.effect(
  Datasets,
  Effect.map(FileSystem.FileSystem, (fs) => ({
    load: once((role, origin, chat) => {
      switch (origin._tag) {
        case "Tales":
          return fromTales(role, origin)
        case "Puzzles":
          return fromPuzzles(role, origin)
        case "Rows":
          return fromRows(role, origin, chat)
        case "File":
        case "Hub":
          return Effect.provideService(fromFile(role, origin, chat), FileSystem.FileSystem, fs)
        case "Described":
          return new BadData({
            path: origin.name,
            line: 0,
            problem: "its rows are described, and nobody has them here",
            remedy: "Give them: Source.file(path), Source.hub(name) or Source.rows([…]) in place of Source.described."
          })
        case "Openings":
          return Effect.provideService(fromOpenings(role, origin), FileSystem.FileSystem, fs)
      }
    })
  }))
)
