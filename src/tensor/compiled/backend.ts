import type { Backend, Precision } from "../backend.ts"
import { attention } from "./attention.ts"
import { elementwise } from "./elementwise.ts"
import { embedding } from "./embedding.ts"
import { head } from "./head.ts"
import { linear, products } from "./linear.ts"
import type { Machine } from "./machine.ts"
import { makeMemory } from "./memory.ts"
import { norm } from "./norm.ts"

/** The backend of a machine: shapes are checked, buffers become addresses, and the C kernels do the rest. */
export const makeBackend = (machine: Machine): Backend => {
  const memory = makeMemory(machine)
  const calls = { ...memory, machine, run: machine.run }
  const precisions: ReadonlyArray<Precision> = machine.bf16 ? ["f32", "bf16"] : ["f32"]
  const shared = {
    name: machine.name,
    realBytes: 4,
    addressable: machine.addressable,
    precisions,
    at: (precision: Precision): Backend =>
      backends.get(precision) ??
        memory.check.fail("at", `no precision ${precision} on this processor, only ${precisions.join()}`),
    ...memory.ofBackend,
    dispose: machine.stop,
    ...elementwise(calls),
    ...embedding(calls),
    ...norm(calls),
    ...attention(calls)
  }
  const backends = new Map(precisions.map((precision) => {
    const multiply = products(calls, precision)
    const backend: Backend = { ...shared, ...linear(calls, multiply), ...head(calls, multiply) }
    return [precision, backend] as const
  }))
  return backends.get("f32")!
}
