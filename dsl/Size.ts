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
export const size = (bytes: number): string => digits(bytes, 1)

/** Two sizes, with as many digits as tell them apart. */
export const sizes = (a: number, b: number, count = 1): readonly [string, string] => {
  const both = [digits(a, count), digits(b, count)] as const
  return a === b || both[0] !== both[1] ? both : sizes(a, b, count + 1)
}

const digits = (bytes: number, count: number): string => {
  if (bytes < 1024) return `${bytes} B`
  let [n, unit] = [bytes / 1024, 0]
  // 1023.96 KiB would be written as 1024.0.
  for (; Number(n.toFixed(1)) >= 1024 && unit < units.length - 1; unit++) n /= 1024
  return `${n.toFixed(count)} ${units[unit]}`
}
