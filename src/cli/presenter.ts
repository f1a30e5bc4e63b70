/** A wrong invocation: its mistakes on standard error, with the nearest name, and one line of usage; no page of help. */
import * as Console from "effect/Console"
import type * as CliError from "effect/cli/CliError"
import * as CliOutput from "effect/cli/CliOutput"
import { meant } from "../../dsl/Spelling.ts"
import { problemOf as refusal } from "../store/systemFailure.ts"

const problemOf = (error: CliError.NonShowHelpErrors, flags: ReadonlyArray<string>): string => {
  switch (error._tag) {
    case "UnrecognizedOption":
      return `there is no flag ${error.option}${meant(error.option, flags)}`
    case "UnknownSubcommand":
      return `there is no command ${error.subcommand}${
        error.suggestions.length === 0 ? "" : `: ${error.suggestions[0]} was meant?`
      }`
    case "InvalidValue": {
      // Of a folder: as Effect words it, it reads as if a file were expected.
      if (/^(?:Path is not a directory|Failed to check path existence):/u.test(error.expected)) {
        const code = error.expected.includes("PermissionDenied") ? "EACCES" : "ENOTDIR"
        return `--${error.option} ${error.value}: ${refusal(code)} (${code})`
      }
      const names = [...error.expected.matchAll(/"([^"]+)"/gu)].map(([, name]) => name!)
      return `${error.message.split("\n")[0]}${meant(error.value, names)}`
    }
    default:
      return error.message.split("\n")[0]!
  }
}

export const layer = CliOutput.layerPresenter({
  present: (event) => {
    if (event._tag !== "InvalidInvocation") return CliOutput.defaultPresenter.present(event)
    const { commandPath, errors, helpDoc } = event
    const command = commandPath.join(" ")
    const flags = [...helpDoc.flags, ...(helpDoc.globalFlags ?? [])].map(({ name }) => `--${name}`)
    const problems = [...new Set(errors.map((error) => problemOf(error, flags)))]
    return Console.error(
      [
        ...problems.map((problem) => `${command}: ${problem}`),
        `Usage: ${helpDoc.usage} (${command} --help lists the flags)`
      ].join("\n")
    )
  }
})
