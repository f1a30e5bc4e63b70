import { execFile } from "node:child_process"
import { existsSync } from "node:fs"
import { basename, join } from "node:path"
import { promisify } from "node:util"
import { cacheFolder } from "../cacheFolder.js"
import { pythonPackage } from "../pythonPackage.ts"

const run = promisify(execFile)

/** The libraries of an installed `tensorflow` (or `tensorflow-cpu`) Python package: its folder, without Python. */
export interface TensorFlowFolder {
  readonly include: string
  readonly libraries: ReadonlyArray<string>
  readonly folder: string
}

const names = process.platform === "darwin"
  ? ["libtensorflow_cc.2.dylib", "libtensorflow_framework.2.dylib"]
  : ["libtensorflow_cc.so.2", "libtensorflow_framework.so.2"]

const folderAt = (folder: string): TensorFlowFolder | null => {
  const libraries = names.map((name) => join(folder, name))
  const include = join(folder, "include")
  return [...libraries, join(include, "tensorflow/c/eager/c_api.h")].every((file) => existsSync(file))
    ? { folder, include, libraries }
    : null
}

const unpack = async (wheel: string): Promise<string> => {
  const folder = cacheFolder("tfjs", basename(wheel, ".whl"))
  await run("python3", ["-I", "-m", "zipfile", "-e", wheel, folder])
  return join(folder, "tensorflow")
}

/**
 * TensorFlow as `given` (the package's folder, a virtual environment, or a wheel), or as python3 has it; null when it has none.
 * Throws when the argument is not such a folder.
 */
export const findTensorFlow = async (given: string | null): Promise<TensorFlowFolder | null> => {
  if (given === null) {
    const folder = await pythonPackage("python3", "tensorflow")
    return folder === null ? null : folderAt(folder)
  }
  if (!existsSync(given)) throw new Error(`there is no ${given}`)
  if (given.endsWith(".whl")) {
    const folder = folderAt(await unpack(given))
    if (folder === null) throw new Error(`${given} is not a wheel of tensorflow 2.18 or later`)
    return folder
  }
  const environment = join(given, "bin/python3")
  const candidates = [
    given,
    join(given, "tensorflow"),
    existsSync(environment) ? await pythonPackage(environment, "tensorflow") : null
  ]
  for (const candidate of candidates) {
    const folder = candidate === null ? null : folderAt(candidate)
    if (folder !== null) return folder
  }
  throw new Error(
    `${given} holds no ${
      names[0]
    } with its headers: give the folder site-packages/tensorflow, a virtual environment or a wheel`
  )
}
