import { stream } from "../sampling/random.ts"

/**
 * Passes over `count` units (completions, or groups of them). Each pass is a fresh shuffle cut into mini-batches of
 * equal size; the remainder is a smaller mini-batch. The answer depends on the arguments alone.
 */
export const miniBatches = (
  key: string,
  count: number,
  { miniBatches, passes }: { readonly miniBatches: number; readonly passes: number }
): ReadonlyArray<ReadonlyArray<number>> => {
  const size = Math.ceil(count / miniBatches)
  const units = Array.from({ length: count }, (_, i) => i)
  return Array.from({ length: passes }, (_, epoch) => stream(`${key}/epoch-${epoch}`).shuffle(units))
    .flatMap((order) =>
      Array.from({ length: Math.ceil(count / size) }, (_, i) => order.slice(i * size, (i + 1) * size))
    )
}

/** The mean of each metric over updates; a metric that an update lacks counts as 0 there, or with `lacking: "left out"` not. */
export const average = (
  all: ReadonlyArray<Readonly<Record<string, number>>>,
  { lacking = "0" }: { readonly lacking?: "0" | "left out" } = {}
): Record<string, number> => {
  const sums: Record<string, number> = {}
  for (const one of all) {
    for (const [name, value] of Object.entries(one)) {
      const count = lacking === "0" ? all.length : all.filter((other) => other[name] !== undefined).length
      sums[name] = (sums[name] ?? 0) + value / count
    }
  }
  return sums
}
