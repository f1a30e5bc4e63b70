import * as Console from "effect/Console"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { type DeviceName, devices } from "../bench/devices.ts"
import { assumed as utilisation } from "../planning/cost/costs.ts"
import * as Artifact from "../../dsl/Artifact.ts"
import { shown } from "../../dsl/Errors.ts"
import { naming } from "../../dsl/Render.ts"
import { size } from "../../dsl/Size.ts"
import { describedIn } from "../../dsl/Source.ts"
import { fieldsOf } from "../../dsl/Stage.ts"
import { nameOf } from "../data/paths.ts"
import { describe } from "../model/checkpoint.ts"
import { smaller } from "../planning/advice.ts"
import { fits, overflows } from "../planning/fits.ts"
import { overCaps, overCapText } from "../planning/overCaps.ts"
import { planWith, type Room } from "../planning/microBatches.ts"
import type { StagePlan } from "../planning/plan.ts"
import { processBytes, runtimeBytes } from "../planning/processMemory.ts"
import { currenciesIn } from "../interpreters/capsOf.ts"
import { feesIn } from "../interpreters/checks/endpoints.ts"
import { judged } from "../interpreters/lacking.ts"
import { shapesIn } from "../interpreters/checkpointShapes.ts"
import { markdown } from "../report/table.ts"
import { deviceMoney } from "../store/spent.ts"
import { fetched } from "../program/fetch.ts"
import { backends } from "../program/backend.ts"
import { misfit, reasons } from "./fits.ts"
import { standInLines } from "./addressed.ts"
import { json, maybe, off, or, overrides, pipeline, positive } from "./options.ts"
import * as control from "./control.ts"
import { pipelineOf } from "./pipelineFile.ts"
import { machineOf } from "../program/machine.ts"
import { priceIn, prices } from "./prices.ts"

/** Not by a locale, whose tables take 0.02 to 0.04 s to load. */
const count = (x: number): string => String(Math.round(x)).replace(/\B(?=(?:\d{3})+$)/gu, ",")
const flops = (x: number): string => x === 0 ? "–" : x.toExponential(2)
const time = (seconds: number | null): string =>
  seconds === null || seconds === 0 ?
    "–" :
    seconds < 0.01 ?
    `${(1000 * seconds).toPrecision(2)} ms` :
    seconds < 60 ?
    `${seconds.toPrecision(2)} s` :
    seconds < 3600
    ? `${(seconds / 60).toFixed(1)} min`
    : `${(seconds / 3600).toFixed(1)} h`

/** A table of seconds of each phase, of the host, and in total; empty if costs are unknown. */
const times = (stages: ReadonlyArray<StagePlan>): ReadonlyArray<ReadonlyArray<string>> => {
  if (stages.every(({ seconds }) => seconds === null)) return []
  const all = [...new Set(stages.flatMap(({ phases }) => phases.map(({ phase }) => phase)))]
  const host = stages.some(({ hostSeconds }) => hostSeconds! > 0)
  const row = (name: string, of: ReadonlyArray<StagePlan>) => {
    const sum = (seconds: (stage: StagePlan) => number | null | undefined) =>
      time(of.reduce((sum, stage) => sum + (seconds(stage) ?? 0), 0))
    return [
      name,
      ...all.map((name) => sum(({ phases }) => phases.find(({ phase }) => phase === name)?.seconds)),
      ...(host ? [sum(({ hostSeconds }) => hostSeconds)] : []),
      sum(({ seconds }) => seconds)
    ]
  }
  return [
    ["time", ...all, ...(host ? ["host"] : []), "all"],
    ...stages.map((stage) => row(stage.stage, [stage])),
    row("total", stages)
  ]
}

/** A line for each data set that the plan takes from its description. */
const describedRows = (root: Artifact.Any): ReadonlyArray<string> => [
  ...new Set(
    Artifact.lineage(root).flatMap((artifact) => {
      const { origin } = fieldsOf(artifact)
      const says = origin === undefined ? undefined : describedIn(origin)
      if (says === undefined) return []
      const tokens = Object.entries(says.tokens).map(([of, n]) => `${of} ${count(n)}`).join(", ")
      const name = origin!._tag === "File" ? nameOf(origin!.path) : "name" in origin! ? origin!.name : ""
      return [`Rows of ${name} are planned by their description, ${count(says.rows)} (${tokens}), and not read.`]
    })
  )
]

/** Of each stage that spends a tenth of its cost or more on measuring, the share. */
const measuring = (stages: ReadonlyArray<StagePlan>): ReadonlyArray<string> =>
  stages.flatMap((stage) => {
    const cost = ({ flops, seconds }: { readonly flops: number; readonly seconds: number | null }) => seconds ?? flops
    const phase = stage.phases.find(({ phase }) => phase === "measure")
    if (phase === undefined || cost(phase) < 0.1 * cost(stage)) return []
    const of = stage.seconds === null ? "FLOPs" : `time, ${time(phase.seconds)} of ${time(stage.seconds)}`
    return [
      `Measuring takes ${
        Math.round(100 * cost(phase) / cost(stage))
      } % of ${stage.stage}'s ${of}: measureEvery, measureSamples and maxNewTokens set it.`
    ]
  })

/** A line for each mixture of experts. */
const experts = (root: Artifact.Any): ReadonlyArray<string> =>
  Artifact.lineage(root).flatMap((artifact) => {
    const { family, shape } = fieldsOf(artifact)
    if (shape?.experts === undefined) return []
    const { active, count, shared = 0 } = shape.experts
    return [
      `Of ${count + shared} experts of ${shape.name ?? family} a token passes ${
        active + shared
      }: operations are of these, memory is of all.`
    ]
  })

class BadDevices extends Data.TaggedError("BadDevices")<{ readonly message: string }> {}

const devicesOf = (
  device: Option.Option<DeviceName>,
  count: Option.Option<number>,
  sampling: Option.Option<number>
) => {
  const all = {
    count: Option.getOrElse(count, () => 1),
    ...Option.isSome(sampling) ? { sampling: sampling.value } : {}
  }
  return Option.isNone(device) && (Option.isSome(count) || Option.isSome(sampling))
    ? Effect.fail(new BadDevices({ message: "--devices counts devices of published figures: name one with --device." }))
    : (all.sampling ?? 0) >= all.count
    ? Effect.fail(
      new BadDevices({
        message:
          `--sampling-devices ${all.sampling} of --devices ${all.count} leaves none to train: give fewer, or leave it out where all do both in turn.`
      })
    )
    : Effect.succeed(all)
}

/** Stages without a plan. */
class NotPlanned extends Data.TaggedError("NotPlanned")<
  { readonly stage: string; readonly problem: string; readonly count: number; readonly all: number }
> {
  override get message() {
    return `${this.count} of ${this.all} stages cannot be planned. ${this.stage}: ${this.problem}`
  }
}

export const plan = Command.make(
  "plan",
  {
    pipeline,
    ...overrides,
    profile: maybe(
      Flag.String("profile"),
      "A machine as keel bench measured it; default: this one, when it was measured"
    ),
    backend: or(
      Flag.Literals("backend", backends),
      "auto",
      "A backend that keel bench measured; auto is the backend that keel run would choose"
    ),
    completionLength: maybe(
      positive("completion-length"),
      "Mean length of a completion, tokens; default: maxNewTokens"
    ),
    device: maybe(
      Flag.Literals("device", Object.keys(devices) as ReadonlyArray<DeviceName>),
      "A device by its published figures instead"
    ),
    devices: maybe(positive("devices"), "So many of the device: states are divided, memory is that of one; default: 1"),
    samplingDevices: maybe(
      positive("sampling-devices"),
      "So many of them only sample, where a stage trains on what it samples, and wait while the others train; default: all do both in turn"
    ),
    modelConfig: maybe(
      Flag.String("model-config"),
      "Folder with the config.json of the model that every Checkpoint and Pretrain is to have; no weights needed"
    ),
    prices,
    noAdvice: off("no-advice", "Do not look for changes that make stages fit, which takes many plans"),
    json
  },
  Effect.fn(function*(
    {
      backend,
      completionLength,
      device,
      devices,
      json,
      modelConfig,
      noAdvice,
      pipeline,
      prices,
      profile,
      samplingDevices,
      ...overridden
    }
  ) {
    const several = yield* devicesOf(device, devices, samplingDevices)
    const file = yield* pipelineOf(pipeline, overridden)
    const { extensions, root } = file
    const named = naming(root)
    const say = (text: string) => Console.log(named(text))
    if (Option.isNone(modelConfig)) yield* fetched(root, { described: false })
    const single = yield* priceIn(prices, Option.getOrElse(device, () => "cpu"))
    const price = single && { ...single, microsPerHour: several.count * single.microsPerHour }
    // With a shape from the user, the folders of checkpoints are not read.
    const shapes = Option.isSome(modelConfig) ? {} : { shapes: yield* shapesIn(root) }
    yield* judged(root, { ...shapes, extensions, price })
    /** Millionths of the currency. */
    const costs = (seconds: number | null): number | null =>
      price === null || seconds === null ? null : deviceMoney(1000 * seconds, price)
    const money = (seconds: number | null): ReadonlyArray<string> => {
      const micros = costs(seconds)
      return price === null
        ? []
        : [micros === null ? "–" : `${(micros / 1e6).toFixed(micros < 1e5 ? 6 : 2)} ${price.currency}`]
    }
    const machine = yield* machineOf(device, profile, backend)
    const shape = Option.isSome(modelConfig) ? yield* describe(modelConfig.value) : undefined
    const planned = planWith({
      ...extensions,
      ...(shape === undefined ? {} : { shape }),
      ...(machine.costs === null ? {} : { costs: machine.costs }),
      ...(machine.packing === undefined ? {} : { packing: machine.packing }),
      devices: several,
      ...(Option.isNone(completionLength) ? {} : { completionLength: completionLength.value })
    })
    const onDevice = Option.isSome(device)
    const gpuHours = (seconds: number | null): ReadonlyArray<string> => {
      const hours = several.count * (seconds ?? 0) / 3600
      return onDevice
        ? [hours === 0 ? "–" : hours < 0.01 ? "< 0.01" : hours < 100 ? hours.toPrecision(2) : count(hours)]
        : []
    }
    const runtime = runtimeBytes(backend)
    const inProcess = (stage: StagePlan): number => processBytes(stage, runtime, onDevice)
    // The machine's memory holds the process; a device's holds what the backend computes with.
    const room: Room = (stage) =>
      Math.min(stage.memoryCap, onDevice ? machine.memory : machine.memory - runtime - stage.host)
    const known = yield* planned(root, new Map())
    const { stages, unplanned } = known
    const complete = unplanned.length === 0
      ? Effect.void
      : Effect.fail(
        new NotPlanned({ ...unplanned[0]!, count: unplanned.length, all: stages.length + unplanned.length })
      )
    const large = stages.filter((stage) => stage.bytes > room(stage))
    /** Many plans of single stages: for a large description several times the time of the first plan. */
    const advised = Effect.map(
      large.length === 0 || noAdvice
        ? Effect.succeed({ plain: known, planned: known, microBatches: new Map(), misfits: [] })
        : fits(root, { plan: planned, room, known }),
      (fit) => {
        const helpless = fit.misfits.filter(({ verdicts }) =>
          verdicts.every(({ changes, fits }) => !fits || changes.length > 0)
        )
        const over = noAdvice
          ? large.map(({ stage }) => stage)
          : helpless.flatMap(({ alike, stage }) => [stage, ...alike])
        return { fit, over }
      }
    )
    /** Of all stages, what is left without their measurements. */
    const unmeasured = stages.map((stage) => {
      const { flops = 0, seconds = 0 } = stage.phases.find(({ phase }) => phase === "measure") ?? {}
      return { flops: stage.flops - flops, seconds: stage.seconds === null ? null : stage.seconds - seconds! }
    })
    const training = {
      flops: unmeasured.reduce((sum, { flops }) => sum + flops, 0),
      seconds: machine.costs === null ? null : unmeasured.reduce((sum, { seconds }) => sum + seconds!, 0)
    }
    const total = {
      bytes: Math.max(0, ...stages.map(({ bytes }) => bytes)),
      process: Math.max(runtime, ...stages.map(inProcess)),
      flops: stages.reduce((sum, stage) => sum + stage.flops, 0),
      generated: stages.reduce((sum, stage) => sum + stage.generated, 0),
      trained: stages.reduce((sum, stage) => sum + stage.trained, 0),
      seconds: machine.costs === null ? null : stages.reduce((sum, { seconds }) => sum + seconds!, 0)
    }
    if (json) {
      const rows = stages.map(({ memoryCap, ...stage }) => ({
        ...stage,
        process: inProcess({ ...stage, memoryCap }),
        ...(memoryCap === Infinity ? {} : { memoryCap })
      }))
      const completions = Option.getOrElse(completionLength, () => "maxNewTokens" as const)
      const { fit, over } = yield* advised
      const assumed = { ...(Option.isSome(device) ? { utilisation } : {}), completions }
      yield* Console.log(
        JSON.stringify({
          machine: machine.costs === null ? null : machine.title,
          assumed,
          stages: rows,
          unplanned,
          total,
          withoutMeasuring: training,
          devices: several,
          microBatches: Object.fromEntries(fit.microBatches),
          misfits: fit.misfits,
          over,
          overCaps: overCaps(root, stages, price),
          ...(price === null ? {} : { money: { currency: price.currency, micros: costs(total.seconds) } })
        })
      )
      return yield* complete
    }
    yield* Console.log(markdown([
      [
        "stage",
        "steps",
        "peak memory",
        "process",
        "largest terms",
        "FLOPs",
        "tokens trained",
        "tokens generated",
        "time",
        ...(onDevice ? ["GPU-hours"] : []),
        ...(price === null ? [] : ["money"])
      ],
      ...stages.map((stage) => [
        named(stage.stage),
        stage.steps === 0 ? "–" : count(stage.steps),
        stage.bytes === 0 ? "–" : size(stage.bytes),
        size(inProcess(stage)),
        stage.terms.slice(0, 2).map((term) => `${term.what} ${size(term.bytes)}`).join(", ") || "–",
        flops(stage.flops),
        count(stage.trained),
        count(stage.generated),
        time(stage.seconds),
        ...gpuHours(stage.seconds),
        ...money(stage.seconds)
      ]),
      ...unplanned.map((
        { problem, stage }
      ) => [
        named(stage),
        "–",
        "–",
        "–",
        `not planned: ${problem}`,
        "–",
        "–",
        "–",
        "–",
        ...(onDevice ? ["–"] : []),
        ...(price === null ? [] : ["–"])
      ]),
      [
        "total",
        "",
        size(total.bytes),
        size(total.process),
        "",
        flops(total.flops),
        count(total.trained),
        count(total.generated),
        time(total.seconds),
        ...gpuHours(total.seconds),
        ...money(total.seconds)
      ],
      ...(training.flops === total.flops ? [] : [[
        "without measuring",
        "",
        "",
        "",
        "",
        flops(training.flops),
        count(total.trained),
        "",
        time(training.seconds),
        ...gpuHours(training.seconds),
        ...money(training.seconds)
      ]])
    ]))
    const phases = times(stages.map((stage) => ({ ...stage, stage: named(stage.stage) })))
    if (phases.length > 0) yield* Console.log(`\n${markdown(phases)}`)
    const notes = [
      "",
      machine.note,
      ...(several.count === 1 ? [] : [
        `On ${several.count} devices: weights, gradients and moments are divided among them; the memory is that of one.${
          several.sampling === undefined
            ? ""
            : ` ${several.sampling} of them only sample, where a stage trains on what it samples, and wait while the others train.`
        }`
      ]),
      ...measuring(stages),
      ...(training.flops === total.flops
        ? []
        : ["Measuring is Keel's and no publication's: compare what one reports with the line “without measuring”."]),
      ...experts(root),
      Option.isSome(completionLength)
        ? `Completions are assumed to be ${completionLength.value} tokens long.`
        : "Completions are assumed to reach maxNewTokens (--completion-length says otherwise).",
      ...describedRows(root),
      ...(Artifact.lineage(root).some((artifact) => fieldsOf(artifact).environment !== undefined)
        ? ["Episodes are assumed to have maxTurns turns; what an environment says between them is not counted."]
        : []),
      `Peak memory is what the backend holds, and what a cap on memory means; the process holds ${
        onDevice ? "beside it on the host" : "with it"
      } about ${size(runtime)} of runtime, the models and rows before, and two copies of what it saves.`,
      "A few steps of each stage stand for all of them.",
      ...standInLines(file)
    ]
    yield* Console.log(notes.join("\n"))
    for (const { judge, stage } of stages) {
      if (judge === undefined) continue
      const [currency] = Artifact.lineage(root).flatMap(feesIn)
      yield* say(
        `${stage} asks its judge at most ${count(judge.questions)} questions: ${count(judge.tokens)} tokens, ${
          currency === undefined ? "without a price" : shown("money", judge.fees, currency)
        }. The answers are assumed to reach maxTokens; questions that were asked before are free.`
      )
    }
    const passed = overCaps(root, stages, price)
    for (const one of passed) yield* say(overCapText(one, currenciesIn(root)[0]))
    const whose = ({ room }: { readonly room: number }): string =>
      room < machine.memory - (onDevice ? 0 : Math.max(...stages.map(({ host }) => runtime + host)))
        ? "its memory cap"
        : machine.title
    if (noAdvice) {
      for (const one of overflows(stages, room)) {
        yield* say(reasons(one, `${whose(one)} without micro-batches`).join("\n"))
      }
    } else if (large.length > 0) {
      yield* Console.error("Looking for changes that would fit; Ctrl-C stops the search (--no-advice skips it).")
    }
    const { fit, over } = yield* advised
    const how = fit.microBatches.size === 0 ? "" : " in these micro-batches"
    const said = [
      ...smaller(fit),
      ...(over.length > 0 || stages.length === 0
        ? []
        : [
          unplanned.length > 0
            ? `The planned stages fit${how}.`
            : passed.length > 0
            ? `Its memory fits${how}.`
            : `It fits${how}.`
        ]),
      ...fit.misfits.flatMap((of) => ["", misfit(of, whose(of))])
    ]
    if (said.length > 0) yield* say(said.join("\n"))
    yield* complete
  }, (effect, flags) => Effect.catchTag(effect, "IsControl", (file) => control.plan(file, flags)))
).pipe(
  Command.withDescription(
    "Estimate memory, FLOPs, tokens and time of each stage, without weights and without training"
  )
)
