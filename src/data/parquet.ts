/** Records of Parquet, decoded in a worker that is killed when it does not come to an end. */
import { open } from "node:fs/promises"
import { extname } from "node:path"
import { Worker } from "node:worker_threads"
import { isPointer, MiB, notFetched } from "../model/regularFile.ts"
import { BadData } from "./badData.ts"
import type { Batch, Unread } from "./parquetRows.ts"
import type { Found, Records } from "./record.ts"

/** An answer of the worker: rows, the end, or the fields of a `BadData`. */
export type Said = Batch | { readonly end: true } | { readonly bad: Pick<Unread, "line" | "problem" | "remedy"> }

/** Milliseconds for a batch of a file of `size` bytes: sound data takes a tenth of it. */
const patience = (size: number): number => 5_000 + 1000 * size / MiB

/** Most of the heap that a batch may take. */
const heap = 4096

const endless = {
  line: 0,
  problem: "its Parquet data keeps the decoder busy without an end: it is damaged",
  remedy: "Fetch or write the file again."
}
const large = {
  line: 0,
  problem: `a row group of it takes more than ${heap} MiB in memory`,
  remedy: "Write the file with smaller row groups, e.g. to_parquet(…, row_group_size=10000) of pandas."
}

/** The next batch. Time passes while a process is stopped, or waits for a processor: that is not the decoder's fault. */
const next = (worker: Worker, milliseconds: number): Promise<Said> =>
  new Promise((resolve, reject) => {
    let [began, timer] = [process.cpuUsage(), undefined as NodeJS.Timeout | undefined]
    const ended = () => {
      clearTimeout(timer)
      worker.off("message", heard).off("error", failed)
    }
    const heard = (said: Said) => {
      ended()
      resolve(said)
    }
    const failed = (error: Error & { readonly code?: string }) => {
      ended()
      if (error.code === "ERR_WORKER_OUT_OF_MEMORY") resolve({ bad: large })
      else reject(error)
    }
    const wait = () => {
      timer = setTimeout(() => {
        const { system, user } = process.cpuUsage(began)
        if (system + user > 1000 * milliseconds / 4) return heard({ bad: endless })
        began = process.cpuUsage()
        wait()
      }, milliseconds)
    }
    worker.on("message", heard).on("error", failed)
    wait()
    worker.postMessage("next")
  })

/** The size of a file, and whether Git LFS keeps it elsewhere. */
const looked = async (path: string) => {
  const handle = await open(path)
  try {
    const bytes = new Uint8Array(64)
    await handle.read(bytes, 0, bytes.length, 0)
    return { pointer: isPointer(bytes), size: (await handle.stat()).size }
  } finally {
    await handle.close()
  }
}

export async function* recordsOf(path: string): Records {
  const { pointer, size } = await looked(path)
  if (pointer) throw new BadData({ path, line: 0, ...notFetched })
  const worker = new Worker(new URL(`./parquetWorker${extname(import.meta.url)}`, import.meta.url), {
    workerData: path,
    execArgv: [],
    resourceLimits: { maxOldGenerationSizeMb: heap }
  })
  try {
    for (;;) {
      const said = await next(worker, patience(size))
      if ("bad" in said) throw new BadData({ path, ...said.bad })
      if ("end" in said) return
      const { bytes, line, rows } = said
      yield rows.map((row, i): Found => ({ line: line + i, bytes, value: () => row }))
    }
  } finally {
    await worker.terminate()
  }
}
