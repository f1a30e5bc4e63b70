/**
 * A peer as a child process that answers a JSON line per request (`peers/protocol.py`). It blocks on its stdin in between, so
 * that measurements of several peers interleave in a run.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type ChildProcess, spawn } from "node:child_process"
import { createInterface } from "node:readline"

/** A peer that ended, or gave an invalid answer. */
export class PeerFailed extends Data.TaggedError("PeerFailed")<{ readonly peer: string; readonly problem: string }> {
  override get message() {
    return `peer ${this.peer}: ${this.problem}`
  }
}

export type Answer = Readonly<Record<string, unknown>>

export interface Peer {
  readonly name: string
  /** One request at a time. */
  readonly request: (request: Readonly<Record<string, unknown>>) => Effect.Effect<Answer, PeerFailed>
}

/** The maximum of characters kept of a peer's stderr. */
const keptText = 8000

const lastLine = (text: string): string => text.trim().split("\n").at(-1)?.trim() ?? ""

const open = (name: string, command: string, args: ReadonlyArray<string>): Peer & { readonly child: ChildProcess } => {
  const child = spawn(command, [...args], { stdio: ["pipe", "pipe", "pipe"] })
  let said = ""
  let waiting: ((answer: Effect.Effect<Answer, PeerFailed>) => void) | null = null
  let ended: PeerFailed | null = null
  const finish = (answer: Effect.Effect<Answer, PeerFailed>): void => {
    const now = waiting
    waiting = null
    now?.(answer)
  }
  const fail = (problem: string): void => {
    ended ??= new PeerFailed({ peer: name, problem })
    finish(Effect.fail(ended))
  }
  child.stderr.setEncoding("utf8")
  child.stderr.on("data", (text: string) => {
    said = (said + text).slice(-keptText)
  })
  // A write to a child that has just ended; its end is reported by "close".
  child.stdin.on("error", () => {})
  child.on("error", (error) => fail(error.message))
  child.on("close", (code, signal) => {
    const why = lastLine(said)
    fail(`it ended (${signal ?? code})${why === "" ? "" : `: ${why}`}`)
  })
  createInterface({ input: child.stdout }).on("line", (line) => {
    try {
      finish(Effect.succeed(JSON.parse(line) as Answer))
    } catch {
      fail(`${JSON.stringify(line.slice(0, 200))} is no answer`)
    }
  })
  return {
    name,
    child,
    request: (request) =>
      Effect.callback<Answer, PeerFailed>((resume) => {
        if (ended !== null) return resume(Effect.fail(ended))
        waiting = resume
        child.stdin.write(`${JSON.stringify(request)}\n`)
      })
  }
}

/** Starts a peer, which is killed with the scope: whatever happens, no child is left. */
export const startPeer = (
  name: string,
  command: string,
  args: ReadonlyArray<string>
): Effect.Effect<Peer, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => open(name, command, args)),
    ({ child }) =>
      Effect.callback<void>((resume) => {
        if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return resume(Effect.void)
        child.once("close", () => resume(Effect.void))
        child.stdin?.destroy()
        child.kill("SIGKILL")
      })
  )

/** A number that the answer must have. */
export const numberOf = (peer: string, answer: Answer, field: string): Effect.Effect<number, PeerFailed> => {
  const value = answer[field]
  return typeof value === "number" && Number.isFinite(value)
    ? Effect.succeed(value)
    : Effect.fail(new PeerFailed({ peer, problem: `no number ${field} in ${JSON.stringify(answer).slice(0, 200)}` }))
}
