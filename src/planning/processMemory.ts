/**
 * What a process takes beside its backend's bytes. A plan counts the backend's bytes exactly (`StagePlan.bytes`); a cap on memory means
 * them alone. The process holds besides:
 *
 * - The runtime: Node, about 45 MiB; the code of Keel and of what it imports, 60 MiB; its heap, which grows before it is collected, 50 MiB;
 *   for each thread of the WASM backend (the cores, at most 4) an isolate of its own, 20 MiB. Measured on Linux with Node 24; libtorch and TensorFlow bring
 *   libraries of their own, which are not counted.
 * - Models of JavaScript (`StagePlan.host`): those that were read or made before, and at a checkpoint weights and moments twice, as arrays and
 *   as the bytes of their files.
 */
import { availableParallelism } from "node:os"
import type { StagePlan } from "./plan.ts"

const MiB = 2 ** 20

/** Bytes of a process before it opens a model. */
export const runtimeBytes = (backend: string): number =>
  155 * MiB + (backend === "wasm" ? Math.min(availableParallelism(), 4) * 20 * MiB : 0)

/** Bytes of a process at the peak of a stage. `onDevice`: the backend's bytes are in the memory of a GPU. */
export const processBytes = (
  { bytes, host }: Pick<StagePlan, "bytes" | "host">,
  runtime: number,
  onDevice = false
): number => runtime + host + (onDevice ? 0 : bytes)
