/**
 * Programs that nobody has read, run so that they reach nothing: own namespaces of mounts, processes, network and IPC, a root folder of
 * their own (`root.ts`), no environment, no capability, limits of processor time, memory, processes, files and output. The end of Keel, of
 * the time or of the program ends every process of the sandbox, since process 1 of its namespace ends; the mounts end with them, and no
 * folder on disk is used.
 *
 * Limits of this: the kernel is shared, so a hole in it is one here. Memory is limited for each process (`limits.memory` times
 * `limits.processes` in the worst case), and the kernel's killer of processes takes these first.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type ChildProcess, spawn } from "node:child_process"
import { randomInt } from "node:crypto"
import { existsSync, readFileSync } from "node:fs"
import type { Readable, Writable } from "node:stream"
import type { Sandboxed } from "./program.ts"
import { script } from "./root.ts"

/** Why nothing can be run in isolation here, and the remedy. */
export class NoIsolation extends Data.TaggedError("NoIsolation")<{
  readonly problem: string
  readonly remedy: string
}> {}

const tools = [
  "sh",
  "setpriv",
  "unshare",
  "mount",
  "umount",
  "pivot_root",
  "chroot",
  "prlimit",
  "mkdir",
  "cp",
  "cat",
  "chmod"
]
const places = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"]
const where = (tool: string): string | undefined =>
  places.map((folder) => `${folder}/${tool}`).find((path) => existsSync(path))

/** A running program: its streams are 0 and 1, and 3 for whatever else its user agrees on with it. */
export interface Running {
  readonly input: Writable
  readonly output: Readable
  readonly extra: Readable & Writable
  readonly ended: Effect.Effect<Ended>
}

export interface Ended {
  /** Null when it was ended from outside. */
  readonly status: number | null
  /** It took more time or memory than it may. */
  readonly late: boolean
}

const start = ({ env = {}, files = [], ...rest }: Sandboxed, errors: "ignore" | "pipe"): ChildProcess => {
  const root = process.getuid?.() === 0
  const user = root ? 1_900_000_000 + randomInt(2 ** 24) : null
  const child = spawn(where("setpriv")!, [
    "--pdeathsig",
    "KILL",
    where("unshare")!,
    ...(root ? [] : ["--user", "--map-root-user"]),
    ..."--mount --pid --net --ipc --uts --fork --kill-child".split(" "),
    where("sh")!,
    "-c",
    script({ ...rest, files }, user)
  ], { cwd: "/", env, detached: true, stdio: ["pipe", "pipe", errors, "pipe", ...files.map(() => "pipe" as const)] })
  // What a program does not read is lost with it.
  for (const stream of child.stdio) stream?.on("error", () => {})
  for (const [i, { text }] of files.entries()) (child.stdio[4 + i] as Writable).end(text)
  return child
}

/**
 * Ends process 1 of the sandbox: the kernel then ends the others, and `unshare`, which waits for process 1, is the last. Before there is
 * one, `unshare` alone is ended.
 */
const kill = (pid: number): void => {
  try {
    const [first] = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter((one) => one !== "")
    process.kill(first === undefined ? -pid : Number(first), "SIGKILL")
  } catch {
    // It has just ended.
  }
}

/** Ends every process of the sandbox, and waits until there is none. */
const end = (child: ChildProcess): Effect.Effect<void> =>
  Effect.callback((resume) => {
    if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return resume(Effect.void)
    child.once("exit", () => resume(Effect.void))
    kill(child.pid)
  })

/** Starts a program that ends with the scope, or when its time is over. */
export const running = (program: Sandboxed): Effect.Effect<Running, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => {
        const child = start(program, "ignore")
        const one = { child, late: false }
        const timer = setTimeout(() => {
          one.late = true
          Effect.runFork(end(child))
        }, program.limits.wall * 1000)
        child.once("exit", () => clearTimeout(timer))
        return one
      }),
      ({ child }) => end(child)
    ),
    (one) => ofChild(one.child, () => one.late)
  )

/** What the shell says of a program that the kernel killed: at the limit of its time. */
const killed = 128 + 9

const ofChild = (child: ChildProcess, isLate: () => boolean): Running => ({
  input: child.stdin!,
  output: child.stdout!,
  extra: child.stdio[3] as unknown as Readable & Writable,
  ended: Effect.callback((resume) => {
    const told = (): void =>
      resume(Effect.succeed({ status: child.exitCode, late: isLate() || child.exitCode === killed }))
    if (child.exitCode !== null || child.signalCode !== null) told()
    else child.once("exit", told).once("error", told)
  })
})

/** All of a stream, or null when it is longer than `most` bytes. */
export const textOf = (stream: Readable, most: number): Effect.Effect<string | null> =>
  Effect.callback((resume) => {
    const chunks: Array<Buffer> = []
    let bytes = 0
    stream.on("data", (chunk: Buffer) => {
      chunks.push(chunk)
      bytes += chunk.length
      if (bytes <= most) return
      stream.destroy()
      resume(Effect.succeed(null))
    })
    stream.once("close", () => resume(Effect.succeed(Buffer.concat(chunks).toString("utf8"))))
  })

/** What a program prints in answer to its input; null when it fails or prints too much. */
export const printed = (program: Sandboxed): Effect.Effect<Ended & { readonly text: string | null }> =>
  Effect.scoped(Effect.gen(function*() {
    const { ended, input, output } = yield* running({ input: "", ...program })
    input.end(program.input)
    const text = yield* textOf(output, program.limits.output)
    // One that prints too much goes on until the scope ends it.
    const how = text === null ? { status: null, late: true } : yield* ended
    return { ...how, text: how.status === 0 ? text : null }
  }))

const advice =
  "Install util-linux 2.32 or later, and let programs make user namespaces (sysctl user.max_user_namespaces=65536, " +
  "kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0; of a container: --privileged), or run as root."

let known: Promise<NoIsolation | null> | undefined

const tried = async (): Promise<NoIsolation | null> => {
  if (process.platform !== "linux") {
    return new NoIsolation({
      problem: `programs are isolated by namespaces of Linux, and this is ${process.platform}`,
      remedy: "Run it on Linux, in a virtual machine for example."
    })
  }
  const missing = tools.filter((tool) => where(tool) === undefined)
  if (missing.length > 0) {
    return new NoIsolation({ problem: `the programs ${missing.join(", ")} are not there`, remedy: advice })
  }
  const limits = { seconds: 5, wall: 20, memory: 256, processes: 16, output: 1e5 }
  // In the sandbox there must be no way to new namespaces.
  const child = start(
    { command: [where("sh")!, "-c", "unshare --user true 2> /dev/null || echo isolated"], limits },
    "pipe"
  )
  const [said, problem] = await Effect.runPromise(Effect.all(
    [textOf(child.stdout!, limits.output), textOf(child.stderr!, limits.output)],
    { concurrency: "unbounded" }
  ))
  return said === "isolated\n" ? null : new NoIsolation({
    problem: `a sandbox cannot be made: ${problem?.trim().split("\n").at(-1) || "namespaces can be made in it"}`,
    remedy: advice
  })
}

/** Succeeds where programs can be isolated; tried once in a process. */
export const isolated: Effect.Effect<void, NoIsolation> = Effect.suspend(() =>
  Effect.flatMap(
    Effect.promise(() => known ??= tried()),
    (lacking) => lacking === null ? Effect.void : Effect.fail(lacking)
  )
)
