import { existsSync } from "node:fs"
import { join } from "node:path"
import { pythonPackage } from "../pythonPackage.ts"

/** There is no usable libtorch here; the message says what to install or set. */
export class NoTorch extends Error {
  readonly _tag = "NoTorch"
}

const suffix = process.platform === "darwin" ? "dylib" : "so"

/** File name of one of libtorch's libraries on this system. */
export const libraryName = (stem: string): string => `lib${stem}.${suffix}`

/** Asked once. */
let asked: Promise<string | null> | undefined

const remedy = "pip install torch (2.10 or newer), or set KEEL_LIBTORCH to the folder with "

/** The folder of libtorch's libraries: `KEEL_LIBTORCH`, or that of the `torch` which python3 would import, without PYTHONPATH and the user's site. */
export const libraryFolder = async (): Promise<string> => {
  const library = libraryName("torch_cpu")
  const given = process.env["KEEL_LIBTORCH"]
  if (given !== undefined && given !== "") {
    const found = [given, join(given, "lib")].find((folder) => existsSync(join(folder, library)))
    if (found === undefined) throw new NoTorch(`KEEL_LIBTORCH is ${given}, where there is no ${library}`)
    return found
  }
  const found = await (asked ??= pythonPackage("python3", "torch"))
  if (found === null) throw new NoTorch(`python3 -I has no torch: ${remedy}${library}`)
  const folder = join(found, "lib")
  if (!existsSync(join(folder, library))) throw new NoTorch(`${folder} has no ${library}: ${remedy}it`)
  return folder
}
