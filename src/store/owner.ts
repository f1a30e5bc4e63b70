/**
 * Who owns a folder: a process, by its name in the folder's own name, and a heartbeat in the folder. A process of the same machine is
 * looked up; of another machine, or one that was stopped, only its heartbeat is known.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { createHash } from "node:crypto"
import { readFileSync, readlinkSync } from "node:fs"
import { hostname } from "node:os"
import { threadId, Worker } from "node:worker_threads"

export interface Owner {
  readonly host: string
  readonly pid: number
  /** When the process started, in the machine's ticks: a number of a process is used again. */
  readonly started: string
  /** Digits of the machine since it was started, and of its group of processes: where `pid` means something. */
  readonly place: string
  readonly thread: number
  readonly serial: number
}

/** The part of a folder's name that says whose it is. */
export const tagOf = ({ host, pid, place, serial, started, thread }: Owner): string =>
  [host, pid, started, place, thread, serial].join(".")

export const ownerOf = (tag: string): Owner | undefined => {
  const [, host, pid, started, place, thread, serial] =
    /^([^.]+)\.(\d+)\.(\d+)\.([0-9a-f]{8})\.(\d+)\.(\d+)$/u.exec(tag) ?? []
  return serial === undefined ? undefined : {
    host: host!,
    pid: Number(pid),
    started: started!,
    place: place!,
    thread: Number(thread),
    serial: Number(serial)
  }
}

/** The state and the start of a process in Linux; undefined where nobody says. */
const looked = (pid: number | "self"): { readonly state: string; readonly started: string } | undefined => {
  try {
    // The name of the program stands in brackets and may hold anything.
    const fields = readFileSync(`/proc/${pid}/stat`, "latin1").replace(/^.*\) /su, "").split(" ")
    return { state: fields[0]!, started: fields[19]! }
  } catch {
    return undefined
  }
}

const place = (): string => {
  const parts = [hostname()]
  try {
    parts.push(readFileSync("/proc/sys/kernel/random/boot_id", "latin1"), readlinkSync("/proc/self/ns/pid"))
  } catch {
    // No Linux: the name of the machine has to do.
  }
  return createHash("sha256").update(parts.join("\n")).digest("hex").slice(0, 8)
}

const exists = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as { readonly code?: string }).code === "EPERM"
  }
}

let self: Omit<Owner, "serial"> | undefined
let serials = 0
/** Of this thread, not yet given back. */
const living = new Set<number>()

/** Writes to the files of `paths` every two seconds, whatever keeps the main thread busy. Never makes one: a folder that is gone is lost. */
const beating = `
const { parentPort } = require("node:worker_threads")
const { writeFileSync } = require("node:fs")
const paths = new Set()
let count = 0
parentPort.on("message", ({ path, on }) => on ? paths.add(path) : paths.delete(path))
setInterval(() => {
  count++
  for (const path of paths) try { writeFileSync(path, String(count), { flag: "r+" }) } catch {}
}, 2000)`

let worker: Worker | undefined
const told = (path: string, on: boolean): void => {
  if (worker === undefined) {
    const started = worker = new Worker(beating, { eval: true, execArgv: [], resourceLimits: { stackSizeMb: 1 } })
    // Without it the process is still found by its number.
    started.on("error", () => {
      if (worker === started) worker = undefined
    })
    started.unref()
  }
  worker.postMessage({ path, on })
}

/** How owners are named, found and watched: another in tests. */
export interface Owners {
  /** A name that nobody had before; it lives until `leave`. */
  readonly enter: () => Owner
  readonly leave: (owner: Owner) => void
  /** `running`: it is there; `gone`: it is not; `unknown`: only its heartbeat can tell. */
  readonly standing: (owner: Owner) => "running" | "gone" | "unknown"
  /** Keeps the file at `path` changing until the scope closes. */
  readonly beats: (path: string) => Effect.Effect<void, never, Scope.Scope>
  /** Milliseconds without a heartbeat after which an owner of unknown standing counts as gone. */
  readonly patience: number
  /** Milliseconds between two looks. */
  readonly poll: number
}

export const CurrentOwners = Context.Reference<Owners>("keel/Owners", {
  defaultValue: () => ({
    enter: () => {
      self ??= {
        // A dot separates.
        host: hostname().replaceAll(/[^\w-]/gu, "-") || "unknown",
        pid: process.pid,
        started: looked("self")?.started ?? String(Math.round(performance.timeOrigin)),
        place: place(),
        thread: threadId
      }
      const serial = serials++
      living.add(serial)
      return { ...self, serial }
    },
    leave: ({ serial }) => {
      living.delete(serial)
    },
    standing: (owner) => {
      if (owner.place !== (self?.place ?? place())) return "unknown"
      if (!exists(owner.pid)) return "gone"
      const now = looked(owner.pid)
      if (now === undefined) return "unknown"
      // Z and X: it ended, and nobody has asked how.
      if (now.started !== owner.started || "ZX".includes(now.state)) return "gone"
      if (owner.pid === process.pid && owner.thread === threadId) return living.has(owner.serial) ? "running" : "gone"
      return "Tt".includes(now.state) ? "unknown" : "running"
    },
    beats: (path) =>
      Effect.acquireRelease(Effect.sync(() => told(path, true)), () => Effect.sync(() => told(path, false))),
    patience: 20_000,
    poll: 200
  })
})
