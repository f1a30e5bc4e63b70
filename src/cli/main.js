#!/usr/bin/env -S node --max-semi-space-size=4 --expose-gc
/**
 * V8's nursery is kept small above (as in package.json's scripts): the work is in kernels, and left to itself it holds 50 MiB. With
 * `--expose-gc` a run gives back the rows of finished stages.
 *
 * Starts the command line with Node's compile cache on: without it every start strips types and parses anew, for 0.15 s and
 * some 10 MiB that stay resident. In JavaScript, because what turns the cache on is not in it: Node would load its stripper for this file,
 * and because a Node that cannot strip types is told so by it.
 */
import { readFileSync } from "node:fs"
import * as module from "node:module"
import { cacheFolder, ForeignCache } from "../tensor/cacheFolder.js"

const { engines } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"))
const [major, minor] = process.versions.node.split(".").map(Number)
const [leastMajor, leastMinor] = engines.node.match(/\d+/gu).map(Number)

if (major < leastMajor || (major === leastMajor && minor < leastMinor)) {
  console.error(
    `This is Node ${process.versions.node}, and keel needs ${engines.node.replace(">=", "≥ ")}: install it from nodejs.org, ` +
      "or for this project alone with `npm install --save-dev node@24`, which npx keel then takes."
  )
  process.exitCode = 1
} else {
  // Bun and Deno have neither, and do without. Node's own choice of a folder is one that all users share.
  try {
    module.enableCompileCache?.(cacheFolder("node"))
  } catch (error) {
    // A cache that cannot be written costs time alone.
    if (error instanceof ForeignCache) console.error(`Starting without a cache of compiled modules: ${error.message}.`)
  }
  if (module.registerHooks !== undefined) await import("./resolving.js")
  await import("./keel.ts")
}
