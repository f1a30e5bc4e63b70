import { execFile } from "node:child_process"

/**
 * The folder of a package that `python -I` would import; null where there is none. Isolated, it runs no code of the current folder, of
 * PYTHONPATH or of the user's site. Asked without importing the package: a tenth of a second.
 */
export const pythonPackage = (python: string, name: string): Promise<string | null> => {
  const ask =
    `import importlib.util as u; s = u.find_spec('${name}'); print(s.submodule_search_locations[0] if s else '')`
  return new Promise((resolve) => {
    execFile(
      python,
      ["-I", "-c", ask],
      (error, out) => resolve(error === null && out.trim() !== "" ? out.trim() : null)
    )
  })
}
