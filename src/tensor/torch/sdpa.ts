import { type Handle, operator } from "./abi.ts"
import type { Aten } from "./aten.ts"
import type { Device } from "./device.ts"

/** Queries, keys and values as [batch, heads, tokens, headDim] views of any strides but the last, which is 1. */
export interface Problem {
  readonly query: Handle
  readonly key: Handle
  readonly value: Handle
  /** Of the queries. */
  readonly sizes: readonly [batch: number, heads: number, tokens: number, headDim: number]
  readonly keys: number
  /** Added to the scores [tokens, keys]; null for plain causal attention, where there are as many keys as queries. */
  readonly mask: Handle | null
  readonly scale: number
}

/** Scaled dot-product attention, fused: out [batch, heads, tokens, headDim] and lse [batch, heads, tokens]. */
export interface Sdpa {
  readonly forward: (of: Problem) => { readonly out: Handle; readonly lse: Handle }
  readonly backward: (
    of: Problem,
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
  const { places } = abi
  const [first, second, third, mask, scale] = [0, 1, 2, 3, 4].map((i) => abi.addressOf(i)) as [
    number,
    number,
    number,
    number,
    number
  ]
  /** Puts the optional arguments where their address is known; returns the address of the mask, or 0. */
  const optional = (of: Problem): Handle => {
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

const efficientForward = operator("aten::_efficient_attention_forward")
const efficientGradient = operator("aten::_efficient_attention_backward")

/**
 * Memory-efficient attention of [batch, tokens, heads, headDim], causal where there is no bias. With one split of the keys its backward
 * pass adds up in one order, so that results are the same every time.
 */
const efficientOf = ({ abi: { dtypes }, keep, room, stack }: Aten) => {
  const optionalTensor = (of: Handle | null): void => {
    if (of === null) return stack.none()
    stack.tensor(of)
    stack.optional()
  }
  /** Its result, and the log-sum-exp [batch, heads, tokens rounded up]. */
  const efficient = ([query, key, value]: readonly [Handle, Handle, Handle], bias: Handle | null, scale: number) => {
    for (const factor of [query, key, value]) stack.tensor(factor)
    optionalTensor(bias)
    for (let i = 0; i < 4; i++) stack.none()
    stack.real(0)
    stack.int(bias === null ? 1 : 0)
    stack.int(1)
    stack.real(scale)
    stack.optional()
    stack.none()
    stack.none()
    stack.call(efficientForward)
    const [out, lse] = [keep(stack.result(0)), keep(stack.result(1))]
    keep(stack.result(2))
    keep(stack.result(3))
    return { out, lse }
  }
  const efficientBackward = (
    [query, key, value]: readonly [Handle, Handle, Handle],
    of: {
      readonly bias: Handle | null
      readonly dOut: Handle
      readonly out: Handle
      readonly lse: Handle
      readonly tokens: number
      readonly keys: number
    },
    scale: number
  ): ReadonlyArray<Handle> => {
    const seed = room([], dtypes.i64)
    for (const one of [of.dOut, query, key, value]) stack.tensor(one)
    optionalTensor(of.bias)
    stack.tensor(of.out)
    stack.none()
    stack.none()
    stack.int(of.tokens)
    stack.int(of.keys)
    stack.tensor(of.lse)
    stack.real(0)
    stack.tensor(seed)
    stack.tensor(seed)
    stack.int(of.bias === null ? 1 : 0)
    stack.int(0)
    stack.real(scale)
    stack.optional()
    // One split of the keys: one order of summation.
    stack.int(1)
    stack.optional()
    stack.none()
    stack.int(0)
    stack.call(efficientGradient)
    return [0, 1, 2, 3].map((i) => keep(stack.result(i))).slice(0, 3)
  }
  return { efficient, efficientBackward }
}

/** The kernels keep the log-sum-exp of every head in rows of a multiple of this. */
const lseAlignment = 32

/** On a GPU, where the fused kernel that takes float32 wants [batch, tokens, heads, headDim]. */
const onCuda = (aten: Aten): Sdpa => {
  const { as, copy, room, transposed } = aten
  const { efficient, efficientBackward } = efficientOf(aten)
  const turned = ({ key, query, value }: Problem) => [query, key, value].map(transposed) as [Handle, Handle, Handle]
  const biasOf = ({ keys, mask, sizes: [batch, heads, tokens] }: Problem): Handle | null => {
    if (mask === null) return null
    // Rows that begin at multiples of 16 numbers, whatever the number of keys.
    const width = Math.ceil(keys / 16) * 16
    const aligned = room([tokens, width])
    copy(as(aligned, [tokens, keys], [width, 1]), mask)
    return as(aligned, [batch, heads, tokens, keys], [0, 0, width, 1])
  }
  return {
    forward: (of) => {
      const [batch, heads, tokens] = of.sizes
      const { lse, out } = efficient(turned(of), biasOf(of), of.scale)
      const padded = Math.ceil(tokens / lseAlignment) * lseAlignment
      return { out: transposed(out), lse: as(lse, [batch, heads, tokens], [heads * padded, padded, 1]) }
    },
    backward: (of, dOut, out, lse) => {
      const [batch, heads, tokens] = of.sizes
      const padded = Math.ceil(tokens / lseAlignment) * lseAlignment
      const sums = room([batch, heads, padded])
      aten.zero(sums)
      copy(as(sums, [batch, heads, tokens], [heads * padded, padded, 1]), lse)
      const [dQuery, dKey, dValue] = efficientBackward(
        turned(of),
        { bias: biasOf(of), dOut: transposed(dOut), out: transposed(out), lse: sums, tokens, keys: of.keys },
        of.scale
      ).map(transposed) as [Handle, Handle, Handle]
      return { dQuery, dKey, dValue }
    }
  }
}

export const sdpaOf = (aten: Aten, { kind }: Device): Sdpa => kind === "cpu" ? onCpu(aten) : onCuda(aten)
