/**
 * Rows a second and peak memory of each kind of file, beside `datasets` (Python) where it is installed, each in a process of its own:
 *
 *     npm run test:rows -- 1000000 1000        # a million rows of 1,000 characters: 1 GB a kind
 *     KEEL_PYTHON=VENV/bin/python npm run test:rows
 *
 * A time includes the start of the process. `datasets` writes its Arrow files anew each time; Keel reads, checks and keeps every row.
 */
import { execFileSync, spawnSync } from "node:child_process"
import { createReadStream, createWriteStream, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { pipeline } from "node:stream/promises"
import { createGzip, createZstdCompress } from "node:zlib"
import { parquetWriteRows } from "hyparquet-writer"

const interpreter = process.env["KEEL_PYTHON"] ?? "python3"
const [rows = 100_000, characters = 1000] = process.argv.slice(2).map(Number)
const folder = mkdtempSync(join(process.env["TMPDIR"] ?? tmpdir(), "keel-throughput-"))
const words = "once upon a time there was a little cat who liked to play with her friend in the big green garden".split(
  " "
)

const textOf = (i: number): string => {
  let [text, at] = ["", i]
  while (text.length < characters) {
    at = (Math.imul(at, 1664525) + 1013904223) >>> 0
    text += `${words[at % words.length]} `
  }
  return text.slice(0, characters)
}

const written = async (name: string, line: (text: string, i: number) => string, first = "", last = "") => {
  const path = join(folder, name)
  await pipeline(
    async function*() {
      yield first
      for (let i = 0; i < rows; i++) yield line(textOf(i), i)
      yield last
    },
    createWriteStream(path)
  )
  return path
}

const reads = (path: string): string => `
  import * as NodeFileSystem from "@effect/platform-node-shared/NodeFileSystem"
  import * as Effect from "effect/Effect"
  import { readFileSync } from "node:fs"
  import { read, readers } from ${JSON.stringify(new URL("../src/data/read.ts", import.meta.url).href)}
  const { rows } = await Effect.runPromise(Effect.provide(read(readers.Text)(${
  JSON.stringify(path)
}), NodeFileSystem.layer))
  console.log(JSON.stringify({ rows: rows.length, peak: /VmHWM:\\s*(\\d+)/u.exec(readFileSync("/proc/self/status", "utf8"))?.[1] }))`

const loads = (path: string, kind: string): string => `
import json, resource, datasets
rows = datasets.load_dataset(${JSON.stringify(kind)}, data_files=${JSON.stringify(path)}, split="train", cache_dir=${
  JSON.stringify(join(folder, "arrow"))
})
print(json.dumps({"rows": len(rows), "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}))`

/** Rows a second and the peak in MiB, in a process of its own. */
const timed = (command: string, args: ReadonlyArray<string>): string => {
  const began = performance.now()
  const { status, stderr, stdout } = spawnSync(command, args, {
    encoding: "utf8",
    env: { ...process.env, HF_DATASETS_OFFLINE: "1" }
  })
  const seconds = (performance.now() - began) / 1000
  if (status !== 0) return `failed: ${stderr.trim().split("\n").at(-1)}`
  const { peak, rows } = JSON.parse(stdout.trim().split("\n").at(-1)!) as {
    readonly rows: number
    readonly peak?: string
  }
  return `${Math.round(rows / seconds).toLocaleString("en").padStart(9)} rows/s  ${
    peak === undefined ? "?" : Math.round(Number(peak) / 1024).toLocaleString("en").padStart(6)
  } MiB`
}

const packed = async (path: string, end: string, pack: () => NodeJS.ReadWriteStream) => {
  await pipeline(createReadStream(path), pack(), createWriteStream(`${path}${end}`))
  return `${path}${end}`
}

try {
  const python = spawnSync(interpreter, ["-I", "-c", "import datasets; print(datasets.__version__)"], {
    encoding: "utf8"
  })
  console.log(
    python.status === 0
      ? `datasets ${python.stdout.trim()}`
      : "datasets is not installed for this Python: pip install datasets, or KEEL_PYTHON, shows it beside Keel"
  )
  const jsonl = await written("rows.jsonl", (text) => `{"text":"${text}"}\n`)
  const parquet = join(folder, "rows.parquet")
  writeFileSync(parquet, "")
  const { fileWriter } = await import("hyparquet-writer/src/node.js" as string) as {
    readonly fileWriter: (path: string) => never
  }
  await parquetWriteRows({
    writer: fileWriter(parquet),
    rows: (function*() {
      for (let i = 0; i < rows; i++) yield { text: textOf(i) }
    })(),
    columns: [{ name: "text", type: "STRING" }],
    rowGroupSize: 20_000
  })
  const files: ReadonlyArray<readonly [path: string, kind: string]> = [
    [jsonl, "json"],
    [await packed(jsonl, ".gz", () => createGzip({ level: 1 })), "json"],
    [await packed(jsonl, ".zst", () => createZstdCompress()), "json"],
    [await written("rows.json", (text, i) => `${i === 0 ? "" : ",\n"}{"text":"${text}"}`, "[", "]"), "json"],
    [await written("rows.csv", (text) => `"${text}"\n`, "text\n"), "csv"],
    [parquet, "parquet"]
  ]
  for (const [path, kind] of files) {
    const keel = timed(process.execPath, [
      "--no-warnings",
      "--max-semi-space-size=4",
      "--input-type=module",
      "-e",
      reads(path)
    ])
    const beside = python.status === 0 ? `  datasets ${timed(interpreter, ["-I", "-c", loads(path, kind)])}` : ""
    const size = Math.round(statSync(path).size / 1e6).toLocaleString("en")
    console.log(`${path.slice(folder.length + 1).padEnd(14)} ${size.padStart(6)} MB  keel ${keel}${beside}`)
    execFileSync("rm", ["-rf", join(folder, "arrow")])
  }
} finally {
  rmSync(folder, { recursive: true, force: true })
}
