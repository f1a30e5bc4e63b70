import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

/** Runs `work` in a folder of its own with these files. */
export const inFolder = async <A>(
  files: Readonly<Record<string, Uint8Array | string>>,
  work: () => Promise<A>
): Promise<A> => {
  const folder = mkdtempSync(join(tmpdir(), "keel-data-"))
  for (const [name, bytes] of Object.entries(files)) writeFileSync(join(folder, name), bytes)
  const before = process.cwd()
  process.chdir(folder)
  try {
    return await work()
  } finally {
    process.chdir(before)
    rmSync(folder, { recursive: true })
  }
}
