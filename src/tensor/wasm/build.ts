import { createHash, randomBytes } from "node:crypto"
import { readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"

/** `relaxed` has fused multiply-add and runs where the engine has relaxed SIMD; `plain` runs wherever there is SIMD. */
export type Variant = "relaxed" | "plain"

const sourceFolder = new URL("../kernels/", import.meta.url)

/** The custom section of a module that holds the hash of the sources it was compiled from. */
const hashSection = "keel.sources"

const flags = (variant: Variant): ReadonlyArray<string> => [
  "--target=wasm32",
  "-std=c17",
  "-O3",
  // No -ffast-math: it folds the rounding in exp. Multiplications and additions fuse only where FMA says so.
  "-ffp-contract=off",
  // Loops must not become memory.copy, which checks bounds that another thread may just have grown.
  "-ffreestanding",
  "-fno-builtin",
  "-msimd128",
  ...(variant === "relaxed" ? ["-mrelaxed-simd"] : []),
  "-matomics",
  "-mbulk-memory",
  // Loop strength reduction computes addresses in ways that leave no constant offset for the load itself.
  "-mllvm",
  "-disable-lsr",
  "-nostdlib",
  "-Wall",
  "-Werror",
  "-Wl,--no-entry",
  "-Wl,--import-memory",
  "-Wl,--shared-memory",
  "-Wl,--max-memory=4294967296",
  "-Wl,--export=__stack_pointer",
  "-Wl,--export=__heap_base",
  "-Wl,-z,stack-size=65536",
  "-Wl,--strip-all"
]

const readSources = (): Record<string, string> =>
  Object.fromEntries(
    readdirSync(sourceFolder).filter((name) => /\.[ch]$/.test(name)).sort()
      .map((name) => [name, readFileSync(new URL(name, sourceFolder), "utf8")])
  )

/** Hash of everything that decides the code of a module. */
const hashOf = (variant: Variant, sources: Record<string, string>): string =>
  createHash("sha256").update(JSON.stringify([flags(variant), sources])).digest("hex")

/** A WebAssembly custom section: id 0, size, name, contents (sizes below 128 take one byte). */
const section = (name: string, contents: string): Uint8Array => {
  const body = [Buffer.from([name.length]), Buffer.from(name), Buffer.from(contents)]
  const size = body.reduce((sum, part) => sum + part.length, 0)
  return Buffer.concat([Buffer.from([0, size]), ...body])
}

const compile = async (variant: Variant, sources: Record<string, string>): Promise<Uint8Array> => {
  const clang = await import("@yowasp/clang").catch((cause: unknown) => {
    throw new Error(
      "The wasm backend's kernels are not compiled and the compiler is missing: " +
        "install it with `npm install --save-dev @yowasp/clang`, or use another backend.",
      { cause }
    )
  })
  const output: Array<Uint8Array> = []
  const collect = (bytes: Uint8Array | null): void => void (bytes !== null && output.push(bytes.slice()))
  try {
    // Loads the compiler; with a callback for its progress, it does not print to stdout.
    await clang.runLLVM(undefined, {}, { fetchProgress: () => {} })
    const files = await clang.commands.clang([...flags(variant), "-o", "kernels.wasm", "kernels.c"], sources, {
      stdout: collect,
      stderr: collect
    })
    return (files as { readonly "kernels.wasm": Uint8Array })["kernels.wasm"]
  } catch (error) {
    const said = Buffer.concat(output).toString() || String(error)
    // oxlint-disable-next-line preserve-caught-error -- the error carries all the files
    throw new Error(`The wasm kernels (${variant}) do not compile:\n${said}`)
  }
}

const moduleUrl = (variant: Variant): URL => new URL(`kernels.${variant}.wasm`, import.meta.url)

/** The compiled module if it is there and was made from these sources. */
const readModule = (variant: Variant, sources: Record<string, string>): Uint8Array<ArrayBuffer> | undefined => {
  try {
    const bytes = readFileSync(moduleUrl(variant))
    const end = bytes.subarray(-64).toString()
    return end === hashOf(variant, sources) ? new Uint8Array(bytes) : undefined
  } catch {
    return undefined
  }
}

/**
 * Compiles the C kernels and returns the module's bytes. Written beside this file under a temporary name and renamed, so
 * that two processes that build at once each leave a whole module.
 */
export const build = async (variant: Variant): Promise<Uint8Array<ArrayBuffer>> => {
  const sources = readSources()
  const code = await compile(variant, sources)
  const bytes = new Uint8Array(Buffer.concat([code, section(hashSection, hashOf(variant, sources))]))
  const temporary = new URL(`${moduleUrl(variant).href}.${process.pid}.${randomBytes(4).toString("hex")}.wasm`)
  try {
    writeFileSync(temporary, bytes)
    renameSync(temporary, moduleUrl(variant))
  } catch {
    // An installation may be read-only: the module in hand still serves this process.
    rmSync(temporary, { force: true })
  }
  return bytes
}

/** The module's bytes, compiled first when it is missing or older than the sources. */
export const load = async (variant: Variant): Promise<Uint8Array<ArrayBuffer>> => {
  const found = readModule(variant, readSources())
  if (found !== undefined) return found
  process.stderr.write("compiling kernels (once, ~6 s) …\n")
  return build(variant)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const variant of ["relaxed", "plain"] as const) {
    const { length } = await build(variant)
    process.stdout.write(`kernels.${variant}.wasm ${length} bytes\n`)
  }
}
