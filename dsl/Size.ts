/** A number of bytes for people. */
const units = ["KiB", "MiB", "GiB", "TiB"] as const

/**
 * Bytes in the largest binary unit of which there is one, to a tenth of it; in whole bytes below 1 KiB.
 *
 * ```ts
 * import { size } from "../dsl/Size.ts"
 * size(1536) // => "1.5 KiB"
 * size(40 * 2 ** 30) // => "40.0 GiB"
 * ```
 */
export const size = (bytes: number): string => {
  if (bytes < 1024) return `${bytes} B`
  let [n, unit] = [bytes / 1024, 0]
  // 1023.96 KiB would be written as 1024.0.
  for (; Number(n.toFixed(1)) >= 1024 && unit < units.length - 1; unit++) n /= 1024
  return `${n.toFixed(1)} ${units[unit]}`
}
