import type { Abi } from "./abi.ts"
import { NoTorch } from "./locate.ts"

/** Where tensors are: the host's processor, or an NVIDIA GPU. */
export interface TorchDevice {
  /** `cpu`, `cuda:0`, … */
  readonly name: string
  readonly kind: "cpu" | "cuda"
  /** As libtorch numbers kinds. */
  readonly type: number
  readonly index: number
}

/** `cpu`, `cuda` (the first GPU) or `cuda:N`. */
export const deviceOf = (abi: Abi, name: string): TorchDevice => {
  if (name === "cpu") return { name, kind: "cpu", type: abi.deviceType("cpu"), index: 0 }
  const index = /^cuda(?::(\d+))?$/u.exec(name)
  if (index === null) throw new NoTorch(`there is no device ${name}: it is cpu, cuda or cuda:N`)
  if (abi.cuda !== null) throw new NoTorch(`no device ${name}: ${abi.cuda}`)
  const device: TorchDevice = {
    name: `cuda:${index[1] ?? 0}`,
    kind: "cuda",
    type: abi.deviceType("cuda"),
    index: Number(index[1] ?? 0)
  }
  try {
    abi.drop(abi.empty([1], [1], abi.dtypes.f32, device.type, device.index))
  } catch (cause) {
    const why = cause instanceof Error ? cause.message.split("\n")[0]! : String(cause)
    throw new NoTorch(`no device ${name}: ${why}`, { cause })
  }
  return device
}
