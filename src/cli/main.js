#!/usr/bin/env -S node --max-semi-space-size=4
/**
 * V8's nursery is kept small above (as in package.json's scripts): the work is in kernels, and left to itself it holds 50 MiB.
 *
 * Starts the command line with Node's compile cache on: without it every start strips types and parses anew, for 0.15 s and
 * some 10 MiB that stay resident. In JavaScript, because what turns the cache on is not in it: Node would load its stripper for this file.
 */
import { enableCompileCache } from "node:module"

enableCompileCache()
await import("./keel.ts")
