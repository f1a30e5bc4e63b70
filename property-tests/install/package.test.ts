/**
 * The package as users get it: packed from a copy of the repository, installed by npm alone into an empty folder, and used there by
 * the compilers and the runtimes that it promises. Without npm's registry all of it is skipped.
 */
import { execFile, spawnSync } from "node:child_process"
import {
  cpSync,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import { delimiter, dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll, assert, beforeAll, describe, it } from "vitest"

const repository = fileURLToPath(new URL("../../", import.meta.url))
const { version } = JSON.parse(readFileSync(join(repository, "package.json"), "utf8"))

/** The name by which a user imports a file of the repository. */
const published = (_: string, folder: string): string =>
  folder === "dsl" ? '"keel"' : folder === "src/outside" ? '"keel/stage"' : '"keel/interpreters"'

const asked = spawnSync("npm", ["view", "fast-check", "version", "--fetch-retries=0", "--fetch-timeout=10000"], {
  encoding: "utf8",
  timeout: 30_000
})
const unreachable = asked.error === undefined && asked.status === 0
  ? null
  : (asked.error?.message ?? asked.stderr).trim().split("\n")[0]
if (unreachable !== null) {
  console.log(`the installed package is not tested: npm's registry cannot be reached (${unreachable})`)
}

const folder = mkdtempSync(join(tmpdir(), "keel-install-"))
const project = join(folder, "project")
const recipe = join(project, "template")
const bin = join(project, "node_modules/.bin")

const read = (path: string): string => readFileSync(path, "utf8")
const write = (path: string, text: string): void => {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, text)
}

interface Ended {
  readonly code: number
  readonly stdout: string
  /** All that was said. */
  readonly text: string
}

/** This Node first, then what the project has. */
const environment = {
  ...process.env,
  NO_COLOR: "1",
  NODE_OPTIONS: "",
  PATH: [dirname(process.execPath), bin, process.env["PATH"]].join(delimiter)
}

const ended = (command: string, args: ReadonlyArray<string>, cwd: string): Promise<Ended> =>
  new Promise((resolve) =>
    execFile(command, args, { cwd, env: environment, maxBuffer: 2 ** 26 }, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === "number" ? error.code : 1
      resolve({ code, stdout, text: error !== null && stdout + stderr === "" ? String(error) : stdout + stderr })
    })
  )

/** What a command says; fails where it does. */
const said = async (command: string, args: ReadonlyArray<string>, cwd = recipe): Promise<string> => {
  const { code, text } = await ended(command, args, cwd)
  assert.strictEqual(code, 0, text.slice(-4000))
  return text
}

/** The command line, for runtimes that npm does not start it with. */
const main = join(project, "node_modules/keel/dist/src/cli/main.js")

/** Pretraining cut short: whether it trains is asked, not how well. */
const short = (backend: string) => ["run", "recipe.ts", "--backend", backend, "--set", "pretrain.steps=20"]

const systemOf = { win32: "win" }[process.platform as string] ?? process.platform

let packed: {
  readonly filename: string
  readonly size: number
  readonly files: ReadonlyArray<{ readonly path: string }>
}

describe.skipIf(unreachable !== null)("the installed package", () => {
  beforeAll(async () => {
    const copy = join(folder, "copy")
    for (
      const name of ["dsl", "src", "template", "package.ts", "package.json", "LICENSE", "README.md", "CHANGELOG.md"]
    ) {
      cpSync(join(repository, name), join(copy, name), { recursive: true })
    }
    for (const name of ["tsconfig.json", "tsconfig.package.json"]) cpSync(join(repository, name), join(copy, name))
    symlinkSync(join(repository, "node_modules"), join(copy, "node_modules"))
    const before = read(join(copy, "package.json"))
    const { stdout } = spawnSync("npm", ["pack", "--json", "--silent"], {
      cwd: copy,
      env: environment,
      encoding: "utf8"
    })
    assert.strictEqual(read(join(copy, "package.json")), before, "package.json is not as it was")
    // npm 12 has a record where npm 11 has a list.
    packed = Object.values(JSON.parse(stdout) as Record<string, typeof packed>)[0]!

    write(
      join(project, "package.json"),
      JSON.stringify({
        private: true,
        type: "module",
        dependencies: { keel: `file:../copy/${packed.filename}` },
        devDependencies: {
          "@types/node": "^24.0.0",
          "fast-check": "^4.0.0",
          "typescript": "^7.0.0",
          "typescript-5": "npm:typescript@~5.9.0",
          "typescript-6": "npm:typescript@^6.0.0"
        },
        optionalDependencies: {
          "bun": "^1.3.0",
          "deno": "^2.5.0",
          "node-22": `npm:node-${systemOf}-${process.arch}@22.19.0`
        }
      })
    )
    await said("npm", ["install", "--no-audit", "--no-fund", "--prefer-offline", "--ignore-scripts"], project)
    await said("keel", ["init", "template"], project)
  }, 300_000)

  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  it("is small and holds what runs, and nothing else", () => {
    const paths = packed.files.map(({ path }) => path)
    assert.isBelow(packed.size, 5e6)
    for (
      const path of [
        "LICENSE",
        "README.md",
        "dist/src/cli/main.js",
        "dist/src/cli/keel.js.map",
        "dist/src/tensor/wasm/worker.js",
        "dist/src/tensor/wasm/kernels.relaxed.wasm",
        "dist/src/tensor/wasm/kernels.plain.wasm",
        "dist/src/tensor/kernels/gemm.c",
        "dist/src/tensor/native/pool.c",
        "dist/src/bench/peers/torch.py"
      ]
    ) assert.include(paths, path)
    const sources = paths.filter((path) => /(?<!\.d)\.ts$/u.test(path))
    assert.deepEqual(sources.toSorted(), ["dist/template/recipe.test.ts", "dist/template/recipe.ts"])
    assert.isEmpty(paths.filter((path) => !/^(?:dist\/(?:dsl|src|template)\/|dist\/package\.json$|[^/]+$)/u.test(path)))
  })

  it("begins a project that asks for the same package, and none where something lies", async () => {
    const { dependencies } = JSON.parse(read(join(recipe, "package.json")))
    assert.deepEqual(dependencies, { keel: `file:../../copy/${packed.filename}` })
    const again = await ended("keel", ["init", "template"], project)
    assert.strictEqual(again.code, 1)
    assert.include(again.text, "template is not empty")
  })

  it("checks, simulates and trains, and finds it made before", async () => {
    assert.strictEqual((await said("keel", ["--version"])).trim(), `keel v${version}`)
    assert.include(await said("keel", ["check", "recipe.ts"]), "no mistakes")
    assert.match(await said("keel", ["simulate", "recipe.ts"]), /\| dpo-/u)
    const trained = await said("keel", ["run", "recipe.ts"])
    assert.match(trained, /\| dpo +\|/u)
    assert.isNotEmpty(globSync("runs/*/plots/*.svg", { cwd: recipe }))
    assert.match(await said("keel", ["run", "recipe.ts"]), /made before/u)
    assert.match(await said("keel", short("wasm")), /on wasm/u)
    if (spawnSync(process.env["CC"] ?? "cc", ["--version"]).status === 0 && process.platform !== "win32") {
      assert.match(await said("keel", [...short("native"), "--out", "runs/native"]), /on native/u)
    }
  })

  it("holds the laws of the recipe, with fast-check", async () => {
    assert.match(await said("node", ["--test", "recipe.test.ts"]), /pass 5\n/u)
  })

  it("runs from a program", async () => {
    const path = join(project, "property-tests/install/program.ts")
    cpSync(join(repository, "property-tests/install/program.ts"), path)
    const { stdout } = await ended("node", [path], recipe)
    const expected = { problems: [], policies: 3, names: ["base", "sft", "dpo"], texts: 2 }
    assert.deepEqual(JSON.parse(stdout.trim().split("\n").at(-1)!), expected)
  })

  describe.each(["typescript-5", "typescript-6", "typescript"])("with %s", (compiler) => {
    it.each([true, false])(
      "types and declares the recipe and the examples, exactOptionalPropertyTypes %s",
      async (exact) => {
        for (const name of globSync("examples/*.ts", { cwd: repository })) {
          write(
            join(project, name),
            read(join(repository, name)).replaceAll(/"\.\.\/(dsl|src\/\w+)\/[^"]+"/gu, published)
          )
        }
        write(
          join(project, "tsconfig.json"),
          JSON.stringify({
            compilerOptions: {
              target: "ES2023",
              // Effect's own declarations name types of the DOM.
              lib: ["ES2023", "ESNext.Disposable", "DOM"],
              module: "NodeNext",
              types: ["node"],
              rootDir: ".",
              outDir: "out",
              strict: true,
              declaration: true,
              exactOptionalPropertyTypes: exact,
              rewriteRelativeImportExtensions: true,
              skipLibCheck: false
            },
            // All of the examples take the older compilers half a minute: once is enough.
            include: ["template", "property-tests", ...(exact || compiler === "typescript" ? ["examples"] : [])]
          })
        )
        rmSync(join(project, "out"), { recursive: true, force: true })
        await said("node", [join("node_modules", compiler, "bin/tsc")], project)
        assert.include(read(join(project, "out/template/recipe.d.ts")), 'import("keel/dsl/')
      }
    )
  })

  describe.each([
    ["Node 22.19", "node-22/bin/node", []],
    ["Bun", "@oven/bun-*/bin/bun", []],
    ["Deno", "@deno/*/deno", ["run", "-A"]]
  ])("under %s", (_, pattern, args) => {
    it("simulates and trains", async ({ skip }) => {
      const [path] = globSync(pattern, { cwd: join(project, "node_modules") })
      if (path === undefined) return skip("npm has no build of it for this system")
      const runtime = join(project, "node_modules", path)
      assert.match(await said(runtime, [...args, main, "simulate", "recipe.ts"]), /\| dpo-/u)
      rmSync(join(recipe, "runs"), { recursive: true, force: true })
      assert.match(await said(runtime, [...args, main, ...short("wasm")]), /\| dpo +\|/u)
      assert.isTrue(existsSync(join(recipe, "runs")))
    })
  })
})
