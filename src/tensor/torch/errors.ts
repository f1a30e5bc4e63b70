import { NoRoom } from "../compiled/machine.ts"
import { TorchFailed } from "./abi.ts"

const units = { B: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40 } as const

/** “Tried to allocate 20.00 MiB” → bytes. */
const bytesAfter = (text: string, before: RegExp): number | null => {
  const found = new RegExp(`${before.source} ([\\d.]+) (B|bytes|KiB|MiB|GiB|TiB)\\b`, "u").exec(text)
  if (found === null) return null
  return Math.round(Number(found[1]) * (found[2] === "bytes" ? 1 : units[found[2] as keyof typeof units]))
}

/**
 * The memory figures in a message of libtorch; null when the message has another subject: “CUDA out of memory. Tried to
 * allocate 2.00 GiB. GPU 0 has a total capacity of 79.11 GiB of which 1.12 GiB is free.”, or on the host “can't allocate memory: you
 * tried to allocate 64 bytes.”
 */
export const outOfMemory = (text: string): { readonly needed: number; readonly available: number | null } | null => {
  if (!/out of memory|can't allocate memory|not enough memory/u.test(text)) return null
  const needed = bytesAfter(text, /ried to allocate/u)
  return { needed: needed ?? 0, available: bytesAfter(text, /of which/u) }
}

/**
 * An error as it leaves the backend: with the kernel, the shapes it was given, and the memory that is missing. Before 2.13 libtorch does
 * not say why it refused; a request for only `asked` bytes fails for lack of them.
 */
export const explained = (
  error: unknown,
  kernel: string,
  shapes: string,
  free: () => number,
  asked?: number
): unknown => {
  if (!(error instanceof TorchFailed)) return error
  const memory = outOfMemory(error.message) ?? (asked === undefined ? null : { needed: asked, available: null })
  if (memory === null) {
    return new TorchFailed(error.operator, `torch.${kernel} [${shapes}]: ${error.operator}: ${error.message}`)
  }
  return new NoRoom(
    `torch.${kernel} [${shapes}]: the device has no room. Take recompute: true or smaller batches; the last checkpoint is kept.`,
    {
      cause: error,
      shortage: { phase: `torch.${kernel}`, needed: memory.needed, available: memory.available ?? free() }
    }
  )
}
