/**
 * Breaks runs of the command line on purpose: kills at random and at every kind of change on the disk, damaged files, several processes at
 * once. What comes out is compared with a run that nothing disturbed.
 */
import { spawn, spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join, relative } from "node:path"
import { fileURLToPath } from "node:url"
import { toJson } from "../../dsl/Pipeline.ts"
import { pipelines } from "./pipelines.ts"

export type Name = keyof typeof pipelines
const names = Object.keys(pipelines) as ReadonlyArray<Name>

/** A place for trials, removed by `close`. */
export const open = () => {
  const at = mkdtempSync(join(tmpdir(), "keel-chaos-"))
  for (const name of names) writeFileSync(join(at, `${name}.json`), toJson(pipelines[name]))
  return { at, close: () => rmSync(at, { recursive: true, force: true }) }
}

/** Numbers from 0 to 1, the same for the same seed. */
export const seeded = (seed: number) => () => (seed = (seed * 1664525 + 1013904223) >>> 0) / 2 ** 32

interface Ended {
  readonly code: number | null
  readonly signal: string | null
  readonly text: string
  readonly milliseconds: number
}

const main = fileURLToPath(new URL("../../src/cli/main.js", import.meta.url))

/** Runs keel, for two minutes at most; `hurt` gets the process. */
export const keel = (
  args: ReadonlyArray<string>,
  env: NodeJS.ProcessEnv = {},
  hurt: (kill: (signal: NodeJS.Signals) => void) => void = () => {},
  limit = 120_000
): Promise<Ended> =>
  new Promise((resolve) => {
    const began = performance.now()
    const child = spawn(process.execPath, ["--no-warnings", "--max-semi-space-size=4", "--expose-gc", main, ...args], {
      env: { ...process.env, NO_COLOR: "1", ...env },
      stdio: ["ignore", "ignore", "pipe"]
    })
    let text = ""
    child.stderr.on("data", (data) => text += String(data))
    const late = setTimeout(() => child.kill("SIGKILL"), limit)
    hurt((signal) => child.kill(signal))
    child.on("close", (code, signal) => {
      clearTimeout(late)
      resolve({ code, signal, text, milliseconds: performance.now() - began })
    })
  })

const sleep = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds))

const filesIn = (at: string): ReadonlyArray<string> =>
  existsSync(at)
    ? readdirSync(at, { recursive: true, withFileTypes: true }).filter((file) => file.isFile())
      .map((file) => relative(at, join(file.parentPath, file.name))).sort()
    : []

/** What is the same in every run: digests of files, and of what was spent all but time, memory and bytes on disk. */
export const madeIn = (store: string): Readonly<Record<string, string>> =>
  Object.fromEntries(
    filesIn(store).map((path) => {
      const bytes = readFileSync(join(store, path))
      const whole = () => createHash("sha256").update(bytes).digest("hex")
      if (!path.endsWith("spent.json")) return [path, whole()]
      try {
        const { disk: _, memory: __, milliseconds: ___, ...counts } = JSON.parse(String(bytes))
        return [path, JSON.stringify(counts)]
      } catch {
        // Damaged on purpose, and nothing had to read it again.
        return [path, whole()]
      }
    })
  )

const eventsIn = (
  run: string
): ReadonlyArray<
  { readonly _tag: string; readonly stage: string; readonly step: number; readonly from: number } | null
> => {
  const path = join(run, "events.jsonl")
  if (!existsSync(path)) return []
  return readFileSync(path, "utf8").split("\n").filter((line) => line !== "").map((line) => {
    try {
      return JSON.parse(line).event
    } catch {
      return null
    }
  })
}

/** What is wrong with the folder `at` of finished runs. */
const wrong = (at: string, whole: Readonly<Record<string, string>>): ReadonlyArray<string> => {
  const made = madeIn(join(at, "store"))
  const other = [...new Set([...Object.keys(whole), ...Object.keys(made)])].filter((path) => whole[path] !== made[path])
  const left = readdirSync(at, { recursive: true, encoding: "utf8" }).filter((path) =>
    /\.partial|running|removed|\.next/u.test(path)
  )
  const lost: Array<string> = []
  for (const run of readdirSync(at).filter((name) => name.startsWith("run"))) {
    const last = new Map<string, number>()
    for (const event of eventsIn(join(at, run))) {
      if (event?._tag === "Checkpoint") last.set(event.stage, event.step)
      if (event?._tag === "Started" && event.from < (last.get(event.stage) ?? 0)) {
        lost.push(`${event.stage} from ${event.from}`)
      }
    }
  }
  return [
    ...other.map((path) =>
      `other bytes: ${path}` + (path.endsWith("spent.json") ? ` ${made[path]} where ${whole[path]} was right` : "")
    ),
    ...left.map((path) => `left: ${path}`),
    ...lost.map((text) => `lost checkpoint: ${text}`)
  ]
}

/** A run that nothing disturbed. */
export interface Whole {
  readonly name: Name
  readonly file: string
  readonly made: Readonly<Record<string, string>>
  readonly milliseconds: number
}

export const wholeOf = async (at: string, name: Name): Promise<Whole> => {
  const [folder, file] = [join(at, `whole-${name}`), join(at, `${name}.json`)]
  const { code, milliseconds, text } = await keel(["run", file, "--out", join(folder, "run")])
  if (code !== 0) throw new Error(text)
  return { name, file, made: madeIn(join(folder, "store")), milliseconds }
}

const goesOn = (at: string, file: string): ReadonlyArray<string> =>
  existsSync(join(at, "run/run.json")) ? ["resume", join(at, "run")] : ["run", file, "--out", join(at, "run")]

const lastLine = (text: string): string => text.trim().split("\n").at(-1) ?? ""

/** Runs to the end; what is wrong then. */
const finished = async (at: string, { file, made }: Whole): Promise<ReadonlyArray<string>> => {
  const { code, text } = await keel(goesOn(at, file))
  return code === 0 ? wrong(at, made) : [`not resumable: ${lastLine(text)}`]
}

const folder = (at: string): string => mkdtempSync(join(at, "trial-"))

/** A run killed at random, up to three times or in quick succession, then finished. */
export const killed = async (at: string, whole: Whole, random: () => number) => {
  const dir = folder(at)
  const kills = random() < 0.3 ? 8 : 1 + Math.floor(3 * random())
  let done = 0
  for (let i = 0; i < kills; i++) {
    const delay = kills === 8 ? 600 + 900 * random() : 400 + whole.milliseconds * random()
    const { signal } = await keel(goesOn(dir, whole.file), {}, (kill) => setTimeout(() => kill("SIGKILL"), delay))
    if (signal === "SIGKILL") done++
  }
  const problems = await finished(dir, whole)
  rmSync(dir, { recursive: true })
  return { kills: done, problems }
}

/** The library that counts changes on the disk; undefined where there is no compiler or no Linux. */
export const library = (at: string): string | undefined => {
  const [source, path] = [fileURLToPath(new URL("disk.c", import.meta.url)), join(at, "disk.so")]
  if (process.platform !== "linux") return undefined
  const { status } = spawnSync(process.env["CC"] ?? "cc", ["-shared", "-fPIC", "-O1", "-o", path, source, "-ldl"])
  return status === 0 ? path : undefined
}

export interface Change {
  readonly kind: string
  /** The numbers of the changes of this kind in a run. */
  readonly at: ReadonlyArray<number>
}

/** The kinds of changes that a run makes on the disk: a call on a kind of path. */
export const changesOf = async (at: string, library: string, { file }: Whole): Promise<ReadonlyArray<Change>> => {
  const [dir, log] = [folder(at), join(at, "changes.log")]
  rmSync(log, { force: true })
  const env = { LD_PRELOAD: library, CHAOS_UNDER: dir, CHAOS_LOG: log }
  await keel(["run", file, "--out", join(dir, "run")], env)
  const kinds = new Map<string, Array<number>>()
  for (const [n, line] of readFileSync(log, "utf8").trim().split("\n").entries()) {
    const kind = line.replace(dir, "").replaceAll(/\.partial\.[^/]*/gu, ".partial").replaceAll(/-[0-9a-f]{8,}/gu, "")
      .replace(/(?<=store\/)[a-z]+/u, "STAGE")
      .replaceAll(/\d+/gu, "N")
      .replace(/[\w.]+\.svg/u, "PLOT")
    kinds.set(kind, [...kinds.get(kind) ?? [], n])
  }
  rmSync(dir, { recursive: true })
  return [...kinds].map(([kind, at]) => ({ kind, at }))
}

/** A run killed at a change on the disk, then finished. */
export const crashed = async (
  at: string,
  library: string,
  whole: Whole,
  { at: numbers, kind }: Change,
  random: () => number
) => {
  const dir = folder(at)
  const n = numbers[Math.floor(numbers.length * random())]!
  const torn = kind.startsWith("write ") && random() < 0.5 ? { CHAOS_TORN: "1" } : {}
  const env = { LD_PRELOAD: library, CHAOS_UNDER: dir, CHAOS_AT: String(n), ...torn }
  const { signal } = await keel(["run", whole.file, "--out", join(dir, "run")], env)
  const problems = await finished(dir, whole)
  rmSync(dir, { recursive: true })
  return { kills: signal === "SIGKILL" ? 1 : 0, problems: problems.map((problem) => `${kind}: ${problem}`) }
}

/** A run that was killed on its way, for damages. */
export const halfway = async (at: string, whole: Whole, random: () => number): Promise<string> => {
  const dir = folder(at)
  await keel(
    goesOn(dir, whole.file),
    {},
    (kill) => setTimeout(() => kill("SIGKILL"), whole.milliseconds * (0.3 + 0.6 * random()))
  )
  return dir
}

const ways = ["byte", "byte", "byte", "cut", "gone", "longer", "more"] as const

/** A file of a copy of `from` is damaged; the run goes on, or says so and its remedy works. */
export const damaged = async (at: string, whole: Whole, from: string, random: () => number) => {
  const dir = folder(at)
  cpSync(from, dir, { recursive: true })
  const files = filesIn(dir).filter((path) => !path.endsWith("/beat"))
  const file = files[Math.floor(files.length * random())]
  if (file === undefined) return { what: "nothing there", outcome: "harmless", problems: [] }
  const [path, way] = [join(dir, file), ways[Math.floor(ways.length * random())]!]
  const bytes = readFileSync(path)
  if (way === "byte" && bytes.length > 0) {
    const i = Math.floor(bytes.length * random())
    bytes[i] = bytes[i]! ^ (1 << Math.floor(8 * random()))
    writeFileSync(path, bytes)
  } else if (way === "cut") truncateSync(path, Math.floor(bytes.length * random()))
  else if (way === "gone") rmSync(path)
  else if (way === "longer") appendFileSync(path, "x")
  else writeFileSync(join(dirname(path), "generation_config.json"), "{}")
  const what = `${way} ${file}`
  const say = (problems: ReadonlyArray<string>) => problems.map((problem) => `${what}: ${problem}`)
  const first = await keel(goesOn(dir, whole.file))
  let outcome = "harmless"
  let problems: ReadonlyArray<string>
  if (first.code === 0) problems = say(damages(dir, whole))
  else {
    outcome = "told"
    const text = lastLine(first.text)
    const [, remove] = /Remove (\S+);/u.exec(text) ?? []
    const [, move] = /^\w+: (\S+): .* Move it elsewhere/u.exec(text) ?? []
    if (remove ?? move) rmSync((remove ?? move)!, { recursive: true })
    const start = /keel run FILE/u.test(text)
    const { code, text: after } = await keel(
      start ? ["run", whole.file, "--out", join(dir, "run")] : goesOn(dir, whole.file)
    )
    if (!text.includes(dir)) problems = say([`no path in: ${text}`])
    else if (code !== 0) problems = say([`the remedy does not work: ${text} → ${lastLine(after)}`])
    else problems = say(damages(dir, whole))
  }
  rmSync(dir, { recursive: true })
  return { what, outcome, problems }
}

/** Other bytes or leftovers; a log that was damaged may have lost a line about a checkpoint, and what is finished is not read again. */
const damages = (at: string, whole: Whole): ReadonlyArray<string> => {
  const root = Object.keys(whole.made).find((path) =>
    path.startsWith(whole.name === "bestOfN" ? "bestofn-" : "evaluate-")
  )!
  const made = madeIn(join(at, "store"))
  return [dirname(root)].flatMap((result) =>
    Object.keys(whole.made).filter((path) => path.startsWith(result) && whole.made[path] !== made[path]).map((path) =>
      `other bytes: ${path}`
    )
  )
}

/** Several processes at once. `alone` is what each has to leave together. */
export const together = async (at: string, whole: Whole, random: () => number, frozen: boolean) => {
  const dir = folder(at)
  const run = (out: string, hurt?: Parameters<typeof keel>[2]) =>
    keel(["run", whole.file, "--out", join(dir, out)], {}, hurt)
  const problems: Array<string> = []
  const twice = random() < 0.5
  const scenario = frozen ? "frozen" : twice ? "one store" : random() < 0.5 ? "one folder" : "one killed"
  const later = async (most: number) => {
    await sleep(most * random())
  }
  const freeze = (kill: (signal: NodeJS.Signals) => void) => {
    setTimeout(() => kill("SIGSTOP"), 800 + 0.6 * whole.milliseconds * random())
    setTimeout(() => kill("SIGCONT"), 30_000 + 0.8 * whole.milliseconds + 5_000 * random())
  }
  const ended = await Promise.all(
    scenario === "one store"
      ? [run("run"), later(1500).then(() => run("run2")), later(1500).then(() => run("run3"))]
      : scenario === "one folder"
      ? [
        run("run"),
        later(whole.milliseconds).then(() =>
          keel(random() < 0.5 ? goesOn(dir, whole.file) : ["run", whole.file, "--out", join(dir, "run")])
        )
      ]
      : scenario === "one killed"
      ? [
        run("run", (kill) => setTimeout(() => kill("SIGKILL"), 800 + whole.milliseconds * random())),
        later(1000).then(() => run("run2"))
      ]
      : [run("run", freeze), later(1000).then(() => run(random() < 0.5 ? "run" : "run2"))]
  )
  for (const { code, signal, text } of ended) {
    const refused = scenario === "one folder" && /^BadRunFolder: .* runs it\./mu.test(text)
    const fenced = scenario === "frozen" && /^TakenOver: .* took over|^BadRunFolder: .* runs it\./mu.test(text)
    if (code !== 0 && signal !== "SIGKILL" && !refused && !fenced) {
      problems.push(`ended with ${code}: ${lastLine(text)}`)
    }
    if (/\n\s+at /u.test(text)) problems.push(`stack trace: ${text}`)
  }
  if (scenario === "one store" || scenario === "one folder") {
    const begun = ["run", "run2", "run3"].flatMap((name) => eventsIn(join(dir, name))).flatMap((event) =>
      event?._tag === "Started" ? [event.stage] : []
    )
    for (const stage of new Set(begun)) {
      if (begun.filter((one) => one === stage).length > 1) problems.push(`made twice: ${stage}`)
    }
  }
  problems.push(...await finished(dir, whole))
  rmSync(dir, { recursive: true })
  return {
    problems: problems.map((problem) => `${scenario}: ${problem}`),
    scenario,
    fenced: ended.some(({ text }) => text.includes("TakenOver"))
  }
}
