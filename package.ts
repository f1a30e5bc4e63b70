/**
 * What `npm pack` runs before it packs, and with `--restore` after. Node strips no types below node_modules, so the package holds
 * JavaScript and declarations in `dist/`, and its package.json points there. In the repository package.json points to the sources:
 * `import "keel"` finds them in examples and tests without a build and without a flag, which a condition of `exports` would need.
 * npm has no way to publish another `exports`, so package.json is changed while npm packs; `.package.json` keeps the one of the
 * repository until then.
 */
import { execFileSync } from "node:child_process"
import { copyFileSync, cpSync, existsSync, globSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { load } from "./src/tensor/wasm/build.ts"

process.chdir(import.meta.dirname)
const [manifest, kept] = ["package.json", ".package.json"]

/** Also what an earlier run that was stopped left behind. */
if (existsSync(kept)) renameSync(kept, manifest)
if (process.argv.includes("--restore")) process.exit()

rmSync("dist", { recursive: true, force: true })
execFileSync("tsc", ["--project", "tsconfig.package.json"], { stdio: "inherit" })
cpSync("template", "dist/template", { recursive: true })
for (const variant of ["relaxed", "plain"] as const) await load(variant)
for (const file of [...globSync("src/**/*.{c,h,py}"), ...globSync("src/tensor/wasm/kernels.{relaxed,plain}.wasm")]) {
  cpSync(file, `dist/${file}`)
}

/** Where the package has a module: what of it is for TypeScript, and what for Node. */
const built = (source: string) => {
  if (!source.endsWith(".ts")) return source
  const path = source.replace("./", "./dist/").replace(/\.ts$/u, "")
  return { types: `${path}.d.ts`, default: `${path}.js` }
}

const source = JSON.parse(readFileSync(manifest, "utf8"))
const { engines, name, sideEffects, type, version } = source
const write = (file: string, value: object) => writeFileSync(file, `${JSON.stringify(value, null, 2)}\n`)
// The command line reads its version here.
write("dist/package.json", { name, version, type, sideEffects, engines })
copyFileSync(manifest, kept)
write(manifest, {
  ...source,
  bin: { keel: "./dist/src/cli/main.js" },
  exports: Object.fromEntries(Object.entries<string>(source.exports).map(([path, source]) => [path, built(source)])),
  // What only the repository has a use for.
  scripts: undefined,
  devDependencies: undefined,
  allowScripts: undefined
})
