/**
 * What a process takes beside its backend's bytes. A plan counts the backend's bytes exactly (`StagePlan.bytes`); a cap on memory means
 * them alone. The process holds besides:
 *
 * - The runtime: Node with the libraries of the system, 60 MiB; the code of Keel and of what it imports, outside of its heap 35 MiB, on
 *   it 40 MiB; for each thread of the WASM backend (the cores, at most 4) an isolate of its own, 20 MiB. Measured on Linux with Node 24;
 *   libtorch and TensorFlow bring libraries of their own, which are not counted.
 * - Models of JavaScript (`StagePlan.host`): those that were read or made before, and at a checkpoint weights and moments twice, as arrays
 *   and as the bytes of their files.
 * - Rows (`StagePlan.host`): those that were read or made before, as texts and tokens, four times. The plan that a run begins with reads
 *   them too, and V8 collects when its heap has doubled.
 */
import { availableParallelism } from "node:os"
import { heldInAll } from "../data/growing.ts"
import { type AnyRow, lengthIn } from "../data/rows.ts"

const MiB = 2 ** 20

/** Bytes of a process before it opens a model. */
export const runtimeBytes = (backend: string): number =>
  135 * MiB + (backend === "wasm" ? Math.min(availableParallelism(), 4) * 20 * MiB : 0)

/** Rows whose lengths stand for all. */
const looked = 64
/** Objects of a row: its texts, its tokens' arrays with their buffers. */
const objectBytes = 512
/** Of a character: a byte, and its share of a token's 4 bytes and of the lists that it was encoded in. */
const characterBytes = 3

/** Of a row on disk: where it begins, as text and as tokens, and its place in the order of an epoch. */
const indexBytes = 32

/** Bytes that rows take; most of large data is on disk (`data/growing.ts`). */
export const rowBytes = (rows: ReadonlyArray<AnyRow>): number => {
  const some = Array.from({ length: Math.min(rows.length, looked) }, (_, i) => lengthIn(rows[i]!))
  const characters = some.reduce((sum, length) => sum + length, 0) / Math.max(1, some.length)
  return Math.min(
    4 * rows.length * Math.round(objectBytes + characterBytes * characters),
    heldInAll + indexBytes * rows.length
  )
}

/** Bytes of a process at the peak of a stage. `onDevice`: the backend's bytes are in the memory of a GPU. */
export const processBytes = (
  { bytes, host }: { readonly bytes: number; readonly host: number },
  runtime: number,
  onDevice = false
): number => runtime + host + (onDevice ? 0 : bytes)
