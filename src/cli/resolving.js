/**
 * Tells Node where Keel's own modules are. Left to itself it asks the file system about each of six hundred, again and again: a third of
 * what a command takes to start. What anybody else's files import it finds as ever.
 */
import { registerHooks } from "node:module"

const keel = new URL("../../", import.meta.url).href
const sources = [`${keel}src/`, `${keel}dsl/`]
const modules = new URL("../", import.meta.resolve("effect/package.json")).href
const ours = (from) => sources.some((folder) => from.startsWith(folder))
/** Modules throughout, which name files in full; a package inside of theirs may be another matter. */
const effects = (from) => from.startsWith(modules) && /^(?:effect|@effect\/[^/]+)\/dist\//u.test(from.slice(modules.length))

/** Of Effect, by the name that is imported: all of Keel's sources see the same one. */
const packages = new Map()

registerHooks({
  resolve: (name, context, next) => {
    const from = context.parentURL ?? ""
    if (name.startsWith(".")) {
      const { href: url } = new URL(name, from)
      if (url.endsWith(".ts") && ours(from)) return { url, format: "module-typescript", shortCircuit: true }
      if (url.endsWith(".js") && (ours(from) || effects(from))) return { url, format: "module", shortCircuit: true }
    } else if (/^@?effect\//u.test(name) && ours(from)) {
      const known = packages.get(name) ?? { ...next(name, context), shortCircuit: true }
      packages.set(name, known)
      return known
    }
    return next(name, context)
  }
})
