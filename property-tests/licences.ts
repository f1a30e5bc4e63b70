/**
 * `npm run licences`: the licences of what is shipped, which is the tree of production dependencies, by package-lock.json. A licence that
 * is unknown or asks for more than a notice (copyleft) is flagged, and the exit code is 1.
 */
import { readFileSync } from "node:fs"

/** Licences that ask for no more than a notice, as SPDX names them. */
const permissive = new Set([
  "0BSD",
  "Apache-2.0",
  "BlueOak-1.0.0",
  "BSD-2-Clause",
  "BSD-3-Clause",
  "CC0-1.0",
  "ISC",
  "MIT",
  "MIT-0",
  "Unlicense",
  "Zlib"
])

/** Whether an SPDX expression leaves a choice that is permissive throughout. */
export const isPermissive = (expression: string): boolean =>
  expression.replaceAll(/[()]/gu, " ").split(/\bOR\b/u).some((choice) =>
    choice.split(/\bAND\b/u).every((one) => permissive.has(one.trim()))
  ) && !/\(.*\bOR\b.*\)\s*AND|AND\s*\(.*\bOR\b/u.test(expression)

export interface Locked {
  readonly version?: string
  readonly license?: string
  readonly integrity?: string
  readonly resolved?: string
  readonly dev?: boolean
  readonly optional?: boolean
}

export interface Licensed {
  readonly name: string
  readonly version: string
  readonly licence: string
  readonly flagged: boolean
}

/** The packages of a lock that a user installs, with their licences. */
export const licencesOf = (packages: Readonly<Record<string, Locked>>): ReadonlyArray<Licensed> =>
  Object.entries(packages).filter(([path, { dev }]) => path !== "" && dev !== true).map(
    ([path, { license = "unknown", version = "" }]) => ({
      name: path.replace(/^.*node_modules\//u, ""),
      version,
      licence: license,
      flagged: !isPermissive(license)
    })
  )

if (process.argv[1] === import.meta.filename) {
  const { packages } = JSON.parse(readFileSync(new URL("../package-lock.json", import.meta.url), "utf8"))
  const all = licencesOf(packages)
  for (const { flagged, licence, name, version } of all) {
    console.log(`${flagged ? "! " : "  "}${name}@${version}  ${licence}`)
  }
  const flagged = all.filter((one) => one.flagged)
  console.log(`${all.length} packages, ${flagged.length} with an unknown licence or copyleft`)
  if (flagged.length > 0) process.exitCode = 1
}
