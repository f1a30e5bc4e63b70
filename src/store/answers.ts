/**
 * The answers of judges, a file each by the digest of the question, signed, with a line break at its end: a file without it was cut off by
 * a crash, and is no answer. A stage that was killed, or another that asks the same, reads them and asks nothing twice.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { dirname, join } from "node:path"
import { syncDirectory } from "../model/folder.ts"
import { signed, textIn, unsigned } from "./sealed.ts"
import { Answer, type Store, StoreDamaged } from "./store.ts"

const Kept = Schema.Struct({ question: Schema.String, ...Answer.fields })

const fileOf = (root: string, question: string): string =>
  join(root, "answers", question.slice(0, 2), `${question}.json`)

const find = Effect.fnUntraced(function*(root: string, question: string) {
  const path = fileOf(root, question)
  if (!(yield* (yield* FileSystem.FileSystem).exists(path))) return Option.none<Answer>()
  const text = yield* textIn(path)
  if (!text.endsWith("\n")) return Option.none<Answer>()
  const kept = Schema.decodeUnknownOption(Kept)(unsigned(text))
  if (Option.isSome(kept) && kept.value.question === question) return kept
  const problem = "it was changed after Keel wrote it"
  return yield* new StoreDamaged({ path, problem, remedy: "Remove that file: its question will be asked again." })
})

const keep = Effect.fnUntraced(function*(root: string, question: string, answer: Answer) {
  if (Option.isSome(yield* find(root, question))) return
  const fs = yield* FileSystem.FileSystem
  const path = fileOf(root, question)
  yield* fs.makeDirectory(dirname(path), { recursive: true })
  const file = yield* fs.open(path, { flag: "w" })
  yield* file.writeAll(new TextEncoder().encode(signed({ question, ...answer })))
  yield* file.sync
  yield* syncDirectory(dirname(path))
}, Effect.scoped)

/** The answers in the store `root`. */
export const answersIn = (
  root: string,
  fs: FileSystem.FileSystem
): Pick<Store["Service"], "answer" | "keepAnswer"> => ({
  answer: (question) => Effect.provideService(find(root, question), FileSystem.FileSystem, fs),
  keepAnswer: (question, answer) => Effect.provideService(keep(root, question, answer), FileSystem.FileSystem, fs)
})
