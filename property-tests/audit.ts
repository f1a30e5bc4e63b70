/**
 * `npm run audit`: known vulnerabilities of every package in package-lock.json, by npm. Where the registry does not answer, that is said and
 * is no failure.
 */
import { spawnSync } from "node:child_process"

export interface Audited {
  readonly code: 0 | 1
  readonly text: string
}

/** The outcome of `npm audit --json`, in words. */
export const audited = (stdout: string): Audited => {
  const unanswered = (why: string): Audited => ({
    code: 0,
    text: `skipped: the registry does not answer (${why}), so nothing was audited`
  })
  let report: {
    readonly vulnerabilities?: Readonly<Record<string, { readonly severity: string; readonly range: string }>>
    readonly error?: { readonly code?: string; readonly summary?: string }
    readonly message?: string
  }
  try {
    report = JSON.parse(stdout)
  } catch {
    return unanswered("no JSON")
  }
  const { error, message, vulnerabilities } = report
  if (vulnerabilities === undefined) return unanswered(message || error?.summary || error?.code || "no report")
  const lines = Object.entries(vulnerabilities).map(([name, { range, severity }]) => `! ${name} ${range}  ${severity}`)
  return lines.length === 0
    ? { code: 0, text: "no known vulnerabilities" }
    : { code: 1, text: [...lines, `${lines.length} vulnerable packages: see npm audit`].join("\n") }
}

if (process.argv[1] === import.meta.filename) {
  const { stdout } = spawnSync("npm", ["audit", "--json", "--fetch-retries=0", "--fetch-timeout=30000"], {
    encoding: "utf8",
    cwd: new URL("../", import.meta.url)
  })
  const { code, text } = audited(stdout ?? "")
  console.log(text)
  process.exitCode = code
}
