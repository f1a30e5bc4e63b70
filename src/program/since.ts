/** The inputs and the machine of a run, compared with those of its last start. */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Artifact from "../../dsl/Artifact.ts"
import { label } from "../../dsl/Render.ts"
import { changed, contentsBy, type Read } from "../interpreters/contents.ts"
import { CurrentContents, finishedIn, keysIn, spentIn, transparent } from "../interpreters/storeKeys.ts"
import { BadRunFolder, type Bits, type RunFile } from "../store/runDirectory.ts"
import { bitsText } from "./bits.ts"

const some = (names: ReadonlyArray<string>): string =>
  `${names.slice(0, 8).join(", ")}${names.length > 8 ? ` and ${names.length - 8} more` : ""}`

/** Says which inputs have changed since the start `before`, and which stages are made again because of it. */
export const inputsSince = Effect.fnUntraced(function*(root: Artifact.Any, { read }: RunFile, now: Read) {
  if (read === undefined) return
  const names = changed(read, now)
  if (names.length === 0) return
  const by = Effect.provideService(CurrentContents, contentsBy(read))
  const [before, keys, begun, finished] = [
    yield* by(keysIn(root)),
    yield* keysIn(root),
    yield* by(spentIn(root)),
    yield* finishedIn(root)
  ]
  const again: Array<string> = []
  for (const artifact of Artifact.lineage(root)) {
    if (transparent.has(artifact.node.op) || before.of(artifact)?.weights === keys.of(artifact)?.weights) continue
    if (begun.has(artifact.id) && !(yield* finished(artifact))) again.push(label(artifact))
  }
  yield* Console.error(
    `${some(names)} ${names.length === 1 ? "has" : "have"} changed since this run began: ${
      again.length === 0
        ? "no stage is made again, because what depends on it is in the store as it is now, or was not begun"
        : `${again.length} stage${again.length === 1 ? " is" : "s are"} made again from the beginning: ${some(again)}`
    }.`
  )
})

/** Fails if the numbers of a run would go on in other bits than they began in; with `accept` it says so. */
export const sameBits = Effect.fnUntraced(function*(folder: string, { bits }: RunFile, now: Bits, accept: boolean) {
  if (bits === undefined || bitsText(bits) === bitsText(now)) return
  const problem = `it was computed by ${bitsText(bits)}, and here it is ${
    bitsText(now)
  }: the same steps give other last bits`
  if (accept) return yield* Console.error(`${folder}: ${problem}. It goes on in these.`)
  return yield* new BadRunFolder({
    path: folder,
    problem,
    remedy: "Go on there, or here in other bits with --accept-other-bits (acceptOtherBits in a program)."
  })
})
