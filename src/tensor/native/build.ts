/** Compiles the C kernels with the system's compiler, once for each processor, compiler and version of the sources. */
import { execFile } from "node:child_process"
import { createHash } from "node:crypto"
import { mkdtemp, readdir, readFile, rename, rm, writeFile } from "node:fs/promises"
import { arch, cpus, platform, tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { cacheFolder, ForeignCache } from "../cacheFolder.js"
import { type Signature, signatures } from "../compiled/signatures.ts"

const run = promisify(execFile)

const folders = [new URL("../kernels/", import.meta.url), new URL("./", import.meta.url)]

/** `-march=native` makes it fast. Sums are never reassociated and fuse only where FMA says so, as in the wasm build. */
const flags = [
  "-std=gnu17",
  "-O3",
  "-ffp-contract=off",
  "-fno-math-errno",
  "-fvisibility=hidden",
  "-Wall",
  "-Wno-unused-function",
  "-shared",
  "-fPIC",
  "-pthread"
]

/** The kernels as a shared library for this machine. */
export interface Library {
  readonly path: string
  readonly signatures: ReadonlyArray<Signature>
}

/** Why there is no native backend here, in one line. */
export class NoNative extends Error {
  override readonly name = "NoNative"
}

/** A function behind the common signature: arguments come as doubles, which hold every address and length. */
const callOf = ({ kind, name, parameters }: Signature): string => {
  const passed = parameters.map((type, i) => type.endsWith("*") ? `(${type})(uintptr_t)a[${i}]` : `(${type})a[${i}]`)
  const call = kind === "kernel"
    ? `static void call_${name}(int t, int nt, float *scratch, const double *a) { ${name}(${
      ["t", "nt", "scratch", ...passed].join(", ")
    }); }`
    : `static double call_${name}(const double *a) { return (double)${name}(${passed.join(", ")}); }`
  return name.includes("bf16") ? `#if HAS_PAIRS\n${call}\n#else\n#define call_${name} 0\n#endif` : call
}

/** The table through which pool.c calls every function. */
const callsOf = (functions: ReadonlyArray<Signature>): string => {
  const table = (kind: Signature["kind"]): string =>
    `static const ${kind}_call ${kind}_calls[] = {${
      functions.filter((f) => f.kind === kind).map(({ name }) => `call_${name}`).join(", ")
    }};`
  return ['#include "kernels.c"', ...functions.map(callOf), table("kernel"), table("value"), ""].join("\n")
}

const readSources = async (): Promise<Record<string, string>> => {
  const sources: Record<string, string> = {}
  for (const folder of folders) {
    for (const name of (await readdir(folder)).filter((name) => /\.[ch]$/.test(name)).sort()) {
      sources[name] = await readFile(new URL(name, folder), "utf8")
    }
  }
  return sources
}

/** The target of the compiler: a library for another processor must not be loaded on this machine. */
const processor = async (): Promise<string> => {
  const features = await readFile("/proc/cpuinfo", "utf8").then(
    (text) => /^(flags|Features)\s*:.*$/m.exec(text)?.[0] ?? "",
    () => ""
  )
  return [platform(), arch(), cpus()[0]?.model, features].join("\n")
}

const sha256 = (contents: string | Uint8Array): string => createHash("sha256").update(contents).digest("hex")

/** A library's name: what it was compiled from, and its own contents, so that damage is seen before it is loaded and crashes. */
const nameOf = (from: string, contents: Uint8Array): string => `${from}-${sha256(contents).slice(0, 32)}.so`

/** The libraries in `folder` that were compiled from the same: `whole` has the contents that its name says. */
const kept = async (
  folder: string,
  from: string
): Promise<{ whole: string | null; damaged: ReadonlyArray<string> }> => {
  const damaged: Array<string> = []
  for (const name of (await readdir(folder)).filter((name) => name.startsWith(`${from}-`) && name.endsWith(".so"))) {
    const path = join(folder, name)
    if (name === nameOf(from, await readFile(path))) return { whole: path, damaged }
    damaged.push(path)
  }
  return { whole: null, damaged }
}

/** Compiles a library named `from` into `folder`, and returns its path. */
const compile = async (
  compiler: string,
  sources: Record<string, string>,
  into: string,
  from: string
): Promise<string> => {
  const folder = await mkdtemp(join(tmpdir(), "keel-native-"))
  try {
    await writeFile(join(folder, "kernelCalls.h"), callsOf(signatures(sources)))
    const includes = [folder, ...folders.map((url) => fileURLToPath(url))].map((path) => `-I${path}`)
    const made = join(folder, "kernels.so")
    const source = fileURLToPath(new URL("./pool.c", import.meta.url))
    const failures: Array<string> = []
    // Compilers for ARM take either flag.
    for (const target of ["-march=native", "-mcpu=native"]) {
      try {
        await run(compiler, [...flags, target, ...includes, source, "-o", made])
        // A rename within the folder, so that two processes that build at once each leave a whole library.
        const contents = await readFile(made)
        const to = join(into, nameOf(from, contents))
        const beside = `${to}.${process.pid}`
        await writeFile(beside, contents, { mode: 0o700 })
        await rename(beside, to)
        return to
      } catch (error) {
        failures.push(String((error as { readonly stderr?: string }).stderr ?? error))
      }
    }
    throw new NoNative(
      `${compiler} does not compile the kernels: ${
        failures[0]!.split("\n").find((line) => /error/.test(line)) ?? failures[0]!.trim()
      }`
    )
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** The library for this machine, compiled first when there is none of these sources. */
export const build = async (): Promise<Library> => {
  if (platform() === "win32") throw new NoNative("there is no native target for Windows yet")
  const compiler = process.env["CC"] ?? "cc"
  const version = await run(compiler, ["--version"]).then(
    ({ stdout }) => stdout,
    () => {
      throw new NoNative(`there is no C compiler (${compiler}); install one, e.g. \`apt install gcc\``)
    }
  )
  const sources = await readSources()
  const from = `kernels-${sha256(JSON.stringify([flags, version, await processor(), sources])).slice(0, 32)}`
  const library = { signatures: signatures(sources) }
  try {
    const folder = cacheFolder("native")
    const { damaged, whole } = await kept(folder, from)
    for (const path of damaged) {
      process.stderr.write(`${path} is damaged: it is removed.\n`)
      await rm(path, { force: true })
    }
    if (whole !== null) return { ...library, path: whole }
    process.stderr.write("compiling kernels for this processor (once, ~10 s) …\n")
    return { ...library, path: await compile(compiler, sources, folder, from) }
  } catch (error) {
    if (error instanceof NoNative) throw error
    const { message } = error as Error
    throw new NoNative(
      error instanceof ForeignCache ? message : `no place to keep compiled kernels (set KEEL_CACHE): ${message}`
    )
  }
}
