import fc from "fast-check"
import type { AttentionShape } from "../../../src/tensor/backend.ts"
import { reference } from "../../../src/tensor/reference.ts"
import { distinctInts, drawInts, execute, input, kernelLaw, output, size, updated } from "../kernelLaw.ts"
import type { Draw, KernelCase } from "../kernelLaw.ts"

export interface HeadsShape {
  readonly kvHeads: number
  /** Query heads for each key head. */
  readonly ratio: number
  readonly headDim: number
  readonly window: number
  /** None when left out. */
  readonly cap?: number
}

const headDims = fc.oneof(
  fc.constantFrom(2, 3, 4, 5, 8, 15, 16, 32, 64),
  fc.integer({ min: 2, max: 64 })
)

export const headsShapes = {
  kvHeads: fc.integer({ min: 1, max: 3 }),
  ratio: fc.integer({ min: 1, max: 4 }),
  headDim: headDims,
  window: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 12 })),
  cap: fc.constantFrom(0, 0, 2, 50)
}

export const attentionShape = ({ cap = 0, headDim, kvHeads, ratio, window }: HeadsShape): AttentionShape => ({
  heads: kvHeads * ratio,
  kvHeads,
  headDim,
  scale: headDim ** -0.5,
  window,
  cap
})

export const qkvWidth = (shape: AttentionShape): number => (shape.heads + 2 * shape.kvHeads) * shape.headDim

/** Queries and keys are large enough for sharp softmaxes beside flat ones, values are not. */
export const drawQkv = (draw: Draw, rows: number, shape: AttentionShape): Float32Array => {
  const width = qkvWidth(shape)
  const values = (shape.heads + shape.kvHeads) * shape.headDim
  return draw(rows * width).map((x, i) => i % width < values ? 3 * x : x)
}

interface Packed extends HeadsShape {
  readonly lengths: ReadonlyArray<number>
}

const shapes: fc.Arbitrary<Packed> = fc.record({
  ...headsShapes,
  lengths: fc.array(fc.oneof(fc.constantFrom(0, 1), size(40)), { minLength: 1, maxLength: 5 })
    .filter((lengths) => lengths.some((length) => length > 0))
})

const sample: Packed = { kvHeads: 2, ratio: 2, headDim: 6, window: 0, lengths: [3, 1, 4] }
const always: ReadonlyArray<Packed> = [
  { kvHeads: 1, ratio: 1, headDim: 64, window: 0, lengths: [197] },
  { kvHeads: 2, ratio: 3, headDim: 16, window: 0, lengths: [1, 130, 67, 1, 33] },
  { kvHeads: 1, ratio: 2, headDim: 8, window: 20, lengths: [150, 5] },
  { kvHeads: 2, ratio: 2, headDim: 8, window: 0, lengths: [0, 257, 0, 0, 255, 1, 0] },
  // Longer than any block of queries or keys; more query heads than vectors are wide.
  { kvHeads: 1, ratio: 2, headDim: 16, window: 0, lengths: [1027] },
  { kvHeads: 1, ratio: 1, headDim: 33, window: 300, lengths: [3, 1100] },
  { kvHeads: 1, ratio: 17, headDim: 4, window: 0, lengths: [40] },
  { kvHeads: 3, ratio: 1, headDim: 128, window: 0, lengths: [49] },
  { kvHeads: 2, ratio: 2, headDim: 16, window: 0, cap: 3, lengths: [1, 270, 67] },
  { kvHeads: 1, ratio: 3, headDim: 8, window: 20, cap: 1, lengths: [150] },
  { kvHeads: 1, ratio: 1, headDim: 2, window: 1, lengths: [1] }
]

export const startsOf = (lengths: ReadonlyArray<number>): Int32Array => {
  const starts = [0]
  for (const length of lengths) starts.push(starts.at(-1)! + length)
  return Int32Array.from(starts)
}

const forward = (packed: Packed, draw: Draw): KernelCase => {
  const shape = attentionShape(packed)
  const starts = startsOf(packed.lengths)
  const rows = starts.at(-1)!
  return {
    reals: {
      out: output(rows * shape.heads * shape.headDim),
      lse: output(rows * shape.heads),
      qkv: input(drawQkv(draw, rows, shape))
    },
    ints: { starts },
    // Averages of values on [-1, 1); scores are sums of headDim products of numbers three times as large, over √headDim.
    magnitude: { out: 0.5, lse: 3 },
    call: (b, real, int) => b.attention(real("out"), real("lse"), real("qkv"), int("starts"), shape)
  }
}

const backward = (packed: Packed, draw: Draw): KernelCase => {
  const shape = attentionShape(packed)
  const run = forward(packed, draw)
  const results = execute(reference(), run, NaN, 0)
  const out = Float32Array.from(results.get("out")!)
  const { data: qkv } = run.reals["qkv"] as { readonly data: Float32Array }
  return {
    reals: {
      dQkv: output(qkv.length),
      dOut: input(draw(out.length)),
      qkv: input(qkv),
      out: input(out),
      lse: input(Float32Array.from(results.get("lse")!))
    },
    ints: run.ints,
    magnitude: { dQkv: 0.5 },
    call: (b, real, int) =>
      b.attentionBackward(
        real("dQkv"),
        real("dOut"),
        real("qkv"),
        real("out"),
        real("lse"),
        int("starts"),
        shape
      )
  }
}

/** Rows of a generation step: some of the slots, in any order, each at its own position. */
interface Cached extends HeadsShape {
  readonly rows: number
  readonly spareSlots: number
  readonly capacity: number
}

const cached: fc.Arbitrary<Cached> = fc.record({
  ...headsShapes,
  rows: size(20),
  spareSlots: fc.nat(3),
  capacity: size(60)
})

const cachedSample: Cached = { kvHeads: 2, ratio: 2, headDim: 6, window: 0, rows: 3, spareSlots: 1, capacity: 5 }
const cachedAlways: ReadonlyArray<Cached> = [
  { kvHeads: 2, ratio: 2, headDim: 16, window: 0, rows: 9, spareSlots: 2, capacity: 300 },
  { kvHeads: 1, ratio: 1, headDim: 64, window: 33, rows: 1, spareSlots: 0, capacity: 257 },
  { kvHeads: 1, ratio: 8, headDim: 8, window: 0, rows: 3, spareSlots: 0, capacity: 1500 },
  { kvHeads: 2, ratio: 2, headDim: 16, window: 7, cap: 2, rows: 5, spareSlots: 1, capacity: 90 }
]

const write = (step: Cached, draw: Draw): KernelCase => {
  const shape = { ...attentionShape(step), capacity: step.capacity }
  const length = (step.rows + step.spareSlots) * step.capacity * step.kvHeads * step.headDim
  return {
    reals: {
      keys: updated(draw(length)),
      values: updated(draw(length)),
      qkv: input(draw(step.rows * qkvWidth(shape)))
    },
    ints: {
      slots: distinctInts(draw, step.rows, step.rows + step.spareSlots),
      positions: drawInts(draw, step.rows, step.capacity)
    },
    exact: true,
    call: (b, real, int) =>
      b.cacheWrite(real("keys"), real("values"), real("qkv"), int("slots"), int("positions"), shape)
  }
}

const decode = (step: Cached, draw: Draw): KernelCase => {
  const shape = { ...attentionShape(step), capacity: step.capacity }
  const slots = distinctInts(draw, step.rows, step.rows + step.spareSlots)
  const positions = drawInts(draw, step.rows, step.capacity)
  const width = step.kvHeads * step.headDim
  const last = new Map(Array.from(slots, (slot, i) => [slot, positions[i]!]))
  // What the cache does not hold yet may be anything: NaN here.
  const cache = (gain: number) =>
    draw((step.rows + step.spareSlots) * step.capacity * width, gain).map((x, i) => {
      const row = Math.floor(i / width)
      return row % step.capacity <= (last.get(Math.floor(row / step.capacity)) ?? -1) ? x : NaN
    })
  return {
    reals: {
      out: output(step.rows * shape.heads * shape.headDim),
      qkv: input(draw(step.rows * qkvWidth(shape), 3)),
      keys: input(cache(3)),
      values: input(cache(1))
    },
    ints: { slots, positions },
    magnitude: { out: 0.5 },
    call: (b, real, int) =>
      b.attentionDecode(
        real("out"),
        real("qkv"),
        real("keys"),
        real("values"),
        int("slots"),
        int("positions"),
        shape
      )
  }
}

export const attention = [
  kernelLaw("attention", { shapes, sample, always, build: forward }),
  kernelLaw("attentionBackward", { shapes, sample, always, build: backward }),
  kernelLaw("cacheWrite", { shapes: cached, sample: cachedSample, build: write }),
  kernelLaw("attentionDecode", { shapes: cached, sample: cachedSample, always: cachedAlways, build: decode })
]
