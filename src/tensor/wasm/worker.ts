import { parentPort, workerData } from "node:worker_threads"
import { control, controlViews, finish, instantiate, left, spins, take, type WorkerStart } from "./control.ts"

const { controlPointer, memory, module, names, stackTop, thread } = workerData as WorkerStart
const exports = instantiate(module, memory, stackTop)
const kernels = names.map((name) => exports[name]!)
const { values, words } = controlViews(memory, controlPointer)

/** Waits for a job with free parts: awake for a moment, then asleep, so that an idle pool takes no processor time. */
const nextTicket = (): number => {
  for (let i = 0; i < spins; i++) {
    const ticket = Atomics.load(words, control.ticket)
    if (left(ticket) > 0) return ticket
  }
  Atomics.add(words, control.asleep, 1)
  let ticket = Atomics.load(words, control.ticket)
  while (left(ticket) === 0) {
    Atomics.wait(words, control.ticket, ticket)
    ticket = Atomics.load(words, control.ticket)
  }
  Atomics.sub(words, control.asleep, 1)
  return ticket
}

parentPort!.postMessage("ready")
for (let ticket = nextTicket(); Atomics.load(words, control.stop) === 0; ticket = nextTicket()) {
  // The values read here belong to this job if the ticket is still free: the next job is described only when all parts of
  // this job are finished.
  const kernel = kernels[words[control.kernel]!]!
  const parts = words[control.parts]!
  const scratch = words[control.scratch]! + thread * words[control.scratchStride]!
  const args = values.slice(0, words[control.arguments]!)
  if (!take(words, ticket)) continue
  try {
    kernel(left(ticket) - 1, parts, scratch, ...args)
  } catch {
    Atomics.store(words, control.failed, 1)
  }
  finish(words)
}
