import { type Handle, operator } from "./abi.ts"
import type { Aten } from "./aten.ts"
import type { TorchDevice } from "./device.ts"

/** Queries, keys and values as [batch, heads, tokens, headDim] views of any strides but the last, which is 1. */
export interface AttentionProblem {
  readonly query: Handle
  readonly key: Handle
  readonly value: Handle
  /** Of the queries. */
  readonly sizes: readonly [batch: number, heads: number, tokens: number, headDim: number]
  readonly keys: number
  /** Added to the scores [tokens, keys]; null for plain causal attention, where there are as many keys as queries. */
  readonly mask: Handle | null
  readonly scale: number
  /** Scores become cap · tanh(score / cap); 0 leaves them. Capped problems have a mask. */
  readonly cap: number
}

/** Scaled dot-product attention, fused: out [batch, heads, tokens, headDim] and lse [batch, heads, tokens]. */
export interface Sdpa {
  readonly forward: (of: AttentionProblem) => { readonly out: Handle; readonly lse: Handle }
  readonly backward: (
    of: AttentionProblem,
    dOut: Handle,
    out: Handle,
    lse: Handle
  ) => { readonly dQuery: Handle; readonly dKey: Handle; readonly dValue: Handle }
}

const pointer = "uint64_t"
const name = "aoti_torch_cpu__scaled_dot_product_flash_attention_for_cpu"
const inputs = `${pointer} query, ${pointer} key, ${pointer} value`
const options = `double dropout, int causal, ${pointer} mask, ${pointer} scale`

/** Flash attention on the processor. */
const onCpu = ({ abi, keep }: Aten): Sdpa => {
  const forward = abi.need(`int ${name}(${inputs}, ${options}, ${pointer} out, ${pointer} lse)`)
  const backward = abi.need(
    `int ${name}_backward(${pointer} dOut, ${inputs}, ${pointer} out, ${pointer} lse, ${options}, ${pointer} dQuery, ${pointer} dKey, ${pointer} dValue)`
  )
  const { addressOf, places } = abi
  const [first, second, third] = [addressOf(0), addressOf(1), addressOf(2)]
  const [mask, scale] = [addressOf(3), addressOf(4)]
  /** Puts the optional arguments where their address is known; returns the address of the mask, or 0. */
  const optional = (of: AttentionProblem): Handle => {
    places.real(4, of.scale)
    if (of.mask === null) return 0
    places.handle(3, of.mask)
    return mask
  }
  return {
    forward: (of) => {
      const at = optional(of)
      abi.check(
        forward(of.query, of.key, of.value, 0, at === 0 ? 1 : 0, at, scale, first, second) as number,
        "attention"
      )
      return { out: keep(places.at(0)), lse: keep(places.at(1)) }
    },
    backward: (of, dOut, out, lse) => {
      const at = optional(of)
      const { key, query, value } = of
      abi.check(
        backward(dOut, query, key, value, out, lse, 0, at === 0 ? 1 : 0, at, scale, first, second, third) as number,
        "attention backward"
      )
      return { dQuery: keep(places.at(0)), dKey: keep(places.at(1)), dValue: keep(places.at(2)) }
    }
  }
}

const efficientForward = operator(
  "aten::_efficient_attention_forward",
  "tensor tensor tensor tensor? tensor? tensor? int? int? real int int real? tensor? int?"
)
const efficientGradient = operator(
  "aten::_efficient_attention_backward",
  "tensor tensor tensor tensor tensor? tensor tensor? tensor? int int tensor real tensor tensor int int real? int? int? int"
)

/** The kernels keep the log-sum-exp of every head in rows of a multiple of this. */
const lseAlignment = 32

/**
 * On a GPU, where the fused kernel that takes float32 wants [batch, tokens, heads, headDim]: memory-efficient attention, causal where
 * there is no bias.
 */
const onCuda = (aten: Aten): Sdpa => {
  const { abi: { dispatch, dtypes, places }, as, copy, keep, room, transposed } = aten
  const turned = ({ key, query, value }: AttentionProblem) =>
    [query, key, value].map(transposed) as [Handle, Handle, Handle]
  const biasOf = ({ keys, mask, sizes: [batch, heads, tokens] }: AttentionProblem): Handle | null => {
    if (mask === null) return null
    // Rows that begin at multiples of 16 numbers, whatever the number of keys.
    const width = Math.ceil(keys / 16) * 16
    const aligned = room([tokens, width])
    copy(as(aligned, [tokens, keys], [width, 1]), mask)
    return as(aligned, [batch, heads, tokens, keys], [0, 0, width, 1])
  }
  const results = (): ReadonlyArray<Handle> => [0, 1, 2, 3].map((i) => keep(places.at(i)))
  return {
    forward: (of) => {
      const [batch, heads, tokens] = of.sizes
      const factors = turned(of)
      const bias = biasOf(of)
      const causal = bias === null ? 1 : 0
      dispatch(efficientForward, ...factors, bias, null, null, null, null, 0, causal, 1, of.scale, null, null)
      const [out, lse] = results()
      const padded = Math.ceil(tokens / lseAlignment) * lseAlignment
      return { out: transposed(out!), lse: as(lse!, [batch, heads, tokens], [heads * padded, padded, 1]) }
    },
    backward: (of, dOut, out, lse) => {
      const [batch, heads, tokens] = of.sizes
      const padded = Math.ceil(tokens / lseAlignment) * lseAlignment
      const sums = room([batch, heads, padded])
      aten.zero(sums)
      copy(as(sums, [batch, heads, tokens], [heads * padded, padded, 1]), lse)
      const factors = turned(of)
      const bias = biasOf(of)
      const causal = bias === null ? 1 : 0
      const [gradient, result, seed] = [transposed(dOut), transposed(out), room([], dtypes.i64)]
      const inputs = [gradient, ...factors, bias, result, null, null, tokens, of.keys, sums, 0, seed, seed]
      // One split of the keys: one order of summation, so that results are the same every time.
      const splits = 1
      dispatch(efficientGradient, ...inputs, causal, 0, of.scale, splits, null, 0)
      const [dQuery, dKey, dValue] = results().slice(0, 3).map(transposed) as [Handle, Handle, Handle]
      return { dQuery, dKey, dValue }
    }
  }
}

/** Capped scores, which no fused kernel takes: the scores of a call are in memory. */
const capped = (
  { add, addcmul, as, copy, exp, logSumExp, matmul, mul, oneLessSquare, room, softcap, softmax, sum, turned, constant }:
    Aten
): Sdpa => {
  const scoresOf = ({ cap, key, query, scale }: AttentionProblem): Handle => {
    const scores = matmul(query, turned(key))
    mul(scores, scores, constant(scale))
    softcap(scores, cap)
    return scores
  }
  return {
    forward: (of) => {
      const scores = scoresOf(of)
      add(scores, of.mask!)
      const lse = logSumExp(scores)
      softmax(scores, scores)
      return { out: matmul(scores, of.value), lse }
    },
    // With P the probabilities: dS = P ∘ (dOut Vᵀ − rowsum(dOut ∘ out)) ∘ (1 − (S / cap)²).
    backward: (of, dOut, out, lse) => {
      const { cap, key, keys, mask, query, scale, sizes: [batch, heads, tokens], value } = of
      const slope = scoresOf(of)
      const p = room([batch, heads, tokens, keys])
      copy(p, slope)
      oneLessSquare(slope, cap)
      add(p, mask!)
      const sums = room([batch, heads, tokens])
      copy(sums, lse)
      const one = constant(1)
      addcmul(p, as(sums, [batch, heads, tokens, 1]), one, -1)
      exp(p, p)
      const projected = room([...of.sizes])
      mul(projected, dOut, out)
      const dScores = matmul(dOut, turned(value))
      addcmul(dScores, sum(projected), one, -1)
      mul(dScores, dScores, p)
      mul(dScores, dScores, slope)
      mul(dScores, dScores, constant(scale))
      return {
        dQuery: matmul(dScores, key),
        dKey: matmul(turned(dScores), query),
        dValue: matmul(turned(p), dOut)
      }
    }
  }
}

export const sdpaOf = (aten: Aten, { kind }: TorchDevice): Sdpa => {
  const plain = kind === "cpu" ? onCpu(aten) : onCuda(aten)
  const other = capped(aten)
  return {
    forward: (of) => (of.cap > 0 ? other : plain).forward(of),
    backward: (of, ...results) => (of.cap > 0 ? other : plain).backward(of, ...results)
  }
}
