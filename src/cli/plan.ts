import { Console, Effect, Option } from "effect"
import { Command, Flag } from "effect/cli"
import { assumedUtilisation, type DeviceName, devices } from "../bench/devices.ts"
import { profilePath, readProfile } from "../bench/profile.ts"
import { describe } from "../model/checkpoint.ts"
import { smaller } from "../interpreters/advice.ts"
import { fits } from "../interpreters/fits.ts"
import { planWith, roomWithin } from "../interpreters/microBatches.ts"
import type { StagePlan } from "../interpreters/plan.ts"
import { markdown } from "../report/table.ts"
import { misfit } from "./fits.ts"
import { json, overrides, pipeline } from "./options.ts"
import { BadPipelineFile, pipelineOf } from "./pipelineFile.ts"

/** What a stage is held against: operations a second in each precision, and bytes where there is a limit. */
interface Machine {
  readonly title: string
  readonly peak: { readonly f32: number; readonly bf16: number }
  readonly memory: number
}

const count = (x: number): string => Math.round(x).toLocaleString("en-US")
const flops = (x: number): string => x === 0 ? "–" : x.toExponential(2)
const bytes = (x: number): string => x < 2 ** 30 ? `${(x / 2 ** 20).toFixed(1)} MiB` : `${(x / 2 ** 30).toFixed(1)} GiB`
const time = (seconds: number | null): string =>
  seconds === null ? "–" : seconds < 60 ? `${seconds.toPrecision(2)} s` : seconds < 3600
    ? `${(seconds / 60).toFixed(1)} min`
    : `${(seconds / 3600).toFixed(1)} h`

const machineOf = Effect.fnUntraced(function*(device: Option.Option<DeviceName>, profile: Option.Option<string>) {
  if (Option.isSome(device)) return devices[device.value] satisfies Machine as Machine
  const path = Option.getOrElse(profile, () => profilePath())
  const found = yield* readProfile(path)
  if (found === null) {
    if (Option.isNone(profile)) return null
    return yield* new BadPipelineFile({
      path,
      problem: "there is no profile of a machine in it",
      remedy: "Write one with keel bench, or name a published device with --device."
    })
  }
  const fastest = (precisions: ReadonlyArray<"f32" | "bf16">) =>
    Object.entries(found.backends).flatMap(([name, { peak }]) =>
      peak !== undefined && precisions.includes(name.endsWith(" bf16") ? "bf16" : "f32") ? [{ name, peak }] : []
    ).sort((a, b) => b.peak - a.peak)[0]
  const [plain, rounded] = [fastest(["f32"]), fastest(["f32", "bf16"])]
  if (plain === undefined || rounded === undefined) return null
  const peak = { f32: plain.peak * 1e9, bf16: rounded.peak * 1e9 }
  return { title: `${found.cpu}, ${plain.name}`, peak, memory: found.memory } satisfies Machine as Machine
})

export const plan = Command.make(
  "plan",
  {
    pipeline,
    ...overrides,
    profile: Flag.String("profile").pipe(
      Flag.withDescription("A machine as keel bench measured it; default: this one, when it was measured"),
      Flag.optional
    ),
    device: Flag.Literals("device", Object.keys(devices) as ReadonlyArray<DeviceName>).pipe(
      Flag.withDescription("A device by its published figures instead"),
      Flag.optional
    ),
    modelConfig: Flag.String("model-config").pipe(
      Flag.withDescription(
        "Folder with the config.json of the model that every Checkpoint and Pretrain is to have; no weights needed"
      ),
      Flag.optional
    ),
    json
  },
  Effect.fn(function*({ device, json, modelConfig, pipeline, profile, ...overridden }) {
    const { extensions, root } = yield* pipelineOf(pipeline, overridden)
    const machine = yield* machineOf(device, profile)
    const shape = Option.isSome(modelConfig) ? yield* describe(modelConfig.value) : undefined
    const available = machine?.memory ?? Infinity
    const fit = yield* fits(root, {
      plan: planWith({ ...extensions, ...(shape === undefined ? {} : { shape }) }),
      room: roomWithin(available)
    })
    const { planned: { stages, unplanned } } = fit
    const over = fit.misfits.filter(({ verdicts }) =>
      verdicts.every(({ changes, fits }) => !fits || changes.length > 0)
    )
    const seconds = ({ flops, precision }: Pick<StagePlan, "flops" | "precision">): number | null =>
      machine === null ? null : flops / (machine.peak[precision] * assumedUtilisation)
    const total = {
      bytes: Math.max(0, ...stages.map(({ bytes }) => bytes)),
      flops: stages.reduce((sum, stage) => sum + stage.flops, 0),
      generated: stages.reduce((sum, stage) => sum + stage.generated, 0),
      trained: stages.reduce((sum, stage) => sum + stage.trained, 0),
      seconds: machine === null ? null : stages.reduce((sum, stage) => sum + seconds(stage)!, 0)
    }
    if (json) {
      const rows = stages.map(({ memoryCap, ...stage }) => ({
        ...stage,
        ...(memoryCap === Infinity ? {} : { memoryCap }),
        seconds: seconds(stage)
      }))
      const assumed = { utilisation: assumedUtilisation, completions: "maxNewTokens" }
      return yield* Console.log(
        JSON.stringify({
          machine: machine?.title ?? null,
          assumed,
          stages: rows,
          unplanned,
          total,
          microBatches: Object.fromEntries(fit.microBatches),
          misfits: fit.misfits,
          over: over.map(({ stage }) => stage)
        })
      )
    }
    yield* Console.log(markdown([
      ["stage", "steps", "peak memory", "largest terms", "FLOPs", "tokens trained", "tokens generated", "time"],
      ...stages.map((stage) => [
        stage.stage,
        stage.steps === 0 ? "–" : count(stage.steps),
        stage.bytes === 0 ? "–" : bytes(stage.bytes),
        stage.terms.slice(0, 2).map((term) => `${term.what} ${bytes(term.bytes)}`).join(", ") || "–",
        flops(stage.flops),
        count(stage.trained),
        count(stage.generated),
        time(seconds(stage))
      ]),
      ...unplanned.map(({ problem, stage }) => [stage, "–", "–", `not planned: ${problem}`, "–", "–", "–", "–"]),
      [
        "total",
        "",
        bytes(total.bytes),
        "",
        flops(total.flops),
        count(total.trained),
        count(total.generated),
        time(total.seconds)
      ]
    ]))
    const notes = [
      "",
      machine === null
        ? "No time: this machine was not measured. Run keel bench, or name a device with --device."
        : `Time on ${machine.title} at ${100 * assumedUtilisation} % of its peak, which is an assumption.`,
      "Completions are assumed to reach maxNewTokens; a few steps of each stage stand for all of them.",
      ...smaller(fit),
      ...(over.length > 0 ? [] : [unplanned.length > 0 ? "What was planned fits." : "It fits."]),
      ...fit.misfits.flatMap((of) => ["", misfit(of, of.room < available ? "its memory cap" : machine!.title)])
    ]
    yield* Console.log(notes.join("\n"))
  })
).pipe(
  Command.withDescription(
    "Say what each stage will take (memory, FLOPs, tokens, time) without weights and without training"
  )
)
