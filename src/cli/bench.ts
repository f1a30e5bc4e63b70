/** `keel bench`: how fast this machine is with each backend, beside PyTorch and TRL in the same run. */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as R from "effect/Result"
import * as Schema from "effect/Schema"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { availableParallelism } from "node:os"
import { bench as measure, type BenchBackend, type Result } from "../bench/bench.ts"
import { tooBusy } from "../bench/busy.ts"
import type { PeerName } from "../bench/cases.ts"
import { machineProfile } from "../bench/machine.ts"
import type { BenchProgress } from "../bench/measure.ts"
import { type Resident, trainAlone } from "../bench/memory.ts"
import { storiesShape, wordTokens, workloads } from "../bench/models.ts"
import { parts, selected, unknownParts } from "../bench/parts.ts"
import { numberOf, startPeer } from "../bench/peer.ts"
import { importable, missing, peerNames } from "../bench/peers.ts"
import { devices } from "../bench/devices.ts"
import { type MachineProfile, profilePath, writeProfile } from "../bench/profile.ts"
import { agreementRows, memoryRows, timings } from "../bench/rows.ts"
import { publishedNote, publishedRows } from "../planning/cost/published.ts"
import { RateTable } from "../planning/cost/rates.ts"
import { transformer } from "../engine/transformer/transformer.ts"
import { calibrate } from "../planning/calibrate.ts"
import { load } from "../model/checkpoint.ts"
import { markdown } from "../report/table.ts"
import { backend as openBackend, type BackendName, type BackendOptions, backends } from "../program/backend.ts"
import { device as deviceFlag, deviceOption, json as jsonFlag, many, maybe, off, or, positive } from "./options.ts"

/** An option of the command that makes no sense. */
export class BadBenchOption extends Schema.TaggedError<BadBenchOption>()("BadBenchOption", {
  option: Schema.String,
  value: Schema.String,
  remedy: Schema.String
}) {
  override get message() {
    return `${this.option} ${this.value}: ${this.remedy}`
  }
}

/** `--x a --x b,c` as [a, b, c], without repetition. */
export const listed = (values: ReadonlyArray<string>): ReadonlyArray<string> => [
  ...new Set(values.flatMap((value) => value.split(",")).map((value) => value.trim()).filter((value) => value !== ""))
]

/** The values of an option, each from `known`. */
export const oneOf = <const Known extends string>(
  option: string,
  values: ReadonlyArray<string>,
  known: ReadonlyArray<Known>
): R.Result<ReadonlyArray<Known>, BadBenchOption> => {
  const wrong = listed(values).find((value) => !known.includes(value as Known))
  return wrong === undefined
    ? R.succeed(listed(values) as ReadonlyArray<Known>)
    : R.fail(new BadBenchOption({ option, value: wrong, remedy: `it is one of ${known.join(", ")}` }))
}

const hidden = (name: string) => Flag.String(name).pipe(Flag.withHidden)

const flags = {
  backend: many(
    "backend",
    `Parts to measure: ${
      backends.join(", ")
    }; may be repeated or a list with commas. Default: all that work here, but reference`
  ),
  peer: many("peer", "Peers: torch, trl or none; may be repeated. Default: the peers that python3 can import"),
  only: many("only", `Parts to run, may be repeated: ${parts.join(", ")}; train stands for both train-…`),
  rounds: or(positive("rounds"), 7, "Times that everybody is measured, in turn (default 7)"),
  threads: or(
    positive("threads"),
    availableParallelism(),
    "Threads of every backend and peer (default: the cores of the machine)"
  ),
  base: maybe(
    Flag.Directory("base"),
    "Model of the SFT, DPO and GRPO steps; default: random weights of the shape of stories260K"
  ),
  out: maybe(Flag.File("out"), "Also write the measurements to this file, as JSON"),
  device: deviceFlag,
  json: jsonFlag,
  memoryOf: maybe(hidden("memory-of"), "Train mid alone with this backend and print the memory of this process"),
  calibrate: off("calibrate", "Measure only the rates that plan estimates time by: --only rates --peer none"),
  published: off("published", "Compare plans with published speed and memory of training steps, without measuring"),
  ratesOf: maybe(hidden("rates-of"), "Print the costs of work with this backend"),
  recompute: Flag.Boolean("recompute").pipe(Flag.withHidden, Flag.withDefault(false))
}

/** The peer is called torch, so the backend of that name has its column under another. */
const columnOf = (backend: string): string => backend === "torch" ? "libtorch" : backend
const ofColumn = (column: string): string => column === "libtorch" ? "torch" : column

/** Opens the backends that you ask for. A backend that does not work here is left out with a line; an error if none works. */
const openAll = (names: ReadonlyArray<BackendName>, options: BackendOptions) =>
  Effect.gen(function*() {
    const asked = names.length > 0 ? names : backends.filter((name) => name !== "auto" && name !== "reference")
    const opened: Array<BenchBackend> = []
    for (const [i, name] of asked.entries()) {
      const last = i === asked.length - 1 && opened.length === 0
      const backend = yield* last ? openBackend(name, options) : openBackend(name, options).pipe(
        Effect.catch((error) => Effect.as(Console.error(error.message), null))
      )
      if (backend === null || opened.some((other) => other.name === columnOf(backend.name))) continue
      const engine = transformer(backend)
      const column = columnOf(backend.name)
      opened.push({ name: column, backend, engine, exact: true })
      // On a processor libtorch rounds and multiplies in float32, so there is no bf16 to measure.
      if (backend.name === "torch" && (options.device ?? "cpu") === "cpu") continue
      for (const precision of backend.precisions.filter((precision) => precision !== "f32")) {
        opened.push({
          name: `${column} ${precision}`,
          backend: backend.at(precision),
          engine: { ...engine, policy: (weights, computing) => engine.policy(weights, { ...computing, precision }) },
          exact: false
        })
      }
    }
    return opened
  })

/** The requested peers that are installed; a line for each other peer. */
const peersHere = Effect.fnUntraced(function*(asked: ReadonlyArray<PeerName | "none">) {
  if (asked.includes("none")) return []
  const here = yield* importable
  const wanted = asked.length === 0 ? peerNames : peerNames.filter((name) => asked.includes(name))
  for (const name of wanted) if (!here.includes(name)) yield* Console.error(missing(name))
  return wanted.filter((name) => here.includes(name))
})

/** A line on stderr: on a terminal it overwrites the line before, elsewhere it appears once a round. */
const progress = () => {
  const live = process.stderr.isTTY === true
  let told = -1
  const write = (text: string) => Effect.sync(() => void process.stderr.write(text))
  return {
    say: (text: string) => write(live ? `\r\x1b[2K${text}` : `${text}\n`),
    note: (text: string) => write(`${live ? "\r\x1b[2K" : ""}${text}\n`),
    clear: Effect.suspend(() => live ? write("\r\x1b[2K") : Effect.void),
    onProgress: ({ contestant, round, rounds, title }: BenchProgress) => {
      const turn = round === 0 ? "warming up" : `round ${round} of ${rounds}`
      if (live) return write(`\r\x1b[2K${turn}: ${title}, ${contestant}`.slice(0, (process.stderr.columns ?? 100) + 4))
      if (told === round) return Effect.void
      told = round
      return write(`${turn}\n`)
    }
  }
}

/** Runs this program again with these arguments; returns its output. */
const inOwnProcess = ({ device, threads }: BackendOptions, what: string, args: ReadonlyArray<string>) => {
  const again = [...process.execArgv, process.argv[1]!, "bench", ...args, "--threads", String(threads)]
  const on = device === undefined ? [] : ["--device", device]
  return Effect.flatMap(startPeer(what, process.execPath, [...again, ...on]), (child) => child.request({}))
}

/** Costs of work with each of these backends, measured as in a run: in a process of its own. */
const ratesOf = (
  opened: ReadonlyArray<BenchBackend>,
  options: BackendOptions,
  say: (text: string) => Effect.Effect<void>
) =>
  Effect.gen(function*() {
    const found = new Map<string, RateTable>()
    for (const { backend, exact, name } of opened) {
      if (!exact || backend.realBytes !== 4) continue
      yield* say(`costs of work: ${name}`)
      const { rates } = yield* Effect.scoped(
        inOwnProcess(options, `costs of ${name}`, ["--rates-of", ofColumn(name)])
      )
      found.set(name, yield* Effect.orDie(Schema.decodeUnknownEffect(RateTable)(rates)))
    }
    return found as ReadonlyMap<string, RateTable>
  })

/** Training mid alone. */
const trainingAlone = (options: BackendOptions) => (name: string, recompute: boolean) =>
  Effect.gen(function*() {
    const args = ["--memory-of", ofColumn(name), ...(recompute ? ["--recompute"] : [])]
    const answer = yield* inOwnProcess(options, `memory of ${name}`, args)
    const resident: Resident = {
      baseline: yield* numberOf(name, answer, "baseline"),
      peak: yield* numberOf(name, answer, "peak")
    }
    return resident
  })

const asJson = (profile: MachineProfile, { agreement, busy, measured, memory, versions }: Result) => ({
  machine: profile,
  busy,
  versions,
  agreement,
  memory: memory.map(({ name, resident }) => ({ name, ...resident })),
  cases: measured.map(({ one: { amount, name, peer, show, title }, seconds }) => ({
    name,
    title,
    peer,
    amount,
    show,
    seconds: Object.fromEntries(seconds)
  }))
})

export const bench = Command.make(
  "bench",
  flags,
  Effect.fn(function*(
    {
      base,
      backend,
      calibrate: rates,
      device,
      json,
      memoryOf,
      only,
      out,
      peer,
      published,
      ratesOf: costsOf,
      recompute,
      rounds,
      threads
    }
  ) {
    if (published) {
      const rows = publishedRows((name) => devices[name])
      return yield* Console.log(`${markdown(rows)}\n\n${publishedNote}`)
    }
    const options = { threads, ...deviceOption(device) }
    if (Option.isSome(memoryOf)) {
      const [name] = yield* Effect.fromResult(oneOf("--memory-of", [memoryOf.value], backends))
      const engine = transformer(yield* openBackend(name!, options))
      return yield* Console.log(JSON.stringify(trainAlone(engine, workloads.mid, recompute)))
    }
    if (Option.isSome(costsOf)) {
      const [name] = yield* Effect.fromResult(oneOf("--rates-of", [costsOf.value], backends))
      const opened = yield* openBackend(name!, options)
      return yield* Console.log(JSON.stringify({ rates: yield* calibrate(opened, () => performance.now() / 1000) }))
    }
    const names = yield* Effect.fromResult(oneOf("--backend", backend, backends))
    const asked = yield* Effect.fromResult(oneOf("--peer", rates ? ["none"] : peer, [...peerNames, "none"]))
    const wanted = rates ? ["rates"] : listed(only)
    const unknown = unknownParts(wanted)[0]
    if (unknown !== undefined) {
      return yield* new BadBenchOption({
        option: "--only",
        value: unknown,
        remedy: `it is one of ${parts.join(", ")}`
      })
    }
    const weights = Option.isSome(base) ? wordTokens(yield* load(base.value)) : storiesShape()
    const peers = yield* peersHere(asked)
    const opened = yield* openAll(names, options)
    const { clear, note, onProgress, say } = progress()
    const costs = selected(wanted).includes("rates")
      ? yield* Effect.ensuring(ratesOf(opened, options, say), clear)
      : new Map<string, RateTable>()
    const result = yield* measure({
      backends: opened,
      peers,
      only: wanted,
      rounds,
      threads,
      base: weights,
      trainAlone: trainingAlone(options),
      say,
      note,
      onProgress
    }).pipe(Effect.ensuring(clear))
    const columns = opened.map(({ name }) => name)
    const path = profilePath()
    const profile = machineProfile(columns, threads, result, costs)
    yield* writeProfile(path, profile)
    const record = JSON.stringify(asJson(profile, result))
    if (Option.isSome(out)) yield* (yield* FileSystem.FileSystem).writeFileString(out.value, `${record}\n`)
    if (json) yield* Console.log(record)
    else {
      const sections = [
        result.measured.length > 0 ? timings(columns, result) : [],
        result.memory.length > 0 ? memoryRows(result) : [],
        result.agreement.length > 0 ? agreementRows(result) : []
      ].filter((rows) => rows.length > 0).map(markdown)
      yield* Console.log([
        `${profile.cpu}, ${profile.cores} cores, Node ${profile.node}; ${threads} threads everywhere; median (least–most) of ${rounds} rounds, `
        + "everybody in turn. Shares are of the backend's measured peak.",
        ...sections,
        `Machine profile: ${path}`
      ].join("\n\n"))
    }
    if (result.busy > tooBusy) {
      yield* Console.error(
        `Others used ${
          (100 * result.busy).toFixed(0)
        } % of the cores while this waited: ratios say little now, because the `
          + "threads of PyTorch lose more than their share. Measure again on a quiet machine."
      )
    }
    if (result.agreement.some(({ agrees }) => agrees === false)) process.exitCode = 1
  }, Effect.scoped)
).pipe(Command.withDescription("Measure this machine, beside PyTorch and TRL where they are"))
