import { existsSync } from "node:fs"
import { createRequire } from "node:module"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { cacheFolder, cachePath } from "../cacheFolder.js"

/** The packages that put TensorFlow under TensorFlow.js, the GPU package first. */
export const packageNames = ["tfjs-node-gpu", "tfjs-node"] as const
export type PackageName = typeof packageNames[number]

/** The version that is installed, and that this backend was tested with. */
export const packageVersion = "4.22.0"

/** The package as npm names it. */
export const npmName = (name: PackageName): string => `@tensorflow/${name}`

/**
 * The folder that `keel backend install` installs a package into. It lies in Keel's cache and not in `node_modules`: `npm ci` of the
 * project would remove it, and there its failure could break the project's own installation.
 */
export const homeOf = (name: PackageName): string => join(cachePath(), "tfjs", name)

/** The package's library for Node, and the file that holds its SHA-256 if Keel compiled it. */
export const bindingOf = (packageFolder: string): string => join(packageFolder, "lib/napi-v8/tfjs_binding.node")
export const digestOf = (packageFolder: string): string => `${bindingOf(packageFolder)}.sha256`

/** A package and where modules are looked up from to find it. */
export interface Found {
  readonly name: PackageName
  readonly from: string
}

/** Every installed package: Keel's own installations, then the project's dependencies. Throws `ForeignCache` before code of such a cache. */
export const installed = (): ReadonlyArray<Found> =>
  packageNames.flatMap((name) => {
    const places = [join(homeOf(name), "package.json"), import.meta.filename, join(process.cwd(), "package.json")]
    const from = places.find((place) => {
      if (place.startsWith(homeOf(name))) {
        if (!existsSync(place)) return false
        cacheFolder("tfjs", name)
      }
      try {
        createRequire(pathToFileURL(place)).resolve(`${npmName(name)}/package.json`)
        return true
      } catch {
        return false
      }
    })
    return from === undefined ? [] : [{ name, from }]
  })
