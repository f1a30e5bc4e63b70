/**
 * The folder of files that Keel makes for this machine: compiled modules and kernels, packages, measurements. Code is loaded from it,
 * so it must be the user's alone. In JavaScript, because `cli/main.js` needs it before anything strips types.
 */
import { lstatSync, mkdirSync } from "node:fs"
import { homedir } from "node:os"
import { isAbsolute, join } from "node:path"

/**
 * `KEEL_CACHE`, else `keel` in `XDG_CACHE_HOME` or in `~/.cache`. A relative `XDG_CACHE_HOME` is invalid by its specification.
 *
 * @param {Readonly<Record<string, string | undefined>>} environment
 * @returns {string}
 */
export const cachePath = (environment = process.env) => {
  const { KEEL_CACHE: own, XDG_CACHE_HOME: shared } = environment
  return own ? own : join(shared && isAbsolute(shared) ? shared : join(homedir(), ".cache"), "keel")
}

/** A folder that somebody else could have filled. */
export class ForeignCache extends Error {
  name = "ForeignCache"
}

/** Makes the folder if need be, and throws unless it is the user's alone. */
const own = (/** @type {string} */ folder) => {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const found = lstatSync(folder)
  const user = process.getuid?.()
  // Windows has neither owners nor modes here.
  if (user === undefined) return
  const foreign = (/** @type {string} */ problem) => {
    throw new ForeignCache(`the cache ${folder} ${problem}: code is loaded from it`)
  }
  if (found.isSymbolicLink()) foreign("is a symbolic link; set KEEL_CACHE to its target")
  if (found.uid !== user) foreign(`belongs to user ${found.uid}, not to you (${user}); set KEEL_CACHE to a folder of your own`)
  if ((found.mode & 0o022) !== 0) {
    foreign(`can be written by other users; remove its contents, then \`chmod 700 ${folder}\``)
  }
}

/**
 * The folder `names` in the cache, made with mode 0700 where it is missing. Throws `ForeignCache` where it, or a folder above it in
 * the cache, is a symbolic link, another user's, or open to other users' writes.
 *
 * @param {ReadonlyArray<string>} names
 * @returns {string}
 */
export const cacheFolder = (...names) => {
  let folder = cachePath()
  own(folder)
  for (const name of names) own(folder = join(folder, name))
  return folder
}
