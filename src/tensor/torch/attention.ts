import type { AttentionShape, Backend, Ints } from "../backend.ts"
import type { Handle } from "./abi.ts"
import type { Aten } from "./aten.ts"
import type { Memory, Real } from "./memory.ts"
import type { AttentionProblem, Sdpa } from "./sdpa.ts"

/** Queries that are computed with the keys in their windows at a time; more when the window is longer. */
const windowBlock = 64

/** Consecutive sequences of equal length. */
interface Run {
  readonly first: number
  readonly length: number
  readonly count: number
}

/** Rows of queries [from, to) of each sequence of a run, and the keys [keysFrom, to) that they see. */
interface Block {
  readonly from: number
  readonly to: number
  readonly keysFrom: number
}

/**
 * Attention of packed sequences, without padding: consecutive sequences of equal length share a call, any other sequence has its own.
 * Query heads that share a key head are the batch of a call (for a lone sequence), or separate calls.
 */
export const attention = (
  aten: Aten,
  memory: Memory,
  sdpa: Sdpa
): Pick<Backend, "attention" | "attentionBackward"> => {
  const { add, copy, run } = aten
  const { check, output, real, upload, values, view } = memory

  const runsOf = (kernel: string, starts: Ints, rows: number): ReadonlyArray<Run> => {
    const at = values(memory.int(kernel, "starts", starts, rows + 1))
    check.starts(kernel, at, rows)
    const runs: Array<{ first: number; length: number; count: number }> = []
    for (let b = 0; b + 1 < at.length; b++) {
      const length = at[b + 1]! - at[b]!
      if (length === 0) continue
      const last = runs.at(-1)
      if (last !== undefined && last.length === length) last.count++
      else runs.push({ first: at[b]!, length, count: 1 })
    }
    return runs
  }

  const blocksOf = (length: number, window: number): ReadonlyArray<Block> => {
    if (window === 0 || window >= length) return [{ from: 0, to: length, keysFrom: 0 }]
    const size = Math.max(windowBlock, window)
    return Array.from({ length: Math.ceil(length / size) }, (_, i) => ({
      from: i * size,
      to: Math.min(length, (i + 1) * size),
      keysFrom: Math.max(0, i * size - window + 1)
    }))
  }

  const masks = memory.keptBy<string>(64)
  /** 0 where a query of the block sees a key, −∞ where not; null where plain causality says the same. */
  const maskOf = ({ from, keysFrom, to }: Block, { cap, window: given }: AttentionShape): Handle | null => {
    if (cap === 0 && keysFrom === 0 && from === 0 && (given === 0 || given >= to)) return null
    const window = given === 0 ? to : given
    const [queries, keys, before] = [to - from, to - keysFrom, from - keysFrom]
    return masks([queries, keys, before, window].join(), () => {
      const mask = new Float32Array(queries * keys).fill(-Infinity)
      for (let q = 0; q < queries; q++) {
        mask.fill(0, q * keys + Math.max(0, before + q - window + 1), q * keys + before + q + 1)
      }
      return upload(mask, [queries, keys])
    })
  }

  /** Calls `each` with the arguments of each call of `sdpa`. */
  const inCalls = (
    qkv: Real,
    width: number,
    shape: AttentionShape,
    runs: ReadonlyArray<Run>,
    each: (call: {
      readonly problem: AttentionProblem
      /** The queries' places in an output or its gradient. */
      readonly outOf: (of: Real) => Handle
      /** Their log-sum-exps. */
      readonly sumsOf: (of: Real) => Handle
      readonly gradientOf: (of: Real, part: "query" | "key" | "value") => Handle
      /** Members of the batch that share keys, whose gradients are then [kvHeads, keys, headDim]; 0 when none do. */
      readonly sharing: number
      /** Whether this is the first gradient of these keys. */
      readonly fresh: boolean
    }) => void
  ): void => {
    const { cap, headDim, heads, kvHeads, scale, window } = shape
    const ratio = heads / kvHeads
    for (const { count, first, length } of runs) {
      const together = count === 1
      for (const block of blocksOf(length, window)) {
        const mask = maskOf(block, shape)
        const [tokens, keys] = [block.to - block.from, block.to - block.keysFrom]
        for (let r = 0; r < (together ? 1 : ratio); r++) {
          const batch = together ? ratio : count
          // The stride of the batch: a sequence, or a query head of the group.
          const queries = (of: Real, row: number): Handle =>
            view(
              of,
              [batch, kvHeads, tokens, headDim],
              [together ? headDim : length * row, ratio * headDim, row, 1],
              (first + block.from) * row + r * headDim
            )
          const keysOf = (of: Real, offset: number): Handle =>
            view(
              of,
              [batch, kvHeads, keys, headDim],
              [together ? 0 : length * width, headDim, width, 1],
              (first + block.keysFrom) * width + offset
            )
          const [keyAt, valueAt] = [heads * headDim, (heads + kvHeads) * headDim]
          each({
            problem: {
              query: queries(qkv, width),
              key: keysOf(qkv, keyAt),
              value: keysOf(qkv, valueAt),
              sizes: [batch, kvHeads, tokens, headDim],
              keys,
              mask,
              scale,
              cap
            },
            outOf: (of) => queries(of, heads * headDim),
            sumsOf: (of) =>
              view(
                of,
                [batch, kvHeads, tokens],
                [together ? 1 : length * heads, ratio, heads],
                (first + block.from) * heads + r
              ),
            gradientOf: (of, part) => {
              if (part === "query") return queries(of, width)
              const at = part === "key" ? keyAt : valueAt
              if (!together) return keysOf(of, at)
              return view(of, [kvHeads, keys, headDim], [headDim, width, 1], (first + block.keysFrom) * width + at)
            },
            sharing: together ? ratio : 0,
            fresh: r === 0 && window === 0
          })
        }
      }
    }
  }

  return {
    attention: (out, lse, qkv, starts, shape) => {
      const kernel = "attention"
      const sizes = check.attention(kernel, qkv, shape)
      const from = real(kernel, "qkv", qkv)
      const to = output(kernel, "out", out, sizes.out)
      const sums = output(kernel, "lse", lse, sizes.lse)
      const runs = runsOf(kernel, starts, sizes.rows)
      run(
        kernel,
        [sizes.rows, shape.heads, shape.kvHeads, shape.headDim],
        () =>
          inCalls(from, sizes.width, shape, runs, ({ outOf, problem, sumsOf }) => {
            const made = sdpa.forward(problem)
            copy(outOf(to), made.out)
            copy(sumsOf(sums), made.lse)
          })
      )
    },
    attentionBackward: (dQkv, dOut, qkv, out, lse, starts, shape) => {
      const kernel = "attentionBackward"
      const sizes = check.attention(kernel, qkv, shape)
      const from = real(kernel, "qkv", qkv)
      const gradient = real(kernel, "dOut", dOut, sizes.out)
      const result = real(kernel, "out", out, sizes.out)
      const sums = real(kernel, "lse", lse, sizes.lse)
      const to = output(kernel, "dQkv", dQkv, sizes.qkv)
      const runs = runsOf(kernel, starts, sizes.rows)
      run(kernel, [sizes.rows, shape.heads, shape.kvHeads, shape.headDim], () => {
        // Blocks of a window share keys, whose gradients add up.
        if (shape.window > 0) aten.zero(view(to, [to.length]))
        inCalls(from, sizes.width, shape, runs, ({ fresh, gradientOf, outOf, problem, sharing, sumsOf }) => {
          const made = sdpa.backward(problem, outOf(gradient), outOf(result), sumsOf(sums))
          copy(gradientOf(to, "query"), made.dQuery)
          for (const [part, of] of [["key", made.dKey], ["value", made.dValue]] as const) {
            const into = gradientOf(to, part)
            const terms = sharing === 0 ? [of] : Array.from({ length: sharing }, (_, i) => aten.pick(of, i))
            terms.forEach((term, i) => fresh && i === 0 ? copy(into, term) : add(into, term))
          }
        })
      })
    }
  }
}
