import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { naming } from "../../dsl/Render.ts"
import { ledger as ledgerOf } from "../program/ledger.ts"
import { comparison, text } from "../report/ledgerText.ts"
import { text as overOptimisationText } from "../report/overOptimisation.ts"
import { measuredKl, overOptimised, stacked, svg } from "../report/plots.ts"
import { writeFileAtomic } from "../store/sealed.ts"
import { json, maybe } from "./options.ts"
import { BadPipelineFile } from "./pipelineFile.ts"
import { module, runIn } from "./runFolder.ts"

/** The ledger of the run in `folder`. */
const ledgerIn = Effect.fnUntraced(function*(folder: string, module: Option.Option<string>) {
  const { extensions, root } = (yield* runIn(folder, module, "ledger")).file
  return { ledger: yield* ledgerOf(folder, extensions), named: naming(root) }
})

const folder = (name: string) => Argument.String(name).pipe(Argument.withDescription("Folder of a run"))

const compare = Command.make(
  "compare",
  { first: folder("first"), second: folder("second"), module, json },
  Effect.fn(function*({ first, json, module, second }) {
    const [a, b] = [yield* ledgerIn(first, module), yield* ledgerIn(second, module)]
    const ledgers = { first: a.ledger, second: b.ledger }
    yield* Console.log(
      json ? JSON.stringify(ledgers) : a.named(b.named(comparison(ledgers.first.stages, ledgers.second.stages)))
    )
  })
).pipe(Command.withDescription("The KL of two runs side by side"))

export const ledger = Command.make(
  "ledger",
  {
    run: folder("run"),
    module,
    json,
    svg: maybe(Flag.File("svg"), "Also draw the measured KL to this file")
  },
  Effect.fn(function*({ json, module, run, svg: file }) {
    const { ledger: found, named } = yield* ledgerIn(run, module)
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
        : named(
          [text(stages), ...found.unmeasured, ...found.passed, ...found.alarms, overOptimisationText(overOptimisation)]
            .filter(Boolean)
            .join("\n\n")
        )
    )
  })
).pipe(
  Command.withDescription("Show the KL of a run: allowed, known beforehand, measured"),
  Command.withSubcommands([compare])
)
