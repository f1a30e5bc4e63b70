import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { ledger as ledgerOf } from "../program/ledger.ts"
import { comparison, text } from "../report/ledgerText.ts"
import { text as overOptimisationText } from "../report/overOptimisation.ts"
import { measuredKl, overOptimised, stacked, svg } from "../report/plots.ts"
import { writeFileAtomic } from "../store/sealed.ts"
import { started } from "../store/runDirectory.ts"
import { json, maybe } from "./options.ts"
import { BadPipelineFile, pipelineOf } from "./pipelineFile.ts"

/** The ledger of the run in `folder`. */
const ledgerIn = Effect.fnUntraced(function*(folder: string) {
  const { description, module = null } = yield* started(folder)
  return yield* ledgerOf(folder, (yield* pipelineOf(description, undefined, module)).extensions)
})

const folder = (name: string) => Argument.String(name).pipe(Argument.withDescription("Folder of a run"))

const compare = Command.make(
  "compare",
  { first: folder("first"), second: folder("second"), json },
  Effect.fn(function*({ first, json, second }) {
    const ledgers = { first: yield* ledgerIn(first), second: yield* ledgerIn(second) }
    yield* Console.log(json ? JSON.stringify(ledgers) : comparison(ledgers.first.stages, ledgers.second.stages))
  })
).pipe(Command.withDescription("The KL of two runs side by side"))

export const ledger = Command.make(
  "ledger",
  {
    run: folder("run"),
    json,
    svg: maybe(Flag.File("svg"), "Also draw the measured KL to this file")
  },
  Effect.fn(function*({ json, run, svg: file }) {
    const found = yield* ledgerIn(run)
    const { overOptimisation, stages } = found
    if (Option.isSome(file)) {
      if (stages.every(({ measured }) => measured.length === 0)) {
        return yield* new BadPipelineFile({
          path: run,
          problem: "no KL was measured there, so there is no curve to draw",
          remedy: "Leave --svg out."
        })
      }
      const measured = measuredKl(stages)
      const spec = overOptimisation.length === 0
        ? measured
        : stacked([measured, ...overOptimisation.map(overOptimised)])
      yield* writeFileAtomic(file.value, yield* Effect.promise(() => svg(spec)))
    }
    yield* Console.log(
      json
        ? JSON.stringify(found)
        : [text(stages), ...found.passed, ...found.alarms, overOptimisationText(overOptimisation)].filter(Boolean)
          .join("\n\n")
    )
  })
).pipe(
  Command.withDescription("Show the KL of a run: allowed, known beforehand, measured"),
  Command.withSubcommands([compare])
)
