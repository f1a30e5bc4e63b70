/**
 * Tells Node where Keel's own modules are. Left to itself it asks the file system about each of six hundred, again and again: a third of
 * what a command takes to start. What anybody else's files import it finds as ever.
 */
import { registerHooks } from "node:module"

const keel = new URL("../../", import.meta.url).href
const [sources, effect] = [[`${keel}src/`, `${keel}dsl/`], [`${keel}node_modules/effect/dist/`, `${keel}node_modules/@effect/`]]

/** Of packages by their name: all of Keel's sources see the same ones. */
const packages = new Map()

registerHooks({
  resolve: (name, context, next) => {
    const from = context.parentURL ?? ""
    const within = (folders) => folders.some((folder) => from.startsWith(folder))
    if (name.startsWith(".")) {
      const { href: url } = new URL(name, from)
      if (url.endsWith(".ts") && within(sources)) return { url, format: "module-typescript", shortCircuit: true }
      // They are modules throughout, and name files in full.
      if (url.endsWith(".js") && within(effect)) return { url, format: "module", shortCircuit: true }
    } else if (within(sources)) {
      const known = packages.get(name) ?? { ...next(name, context), shortCircuit: true }
      packages.set(name, known)
      return known
    }
    return next(name, context)
  }
})
