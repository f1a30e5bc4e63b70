/** `keel doctor`: the hardware and software of this machine, its working backends with their speed, and advice on installing more. */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Command from "effect/cli/Command"
import manifest from "../../package.json" with { type: "json" }
import { advice } from "../doctor/advice.ts"
import { lookAround } from "../doctor/machine.ts"
import { text } from "../doctor/text.ts"
import { tryBackend } from "../doctor/trial.ts"
import { backend, backends } from "../program/backend.ts"
import { json } from "./options.ts"

export const doctor = Command.make(
  "doctor",
  { json },
  Effect.fn(function*({ json }) {
    const machine = yield* lookAround(manifest.engines.node)
    const names = backends.filter((name) => name !== "auto")
    // One after the other: each may use all cores.
    const trials = yield* Effect.forEach(names, (name) => tryBackend(name, backend(name)))
    const report = { machine, backends: trials, advice: advice(machine, trials) }
    yield* Console.log(json ? JSON.stringify(report) : text(report))
  })
).pipe(Command.withDescription("Show this machine, the backends that work on it, and what to install for more"))
