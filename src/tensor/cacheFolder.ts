import { homedir } from "node:os"
import { join } from "node:path"

/** The folder of files that Keel makes for this machine: `KEEL_CACHE`, or `keel` in the user's cache folder. */
export const cacheFolder = (): string =>
  process.env["KEEL_CACHE"] ?? join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "keel")
