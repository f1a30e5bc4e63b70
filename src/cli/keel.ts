/** The command line. Errors of ours are one line with the remedy and exit code 1; bugs show their stack. */
import * as NodeChildProcessSpawner from "@effect/platform-node-shared/NodeChildProcessSpawner"
import * as NodeFileSystem from "@effect/platform-node-shared/NodeFileSystem"
import * as NodePath from "@effect/platform-node-shared/NodePath"
import * as NodeRuntime from "@effect/platform-node-shared/NodeRuntime"
import * as NodeStdio from "@effect/platform-node-shared/NodeStdio"
import * as NodeTerminal from "@effect/platform-node-shared/NodeTerminal"
import * as Cause from "effect/Cause"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as PlatformError from "effect/PlatformError"
import * as CliError from "effect/cli/CliError"
import * as Command from "effect/cli/Command"
import manifest from "../../package.json" with { type: "json" }
import { Abandoned } from "../model/foreign.ts"
import { backend } from "./backendInstall.ts"
import { bench } from "./bench.ts"
import { check, show } from "./check.ts"
import { data } from "./data.ts"
import { diff } from "./diff.ts"
import { doctor } from "./doctor.ts"
import { evaluateCommand } from "./eval.ts"
import { fetch } from "./fetch.ts"
import { generate } from "./generate.ts"
import { init } from "./init.ts"
import { ledger } from "./ledger.ts"
import { plan } from "./plan.ts"
import { systemFailure } from "../store/systemFailure.ts"
import * as Presenter from "./presenter.ts"
import { recipes } from "./recipes.ts"
import { resume, run } from "./run.ts"
import { simulate } from "./simulate.ts"
import { strict } from "./streams.ts"
import { verify } from "./verify.ts"

const keel = Command.make("keel").pipe(
  Command.withDescription(
    "LLM post-training as typed, pure descriptions: check, show, plan, simulate, run and resume them"
  ),
  Command.withSubcommands([
    init,
    recipes,
    check,
    show,
    diff,
    plan,
    simulate,
    run,
    resume,
    fetch,
    data,
    ledger,
    generate,
    verify,
    evaluateCommand,
    bench,
    doctor,
    backend
  ])
)

/** An error of ours, to be shown without a stack. */
const expected = (error: unknown): (Error & { readonly _tag: string }) | undefined =>
  PlatformError.isPlatformError(error)
    ? systemFailure(error)
    : error instanceof Error && "_tag" in error && !CliError.isCliError(error)
    ? error as Error & { readonly _tag: string }
    : undefined

keel.pipe(
  Command.run({ version: manifest.version }),
  // Ctrl-C ended work that a model's files describe.
  Effect.catchDefect((defect) => defect instanceof Abandoned ? Effect.interrupt : Effect.die(defect)),
  Effect.tapCause((cause) => {
    const failure = expected(cause.reasons.find((reason) => reason._tag === "Fail")?.error)
    if (failure !== undefined) return Console.error(`\n${failure._tag}: ${failure.message}`)
    const defect = cause.reasons.find((reason) => reason._tag === "Die")
    if (defect === undefined) return Effect.void
    const known = expected(defect.defect)
    return Console.error(known === undefined ? Cause.pretty(cause) : `\n${known._tag}: ${known.message}`)
  }),
  Effect.provideService(Console.Console, strict),
  Effect.provide(Layer.provideMerge(
    NodeChildProcessSpawner.layer,
    Layer.mergeAll(NodeFileSystem.layer, NodePath.layer, NodeStdio.layer, NodeTerminal.layer, Presenter.layer)
  )),
  NodeRuntime.runMain({
    disableErrorReporting: true,
    teardown: (exit, done) => {
      const interrupted = Exit.isFailure(exit) && exit.cause.reasons.every((reason) => reason._tag === "Interrupt")
      done(Exit.isSuccess(exit) ? Number(process.exitCode ?? 0) : interrupted ? 130 : 1)
    }
  })
)
