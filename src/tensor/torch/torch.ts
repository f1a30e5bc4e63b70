import type { Backend, Packing, Precision } from "../backend.ts"
import { openAbi } from "./abi.ts"
import { makeAten } from "./aten.ts"
import { attention } from "./attention.ts"
import { decode } from "./decode.ts"
import { deviceOf } from "./device.ts"
import { elementwise } from "./elementwise.ts"
import { embedding } from "./embedding.ts"
import { gelu } from "./gelu.ts"
import { head } from "./head.ts"
import { linear } from "./linear.ts"
import { libraryFolder } from "./locate.ts"
import { makeMemory } from "./memory.ts"
import { norm } from "./norm.ts"
import { productsOf } from "./products.ts"
import { rope } from "./rope.ts"
import { sample } from "./sample.ts"
import { sdpaOf } from "./sdpa.ts"

export interface TorchOptions {
  /** `cpu`, `cuda` or `cuda:N`; default: the processor. */
  readonly device?: string
  /** Threads of the processor, for all of libtorch in this process; default: libtorch's choice. */
  readonly threads?: number
}

/**
 * libtorch, from 2.10 on, called through its stable C ABI: no Python process, no compiler. Throws `NoTorch` without
 * libtorch or without the device. libtorch owns the memory, and keeps the memory of freed results for later results.
 */
export const torch = async ({ device: name = "cpu", threads }: TorchOptions = {}): Promise<Backend> => {
  if (threads !== undefined && (!Number.isInteger(threads) || threads < 1)) throw new Error(`torch: ${threads} threads`)
  const abi = await openAbi(await libraryFolder(), threads)
  const device = deviceOf(abi, name)
  const memory = makeMemory(abi, device)
  const aten = makeAten(abi, memory)
  const precisions: ReadonlyArray<Precision> = ["f32", "bf16"]
  const shared = {
    name: "torch",
    realBytes: 4,
    addressable: Infinity,
    precisions,
    at: (precision: Precision): Backend =>
      backends.get(precision) ?? memory.check.fail("at", `no precision ${precision}, only ${precisions.join()}`),
    ...memory.ofBackend,
    dispose: () => {
      aten.dispose()
      memory.dispose()
    },
    ...elementwise(aten, memory),
    ...embedding(aten, memory),
    ...norm(aten, memory),
    ...gelu(aten, memory),
    ...rope(aten, memory),
    ...attention(aten, memory, sdpaOf(aten, device)),
    ...decode(aten, memory),
    ...sample(aten, memory)
  }
  const products = { f32: productsOf(aten, device.kind, "f32"), bf16: productsOf(aten, device.kind, "bf16") }
  const packing: Packing = (precision, inputs, outputs) => products[precision].packedBytes / 4 * inputs * outputs
  const backends = new Map(precisions.map((precision) => {
    const own = products[precision]
    const backend: Backend = { ...shared, packing, ...linear(aten, memory, own), ...head(aten, memory, own) }
    return [precision, backend] as const
  }))
  return backends.get("f32")!
}
