import type { ModelConfig } from "../../model/architecture.ts"
import { qkvWidth, upSize } from "../../model/parameters.ts"
import type { Backend, Tensor } from "../../tensor/backend.ts"
import { stream } from "../../sampling/random.ts"
import type { Lora } from "../engine.ts"
import type { Place } from "./layout.ts"
import { workspace } from "./workspace.ts"

/** A matrix of a layer as the kernels take it; `qkv` and `gateUp` are several projections, one under the other. */
export type Site = "qkv" | "out" | "gateUp" | "down"

interface Part {
  /** Within a layer. */
  readonly module: string
  /** The projections of a Llama that it holds. */
  readonly targets: ReadonlyArray<string>
  readonly outputs: number
  /** First column of its part of the fused output. */
  readonly at: number
}

interface Shape {
  readonly inputs: number
  readonly outputs: number
  readonly parts: ReadonlyArray<Part>
}

const shapeOf = (
  inputs: number,
  parts: ReadonlyArray<readonly [module: string, outputs: number, targets: ReadonlyArray<string>]>
): Shape => {
  let at = 0
  const placed = parts.map(([module, outputs, targets]) => {
    const part = { module, outputs, targets, at }
    at += outputs
    return part
  })
  return { inputs, outputs: at, parts: placed }
}

const shapesOf = (config: ModelConfig): Readonly<Record<Site, Shape>> => {
  const { dim, ffn, gated, headDim, heads, kvHeads, names } = config
  const projections = [["q_proj", heads * headDim], ["k_proj", kvHeads * headDim], [
    "v_proj",
    kvHeads * headDim
  ]] as const
  const up = gated ? ["gate_proj", "up_proj"] : ["up_proj"]
  return {
    qkv: shapeOf(
      dim,
      names.qkv.length === 1
        ? [[names.qkv[0]!, qkvWidth(config), projections.map(([target]) => target)]]
        : projections.map(([target, outputs], i) => [names.qkv[i]!, outputs, [target]] as const)
    ),
    out: shapeOf(heads * headDim, [[names.out, dim, ["o_proj"]]]),
    gateUp: shapeOf(
      dim,
      names.up.length === 1
        ? [[names.up[0]!, upSize(config), up]]
        : up.map((target, i) => [names.up[i]!, ffn, [target]] as const)
    ),
    down: shapeOf(ffn, [[names.down, dim, ["down_proj"]]])
  }
}

const nameOf = (module: string): string => module.slice(module.lastIndexOf(".") + 1)

/** The modules that a description means; throws where it names a part of a matrix, or nothing that there is. */
const chosen = (parts: ReadonlyArray<Part>, wanted: ReadonlyArray<string>, family: string): ReadonlyArray<Part> =>
  parts.filter(({ module, targets }) => {
    const named = targets.filter((target) => wanted.includes(target))
    if (named.length > 0 && named.length < targets.length) {
      throw new RangeError(
        `In a ${family}, ${targets.join(", ")} are one matrix, ${nameOf(module)}: target all of them, or none (now: ${
          named.join(", ")
        }).`
      )
    }
    return named.length > 0
  })

/** The low-rank matrices of one projection of one layer; `b` is transposed, and a part of each of `r` rows. */
export interface AdapterPair {
  readonly module: string
  readonly inputs: number
  readonly outputs: number
  /** A [r, inputs] in the flat buffer. */
  readonly a: number
  /** Row i of Bᵀ [r, outputs] begins at `b + i · stride`. */
  readonly b: number
  readonly stride: number
}

/**
 * LoRA (Hu et al. 2021, arXiv 2106.09685, eq. 3): y = W x + (α/r) B A x. W is frozen, A [r, in] starts random, B [out, r] at 0.
 *
 * The projections that share an input share one product: their A stand under one another, [k, in] with k = r · parts, and
 * their Bᵀ in one [k, out] matrix, whose blocks that would mix projections are 0 and stay so (`mask`).
 */
export interface Adapters {
  readonly places: ReadonlyArray<Place>
  readonly length: number
  readonly pairs: ReadonlyArray<AdapterPair>
  /** Sets every matrix to its start. */
  readonly initialise: (flat: Tensor, seed: string | null) => void
  /** Zeroes the blocks of Bᵀ that would mix projections. */
  readonly mask: (flat: Tensor) => void
  /** out [rows, outputs] += (α/r) B A x */
  readonly forward: (backend: Backend, layer: number, site: Site, out: Tensor, x: Tensor, rows: number) => void
  /** Adds to the gradients of A and B, and to dX. */
  readonly backward: (
    backend: Backend,
    layer: number,
    site: Site,
    dX: Tensor,
    dOut: Tensor,
    x: Tensor,
    rows: number
  ) => void
  readonly dispose: () => void
}

interface Block extends Shape {
  /** Rows of A and of Bᵀ. */
  readonly k: number
  readonly a: Place
  readonly b: Place
}

/** `extra` elements behind the adapters are for the caller's other trained parameters. */
export const adapters = (
  memory: Backend,
  config: ModelConfig,
  { alpha, rank, targetModules }: Lora,
  flats: { readonly values: () => Tensor; readonly gradient: () => Tensor }
): Adapters => {
  const places: Array<Place> = []
  const pairs: Array<AdapterPair> = []
  let length = 0
  const place = (name: string, ...shape: ReadonlyArray<number>): Place => {
    const size = shape.reduce((product, n) => product * n, 1)
    const made = { name, shape, start: length, length: size }
    places.push(made)
    length += size
    return made
  }
  const shapes = shapesOf(config)
  const ofExperts = targetModules.filter((target) => /^(gate|up|down)_proj$/u.test(target))
  if (ofExperts.length > 0 && config.blocks.some(({ mlp }) => mlp.form === "routed")) {
    throw new RangeError(
      `LoRA on routed experts is not supported (${
        ofExperts.join(", ")
      } of a ${config.family}): target q_proj, k_proj, v_proj, o_proj.`
    )
  }
  const blocks = Array.from(
    { length: config.layers },
    (_, l): Readonly<Partial<Record<Site, Block>>> =>
      Object.fromEntries(
        Object.entries(shapes).flatMap(([site, shape]) => {
          if ((site === "gateUp" || site === "down") && config.blocks[l]!.mlp.form === "routed") return []
          const { inputs, outputs } = shape
          const parts = chosen(shape.parts, targetModules, config.family)
          if (parts.length === 0) return []
          for (const { module, outputs } of parts) {
            if (rank <= Math.min(inputs, outputs)) continue
            throw new RangeError(
              `LoRA of rank ${rank} is larger than ${nameOf(module)}, which is [${outputs}, ${inputs}]: lower the rank.`
            )
          }
          const k = rank * parts.length
          const a = place(`lora.${l}.${site}.a`, k, inputs)
          const b = place(`lora.${l}.${site}.b`, k, outputs)
          parts.forEach(({ at, module, outputs: own }, p) =>
            pairs.push({
              module: `${config.names.layers}${l}.${module}`,
              inputs,
              outputs: own,
              a: a.start + p * rank * inputs,
              b: b.start + p * rank * outputs + at,
              stride: outputs
            })
          )
          return [[site, { inputs, outputs, parts, k, a, b }] as const]
        })
      )
  )

  if (pairs.length === 0) {
    throw new RangeError(`A ${config.family} has no ${targetModules.join(", ")}: target others.`)
  }
  const space = workspace(memory)
  const scales = new Map<number, Tensor>()
  /** (α/r) I [k, k]: there is no kernel that multiplies by a number. */
  const scaleOf = (k: number): Tensor => {
    const known = scales.get(k)
    if (known !== undefined) return known
    const made = memory.reals(k * k)
    memory.write(made, Float64Array.from({ length: k * k }, (_, i) => i % (k + 1) === 0 ? alpha / rank : 0))
    scales.set(k, made)
    return made
  }
  const slice = (flat: Tensor, { length, start }: Place): Tensor => memory.slice(flat, start, length)
  /** (α/r) A x [rows, k] */
  const down = (backend: Backend, { a, inputs, k }: Block, x: Tensor, rows: number): Tensor => {
    const low = space.reals("low", rows * k)
    const scaled = space.reals("scaled", rows * k)
    backend.linear(low, x, slice(flats.values(), a), null, rows, inputs, k)
    backend.linear(scaled, low, scaleOf(k), null, rows, k, k)
    return scaled
  }

  return {
    places,
    length,
    pairs,
    initialise: (flat, seed) => {
      for (const { name, length, shape, start } of places) {
        if (!name.endsWith(".a") || seed === null) {
          memory.zero(memory.slice(flat, start, length))
          continue
        }
        // Uniform in ±1/√in, as PEFT does (Kaiming with a = √5).
        const random = stream(`${seed}/${name}`)
        const most = shape[1]! ** -0.5
        const numbers = new Float64Array(length)
        for (let i = 0; i < length; i++) numbers[i] = most * (2 * random.next() - 1)
        memory.write(flat, numbers, start)
      }
    },
    mask: (flat) => {
      for (const { b, k, outputs, parts } of blocks.flatMap((sites) => Object.values(sites))) {
        if (parts.length === 1 && parts[0]!.outputs === outputs) continue
        for (let row = 0; row < k; row++) {
          const { at, outputs: own } = parts[Math.floor(row / rank)]!
          const start = b.start + row * outputs
          if (at > 0) memory.zero(memory.slice(flat, start, at))
          if (at + own < outputs) memory.zero(memory.slice(flat, start + at + own, outputs - at - own))
        }
      }
    },
    forward: (backend, layer, site, out, x, rows) => {
      const block = blocks[layer]![site]
      if (block === undefined) return
      const low = down(backend, block, x, rows)
      // out += low Bᵀ is the input gradient of a layer with the weight Bᵀ.
      const into = { dX: out, accumulate: true, dW: null, dBias: null }
      backend.linearBackward(into, low, out, slice(flats.values(), block.b), rows, block.outputs, block.k)
    },
    backward: (backend, layer, site, dX, dOut, x, rows) => {
      const block = blocks[layer]![site]
      if (block === undefined) return
      const { a, b, inputs, k, outputs } = block
      const [values, gradient] = [flats.values(), flats.gradient()]
      const low = down(backend, block, x, rows)
      // dBᵀ += lowᵀ dOut
      const dB = { dX: null, accumulate: false, dW: slice(gradient, b), dBias: null }
      backend.linearBackward(dB, low, dOut, slice(values, b), rows, outputs, k)
      const dLow = space.reals("low", rows * k)
      const dScaled = space.reals("scaled", rows * k)
      backend.linear(dScaled, dOut, slice(values, b), null, rows, outputs, k)
      backend.linear(dLow, dScaled, scaleOf(k), null, rows, k, k)
      backend.linearBackward(
        { dX, accumulate: true, dW: slice(gradient, a), dBias: null },
        dLow,
        x,
        slice(values, a),
        rows,
        inputs,
        k
      )
    },
    dispose: () => {
      space.dispose()
      for (const scale of scales.values()) memory.free(scale)
    }
  }
}
