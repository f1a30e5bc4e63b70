/** `keel backend install`: the parts of a backend that do not come with `npm ci`. */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { install as installed, installable } from "../program/backend.ts"
import { json, maybe } from "./options.ts"

const install = Command.make(
  "install",
  {
    name: Argument.Literals("name", installable).pipe(
      Argument.withDescription("tfjs-node-gpu, or tfjs-node for a machine without an NVIDIA GPU")
    ),
    tensorflow: maybe(
      Flag.String("tensorflow"),
      "TensorFlow to build on: the folder site-packages/tensorflow, a virtual environment, or a wheel; default: the one that python3 imports"
    ),
    json
  },
  Effect.fn(function*({ json, name, tensorflow }) {
    const made = yield* installed(name, Option.getOrNull(tensorflow), (text) => void process.stderr.write(`${text}\n`))
    if (json) return yield* Console.log(JSON.stringify(made))
    yield* Console.log(
      `${name} on TensorFlow ${made.version} works, on ${made.gpu ? "the GPU" : "the CPU"}: keel run … --backend tfjs`
    )
    if (name === "tfjs-node-gpu" && !made.gpu) {
      yield* Console.error(
        "TensorFlow finds no GPU here. To use a GPU, install an NVIDIA driver and `pip install tensorflow[and-cuda]`, then install again."
      )
    }
  })
).pipe(Command.withDescription("Install TensorFlow.js into Keel's cache and build it on a TensorFlow of Python"))

export const backend = Command.make("backend").pipe(
  Command.withDescription("Backends that do not come with npm ci"),
  Command.withSubcommands([install])
)
