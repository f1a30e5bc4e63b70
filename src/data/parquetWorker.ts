/** The other end of `parquet.ts`: a batch of rows for each message. */
import { parentPort, workerData } from "node:worker_threads"
import type { Said } from "./parquet.ts"
import { batchesOf, Unread } from "./parquetRows.ts"

const batches = batchesOf(workerData as string)

parentPort!.on("message", async () => {
  try {
    const { done, value } = await batches.next()
    parentPort!.postMessage((done === true ? { end: true } : value) satisfies Said)
  } catch (error) {
    if (!(error instanceof Unread)) throw error
    const { line, problem, remedy } = error
    parentPort!.postMessage({ bad: { line, problem, remedy } } satisfies Said)
  }
})
