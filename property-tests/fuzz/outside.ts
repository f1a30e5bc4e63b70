/** A case through the command line: how it ends, how long it takes, how much memory, and where it writes. */
import { spawn } from "node:child_process"
import { mkdirSync, readdirSync, readFileSync, statSync } from "node:fs"
import { join, relative } from "node:path"
import { fileURLToPath } from "node:url"
import { type Case, place } from "./cases.ts"

const main = fileURLToPath(new URL("../../src/cli/main.js", import.meta.url))

/** Seconds that a command may take, and memory, MiB. */
const most = { seconds: 90, memory: 2500 }

/** Every file below with its time of change, without what the command may write. */
const snapshot = (folder: string): ReadonlyMap<string, string> =>
  new Map(
    readdirSync(folder, { recursive: true, withFileTypes: true }).map((entry) => {
      const path = join(entry.parentPath, entry.name)
      return [relative(folder, path), entry.isFile() ? String(statSync(path).mtimeMs) : "other"] as const
    }).filter(([path]) => !/^(?:case\/(?:runs|run|store)|home)(?:\/|$)/u.test(path))
  )

/** What is wrong with the way in which the command line takes the case, if anything. */
export const outside = async (one: Case, sandbox: string): Promise<string | null> => {
  const folder = join(sandbox, "case")
  const home = join(sandbox, "home")
  mkdirSync(home, { recursive: true })
  place(folder, one)
  const before = snapshot(sandbox)
  const child = spawn(process.execPath, ["--no-warnings", main, ...one.args], {
    cwd: folder,
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, NO_COLOR: "1", HOME: home, XDG_CACHE_HOME: home, KEEL_CACHE: home, TMPDIR: home }
  })
  let said = ""
  let peak = 0
  child.stdout.on("data", (data) => said += String(data))
  child.stderr.on("data", (data) => said += String(data))
  const watch = setInterval(() => {
    try {
      const status = readFileSync(`/proc/${child.pid}/status`, "utf8")
      peak = Math.max(peak, Number(/^VmHWM:\s*(\d+)/mu.exec(status)?.[1] ?? 0) / 1024)
    } catch {}
    if (peak > most.memory) child.kill("SIGKILL")
  }, 100)
  let late = false
  const timer = setTimeout(() => {
    late = true
    child.kill("SIGKILL")
  }, 1000 * most.seconds)
  const code = await new Promise<number | null>((resolve) => child.on("close", resolve))
  clearInterval(watch)
  clearTimeout(timer)
  if (late) return `not done after ${most.seconds} s`
  if (peak > most.memory) return `${Math.round(peak)} MiB of memory`
  if (code !== 0 && code !== 1) return `exit code ${code}: ${said.slice(-1500)}`
  if (/^ {4}at /mu.test(said)) return `a stack trace: ${said.slice(0, 2000)}`
  if (code === 1 && said.trim() === "") return "exit code 1 without a word"
  const after = snapshot(sandbox)
  const written = [...after].filter(([path, time]) => before.get(path) !== time).map(([path]) => path)
  const gone = [...before.keys()].filter((path) => !after.has(path))
  return written.length + gone.length === 0 ? null : `it wrote or removed ${[...written, ...gone].join(", ")}`
}
