import { execFile } from "node:child_process"
import { createHash } from "node:crypto"
import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises"
import { createRequire } from "node:module"
import { dirname, extname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { cacheFolder } from "../cacheFolder.js"
import lock from "./lock.json" with { type: "json" }
import { bindingOf, digestOf, homeOf, npmName, type PackageName, packageNames, packageVersion } from "./packages.ts"
import { findTensorFlow, type TensorFlowFolder } from "./python.ts"

const run = promisify(execFile)

/** A step that failed, and what to do. */
export class InstallFailed extends Error {
  override readonly name = "InstallFailed"
}

export interface Installed {
  readonly package: PackageName
  readonly folder: string
  /** Of TensorFlow. */
  readonly version: string
  readonly gpu: boolean
}

/** The line of a program's output that says what went wrong. */
const reasonOf = (error: unknown): string => {
  const { message, stderr } = error as { readonly stderr?: string; readonly message: string }
  const lines = (stderr === undefined || stderr.trim() === "" ? message : stderr).trim().split("\n")
  const said = lines.find((line) =>
    /^\w*Error: |\berror: |^npm error |undefined reference|cannot find/.test(line.trim())
  )
  return (said ?? lines.at(-1)!).trim().slice(0, 300)
}

const step = async <A>(what: string, remedy: string, work: () => Promise<A>): Promise<A> => {
  try {
    return await work()
  } catch (error) {
    throw error instanceof InstallFailed ? error : new InstallFailed(`${what} failed: ${reasonOf(error)}. ${remedy}`)
  }
}

/** The headers of Node's C interface, which does not change with its version; they come with koffi. */
const nodeHeaders = (): string =>
  join(dirname(createRequire(import.meta.url).resolve("koffi")), "vendor/node-api-headers/include")

/** What npm installs, to the byte: each package with its version and the SHA-512 that npm holds it against. */
const lockOf = (name: PackageName) => {
  const others = packageNames.filter((other) => other !== name).map((other) => `node_modules/${npmName(other)}`)
  const packages = Object.fromEntries(Object.entries(lock).filter(([path]) => !others.includes(path)))
  const root = { private: true, dependencies: { [npmName(name)]: packageVersion } }
  return { root, lock: { lockfileVersion: 3, requires: true, packages: { "": root, ...packages } } }
}

/** The package's own binding, compiled against the libraries of TensorFlow where they lie, because they find those of CUDA from there. */
const compile = async (packageFolder: string, { folder, include, libraries }: TensorFlowFolder): Promise<void> => {
  const compiler = process.env["CXX"] ?? "c++"
  await step(
    `looking for a C++ compiler (${compiler})`,
    "Install one, e.g. `apt install g++`.",
    () => run(compiler, ["--version"])
  )
  const to = bindingOf(packageFolder)
  await mkdir(dirname(to), { recursive: true })
  const source = join(packageFolder, "binding")
  const sources = (await readdir(source)).filter((name) => name.endsWith(".cc")).map((name) => join(source, name))
  const args = [
    "-std=c++17",
    "-O2",
    "-shared",
    "-fPIC",
    "-w",
    "-DNAPI_VERSION=8",
    `-I${nodeHeaders()}`,
    `-I${dirname(packageFolder)}`,
    `-I${include}`,
    ...sources,
    "-o",
    to,
    ...libraries,
    `-Wl,-rpath,${folder}`,
    ...(process.platform === "darwin" ? ["-undefined", "dynamic_lookup"] : [])
  ]
  await step(
    `compiling the binding against ${folder}`,
    "Give another TensorFlow with --tensorflow; 2.21 is known to work.",
    () => run(compiler, args, { maxBuffer: 2 ** 26 })
  )
  await writeFile(digestOf(packageFolder), createHash("sha256").update(await readFile(to)).digest("hex"))
}

/** Loads the package in another process. */
const check = (name: PackageName, folder: string): Promise<{ readonly version: string; readonly gpu: boolean }> =>
  step(
    "loading what was built",
    "Give another TensorFlow with --tensorflow; 2.21 is known to work.",
    async () => {
      const probe = fileURLToPath(new URL(`./probe${extname(import.meta.url)}`, import.meta.url))
      const { stdout } = await run(process.execPath, ["--no-warnings", probe, name, join(folder, "package.json")])
      const answer = JSON.parse(stdout.trim().split("\n").at(-1)!)
      if (answer.product.join() !== "3,3,3,3") {
        throw new Error(`2 × 3 ones times 3 × 2 ones is ${answer.product.join()}`)
      }
      return answer
    }
  )

/**
 * Installs a package into Keel's cache and puts a current TensorFlow under it: npm by the checksums of `lock.json` and without
 * scripts (the package's own would fetch TensorFlow 2.9 for CUDA 11, with no checksum), the binding compiled against the TensorFlow
 * that Python has, and a first product. An installation that was there before stays until the new one works.
 */
export const install = async (
  name: PackageName,
  tensorflow: string | null,
  say: (text: string) => void
): Promise<Installed> => {
  if (process.platform === "win32") throw new InstallFailed("There is no build for Windows: use WSL.")
  const home = homeOf(name)
  const folder = `${home}.new`
  const pip = `Run \`pip install ${name === "tfjs-node-gpu" ? "tensorflow[and-cuda]" : "tensorflow-cpu"}\``
  const found = await step(
    "looking for TensorFlow",
    "Take one from `pip install tensorflow-cpu` (2.18 or later), or leave --tensorflow out.",
    () => findTensorFlow(tensorflow)
  )
  if (found === null) {
    throw new InstallFailed(
      `python3 -I has no tensorflow. ${pip} and then this again, or give --tensorflow ` +
        "(a package of PYTHONPATH or of `pip install --user` is not looked for)."
    )
  }
  const locked = lockOf(name)
  await step(`making ${folder}`, "Set KEEL_CACHE to a folder that can be written.", async () => {
    cacheFolder("tfjs")
    await rm(folder, { recursive: true, force: true })
    await mkdir(folder, { mode: 0o700 })
    await writeFile(join(folder, "package.json"), JSON.stringify(locked.root))
    await writeFile(join(folder, "package-lock.json"), JSON.stringify(locked.lock))
  })
  try {
    const what = `${npmName(name)}@${packageVersion}`
    say(`npm ci of ${what} …`)
    await step(
      `npm ci of ${what}`,
      "npm must be on PATH and reach its registry, which must have the packages that Keel was made with.",
      () => run("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund"], { cwd: folder, maxBuffer: 2 ** 26 })
    )
    say(`compiling its binding against ${found.folder} …`)
    await compile(join(folder, "node_modules", npmName(name)), found)
    const { gpu, version } = await check(name, folder)
    await rm(home, { recursive: true, force: true })
    await rename(folder, home)
    return { package: name, folder: home, version, gpu }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
