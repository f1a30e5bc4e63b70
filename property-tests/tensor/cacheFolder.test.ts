/** The cache: whose it has to be, and that nothing damaged is loaded from it. */
import { Effect } from "effect"
import * as fc from "fast-check"
import { spawnSync } from "node:child_process"
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync
} from "node:fs"
import { homedir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterEach, assert, describe, it, vi } from "vitest"
import { importable } from "../../src/bench/peers.ts"
import { lookAround } from "../../src/doctor/machine.ts"
import { cacheFolder, cachePath, ForeignCache } from "../../src/tensor/cacheFolder.js"
import { build, NoNative } from "../../src/tensor/native/build.ts"
import { pythonPackage } from "../../src/tensor/pythonPackage.ts"
import lock from "../../src/tensor/tfjs/lock.json" with { type: "json" }
import { installed, packageNames, packageVersion } from "../../src/tensor/tfjs/packages.ts"
import { folders } from "../store/faultyFileSystem.ts"

const folder = folders("cache")
const main = fileURLToPath(new URL("../../src/cli/main.js", import.meta.url))
const modeOf = (path: string): number => lstatSync(path).mode & 0o777

afterEach(() => {
  vi.unstubAllEnvs()
})

describe("the cache folder", () => {
  it("is $KEEL_CACHE, else keel in an absolute $XDG_CACHE_HOME, else ~/.cache/keel", () => {
    assert.strictEqual(cachePath({ KEEL_CACHE: "/a", XDG_CACHE_HOME: "/b" }), "/a")
    assert.strictEqual(cachePath({ KEEL_CACHE: "", XDG_CACHE_HOME: "/b" }), join("/b", "keel"))
    assert.strictEqual(cachePath({ XDG_CACHE_HOME: "relative" }), join(homedir(), ".cache", "keel"))
    assert.strictEqual(cachePath({}), join(homedir(), ".cache", "keel"))
  })

  it("is made for the user alone, whatever the umask", () => {
    const at = join(folder(), "deep", "cache")
    vi.stubEnv("KEEL_CACHE", at)
    assert.strictEqual(cacheFolder("a", "b"), join(at, "a", "b"))
    for (const path of [at, join(at, "a"), join(at, "a", "b")]) assert.strictEqual(modeOf(path), 0o700)
  })

  it("is refused at any depth when other users can write to it, and by nothing else in its mode", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 0o77 }), fc.integer({ min: 0, max: 2 }), (others, depth) => {
        const at = folder()
        vi.stubEnv("KEEL_CACHE", at)
        cacheFolder("a", "b")
        chmodSync(join(at, ...["a", "b"].slice(0, depth)), 0o700 | others)
        if ((others & 0o22) === 0) cacheFolder("a", "b")
        else assert.throws(() => cacheFolder("a", "b"), ForeignCache, "can be written by other users")
      }),
      { numRuns: 60 }
    )
  })

  it("is refused when it is a symbolic link or another user's", () => {
    const at = folder()
    mkdirSync(at, { mode: 0o700 })
    symlinkSync(at, join(at, "link"))
    vi.stubEnv("KEEL_CACHE", join(at, "link"))
    assert.throws(() => cacheFolder(), ForeignCache, "is a symbolic link; set KEEL_CACHE to its target")
    vi.stubEnv("KEEL_CACHE", at)
    assert.throws(() => cacheFolder("link"), ForeignCache, "is a symbolic link")
    const user = process.getuid!()
    const other = vi.spyOn(process as { getuid: () => number }, "getuid").mockReturnValue(user + 1)
    assert.throws(() => cacheFolder(), ForeignCache, `belongs to user ${user}, not to you (${user + 1})`)
    other.mockRestore()
  })

  it("that is refused gives no code: neither kernels, nor TensorFlow, nor compiled modules", async () => {
    const at = folder()
    mkdirSync(join(at, "tfjs", "tfjs-node"), { recursive: true, mode: 0o700 })
    writeFileSync(join(at, "tfjs", "tfjs-node", "package.json"), "{}")
    chmodSync(at, 0o777)
    vi.stubEnv("KEEL_CACHE", at)
    assert.throws(() => installed(), ForeignCache)
    const refused = await build().then(() => null, (error: unknown) => error)
    assert.instanceOf(refused, NoNative)
    assert.include((refused as Error).message, "can be written by other users")
    const { status, stderr, stdout } = spawnSync(process.execPath, [main, "--version"], { encoding: "utf8" })
    assert.strictEqual(status, 0)
    assert.match(stdout, /^keel v/u)
    assert.match(
      stderr,
      /^Starting without a cache of compiled modules: the cache .* can be written by other users; .*\n$/u
    )
    assert.deepStrictEqual(readdirSync(at), ["tfjs"])
  })

  it("has the compiled modules, and a start without one that can be made says nothing", () => {
    const at = join(folder(), "cache")
    const start = (cache: string) =>
      spawnSync(process.execPath, [main, "--version"], {
        encoding: "utf8",
        env: { ...process.env, KEEL_CACHE: cache, NODE_COMPILE_CACHE: undefined }
      })
    assert.strictEqual(start(at).stderr, "")
    assert.strictEqual(modeOf(join(at, "node")), 0o700)
    assert.isAbove(readdirSync(join(at, "node"), { recursive: true }).length, 10)
    const { status, stderr } = start("/dev/null/cache")
    assert.deepStrictEqual([status, stderr], [0, ""])
  })
})

describe("compiled kernels", () => {
  /** A compiler that takes no time, and counts its runs. */
  const compiler = (at: string): void => {
    mkdirSync(at, { recursive: true, mode: 0o700 })
    const script = `#!/bin/sh\n[ "$1" = --version ] && echo fake && exit\necho . >> ${at}/runs\n`
    const last = 'while [ "$2" ]; do [ "$1" = -o ] && to="$2"; shift; done\necho kernels > "$to"\n'
    writeFileSync(join(at, "cc"), script + last, { mode: 0o700 })
    vi.stubEnv("CC", join(at, "cc"))
    vi.stubEnv("KEEL_CACHE", join(at, "cache"))
  }
  const runs = (at: string): number => readFileSync(join(at, "runs"), "utf8").split("\n").length - 1

  it("are kept, and compiled again when a byte of them has changed, is missing or is too many", async () => {
    const said: Array<string> = []
    const write = vi.spyOn(process.stderr, "write").mockImplementation((text) => (said.push(String(text)), true))
    const at = folder()
    compiler(at)
    const { path } = await build()
    assert.strictEqual((await build()).path, path)
    assert.strictEqual(runs(at), 1)
    const whole = readFileSync(path)
    const damages = [whole.subarray(1), Buffer.concat([whole, whole]), Buffer.alloc(0), Buffer.from(whole)]
    damages.at(-1)![3]! ^= 1
    for (const [i, damage] of damages.entries()) {
      said.length = 0
      writeFileSync(path, damage)
      assert.strictEqual((await build()).path, path)
      assert.deepStrictEqual(readFileSync(path), whole)
      assert.strictEqual(runs(at), i + 2)
      assert.strictEqual(said[0], `${path} is damaged: it is removed.\n`)
      assert.match(said[1]!, /^compiling kernels /u)
    }
    write.mockRestore()
    assert.isTrue(existsSync(path))
  })
})

describe("packages from npm", () => {
  it("are pinned by version and SHA-512, and by nothing of the machine that pinned them", () => {
    const entries = Object.entries(lock)
    assert.isAbove(entries.length, 100)
    for (const [path, { integrity, version, ...rest }] of entries) {
      assert.match(path, /^node_modules\//u)
      assert.match(version, /^\d+\.\d+\.\d+/u)
      assert.match(integrity, /^sha512-[\w+/]{86}==$/u)
      assert.includeMembers(["dependencies"], Object.keys(rest))
    }
    for (const name of packageNames) {
      assert.strictEqual(lock[`node_modules/@tensorflow/${name}`].version, packageVersion)
    }
  })
})

describe("Python", () => {
  const python = spawnSync("python3", ["-I", "--version"]).status === 0
  if (!python) console.warn("skipped: there is no python3")

  it.skipIf(!python)("runs nothing of the folder that it is asked in, nor of PYTHONPATH", async () => {
    const at = folder()
    mkdirSync(at)
    const ran = join(at, "ran")
    // Every module that a question imports, and the package that it asks for.
    for (const name of ["importlib", "zipfile", "sys", "torch"]) {
      mkdirSync(join(at, name))
      writeFileSync(join(at, name, "__init__.py"), `open(${JSON.stringify(ran)}, "a")`)
    }
    const before = process.cwd()
    vi.stubEnv("PYTHONPATH", at)
    process.chdir(at)
    try {
      assert.notStrictEqual(await pythonPackage("python3", "torch"), join(at, "torch"))
      await Effect.runPromise(importable)
      await Effect.runPromise(lookAround(">=22"))
    } finally {
      process.chdir(before)
    }
    assert.isFalse(existsSync(ran))
  })
})
