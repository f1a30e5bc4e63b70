import { parentPort, workerData } from "node:worker_threads"
import { control, instantiate, maxArguments, spins } from "./control.ts"
import type { WorkerStart } from "./control.ts"

const { controlPointer, memory, module, names, stackTop, thread, threads } = workerData as WorkerStart
const exports = instantiate(module, memory, stackTop)
const kernels = names.map((name) => exports[name]!)
const words = new Int32Array(memory.buffer, controlPointer, control.words)
const values = new Float64Array(memory.buffer, controlPointer + 4 * control.words, maxArguments)

/** Waits for the epoch to change: awake for a moment, then asleep, so that an idle pool costs nothing. */
const nextEpoch = (epoch: number): number => {
  for (let i = 0; i < spins; i++) {
    const now = Atomics.load(words, control.epoch)
    if (now !== epoch) return now
  }
  Atomics.add(words, control.asleep, 1)
  while (Atomics.load(words, control.epoch) === epoch) Atomics.wait(words, control.epoch, epoch)
  Atomics.sub(words, control.asleep, 1)
  return Atomics.load(words, control.epoch)
}

parentPort!.postMessage("ready")
for (let epoch = nextEpoch(0); Atomics.load(words, control.stop) === 0; epoch = nextEpoch(epoch)) {
  try {
    const scratch = words[control.scratch]! + thread * words[control.scratchStride]!
    kernels[words[control.kernel]!]!(thread, threads, scratch, ...values.subarray(0, words[control.arguments]!))
  } catch {
    Atomics.store(words, control.failed, 1)
  }
  if (Atomics.sub(words, control.pending, 1) === 1) Atomics.notify(words, control.pending)
}
