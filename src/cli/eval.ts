/** `keel eval`: models and runs on a suite. */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { join, resolve } from "node:path"
import { Refused } from "../interpreters/check.ts"
import type { Extensions } from "../interpreters/extensions.ts"
import { evaluate, type Evaluated, modelIn, policiesOf } from "../program/evaluate.ts"
import { BadSuite, perplexity, suiteFrom, suiteOf, suites } from "../program/suites.ts"
import { notes, table } from "../report/table.ts"
import { writeFileAtomic } from "../store/sealed.ts"
import { device, deviceOption, many, maybe, off, or, positive } from "./options.ts"
import { exportsOf } from "./pipelineFile.ts"
import { progress, terminal } from "./progress.ts"
import { acceptOtherBits, backend } from "./run.ts"
import { runIn } from "./runFolder.ts"

/** The models of a Hugging Face folder or a run. */
const modelsIn = Effect.fnUntraced(function*(target: string, policy: ReadonlyArray<string>) {
  const fs = yield* FileSystem.FileSystem
  if (yield* fs.exists(join(target, "config.json"))) return [modelIn(target)]
  if (!(yield* fs.exists(target))) {
    return yield* new BadSuite({
      name: target,
      problem: "there is no such folder",
      remedy: "Give the folder of a run, or a Hugging Face folder."
    })
  }
  const { file, read, store } = yield* runIn(target, Option.none(), "eval")
  return yield* policiesOf(target, file.root, { read, store }, policy)
})

/** The suite of a name or file, with the implementations of its own verifiers. */
const suiteIn = Effect.fnUntraced(function*(name: string) {
  const none: { readonly extensions: Extensions; readonly module: string | null } = { extensions: {}, module: null }
  if (name === perplexity) return none
  if (!/\.(?:ts|mts|js|mjs)$/u.test(name)) return { ...none, suite: yield* suiteOf(name) }
  const { extensions, value } = yield* exportsOf(name)
  const own = Object.values(extensions).some((given) => given.length > 0)
  return { suite: yield* suiteFrom(name, value), extensions, module: own ? resolve(name) : null }
})

const given = <K extends string, A>(name: K, option: Option.Option<A>) =>
  Option.isSome(option) ? { [name]: option.value } as { readonly [P in K]: A } : {}

/** The flags of the description's fields, which its mistakes name. */
const flags: Readonly<Record<string, string>> = {
  completionsPerPrompt: "--completions",
  maxNewTokens: "--max-tokens",
  passAt: "--pass-at",
  temperature: "--temperature"
}
const byFlags = ({ problems }: Refused): Refused =>
  new Refused({
    problems: problems.map(({ problem, stage }) => ({
      stage,
      problem: problem.replaceAll(/\w+/gu, (word) => Object.hasOwn(flags, word) ? flags[word]! : word)
    }))
  })

export const evaluateCommand = Command.make(
  "eval",
  {
    targets: Argument.String("model").pipe(
      Argument.withDescription("Folders of runs or Hugging Face folders; the last is compared with each before it"),
      Argument.atLeast(1)
    ),
    suite: Flag.String("suite").pipe(
      Flag.withDescription(
        `${[...Object.keys(suites), perplexity].join(", ")}, or a .json or .ts file that describes a suite`
      )
    ),
    data: maybe(Flag.File("data"), "The suite's rows, or the text for perplexity: Keel has no data of its own"),
    policy: many("policy", "Of a run: the policies, by name or stage; default: all"),
    limit: maybe(positive("limit"), "Read at most so many rows"),
    completions: or(positive("completions"), 1, "Completions of each prompt, for pass@k and majority votes"),
    passAt: many("pass-at", "A k of pass@k, besides 1; may be repeated"),
    temperature: maybe(Flag.Finite("temperature"), "Default 0, greedy; with several completions 1"),
    maxTokens: maybe(positive("max-tokens"), "Longest completion; default: the suite's"),
    shots: or(Flag.Int("shots"), 0, "Examples before each prompt"),
    shotsFrom: maybe(Flag.File("shots-from"), "The file with the examples, in the columns of the suite"),
    chat: off("chat", "Put each prompt into the model's chat template as a user's message"),
    seed: or(Flag.Int("seed"), 0, "The same seed gives the same completions"),
    out: maybe(Flag.Directory("out"), "Folder of the evaluation; default runs/ID"),
    json: maybe(Flag.File("json"), "Also write the results as lm-evaluation-harness does to this file"),
    backend,
    device,
    acceptOtherBits
  },
  Effect.fn(function*(
    { acceptOtherBits, backend, chat, completions, data, device, json, limit, maxTokens, out, passAt, seed, ...more }
  ) {
    const { policy, shots, shotsFrom, suite: name, targets, temperature } = more
    const ks = passAt.map(Number)
    const wrong = (flag: string, problem: string, remedy: string) => new BadSuite({ name: flag, problem, remedy })
    if (ks.some((k) => !Number.isInteger(k) || k < 1)) {
      return yield* wrong(`--pass-at ${passAt.join(" ")}`, "no whole number above 0", "For example: --pass-at 4.")
    }
    if (shots > 0 && Option.isNone(shotsFrom)) {
      return yield* wrong(`--shots ${shots}`, "no file is named", "Give --shots-from FILE, e.g. the training split.")
    }
    const { extensions, module, suite } = yield* Effect.map(suiteIn(name), (found) => ({ suite: undefined, ...found }))
    const models: Array<Evaluated> = []
    for (const target of targets) models.push(...yield* modelsIn(target, policy))
    const running = {
      ...extensions,
      module,
      backend,
      ...deviceOption(device),
      acceptOtherBits,
      ...given("out", out),
      onEvent: progress(terminal())
    }
    const { cut, folder, report, results, task } = yield* evaluate(models, {
      ...(suite === undefined ? {} : { suite }),
      ...given("data", data),
      ...given("limit", limit),
      ...given("temperature", temperature),
      ...given("maxNewTokens", maxTokens),
      ...(shots > 0 && Option.isSome(shotsFrom) ? { shots: { count: shots, file: shotsFrom.value } } : {}),
      completions,
      passAt: ks,
      chat,
      seed,
      running
    }).pipe(Effect.catchTag("Refused", (error) => Effect.fail(byFlags(error))))
    const how = suite === undefined
      ? ""
      : `: ${report.models[0]!.length.n.toLocaleString("en")} prompts, ${
        completions === 1 ? "one completion" : `${completions} completions`
      } each, temperature ${task.temperature}, at most ${task.maxNewTokens} tokens, ${
        shots === 0 ? "no examples" : `${shots} examples`
      }`
    yield* Console.log([`\n${task.name}${how}\n`, table(report, null), "", ...notes(report)].join("\n"))
    if (cut > 0) {
      yield* Console.log(
        `${cut.toLocaleString("en")} completions were cut off where the model's context was full, before --max-tokens.`
      )
    }
    yield* Console.log(`\nReport: ${join(folder, "report.md")}; as lm-evaluation-harness: ${join(folder, "lm-eval")}`)
    if (Option.isNone(json)) return
    const content = results.length === 1 ? results[0] : { models: results, paired: report.paired }
    yield* writeFileAtomic(json.value, `${JSON.stringify(content, null, 2)}\n`)
  })
).pipe(Command.withDescription("Evaluate models on a suite: gsm8k, math500, ifeval, perplexity, or your own"))
