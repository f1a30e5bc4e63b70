import type { Functions, ModelConfig, NormPlace, Sizes, Structure } from "./architecture.ts"

/** A parameter: its Hugging Face name and shape. Matrices are [out, in]. */
export interface Parameter {
  readonly name: string
  /** In the owner's file. */
  readonly shape: ReadonlyArray<number>
  /** The file's order of elements, where it is not that of the kernels. */
  readonly order?: Order
}

/** Of a matrix [out, in] that a kernel reads, or of a bias [out]. */
export interface Order {
  /** The file holds [in, out]. */
  readonly transposed?: true
  /** The row of the file that is row `row` of the kernel. */
  readonly rowOf?: (row: number) => number
}

/** The sizes and tensors that decide the shape of a model. */
export type ParameterShape = Sizes & Structure & Partial<Pick<Functions, "blocks">>

/** All parameters of `Sizes.idle`. */
export const idleExperts = "idle_experts"

/** Rows of the norm of queries or keys. */
export const qkNormSize = ({ headDim, qkNorm }: ParameterShape, heads: number): number =>
  qkNorm === "projection" ? heads * headDim : headDim

/** Length of a row of queries, keys and values. */
export const qkvWidth = ({ headDim, heads, kvHeads }: Pick<Sizes, "headDim" | "heads" | "kvHeads">): number =>
  (heads + 2 * kvHeads) * headDim

/** Width of the matrix that ends in the activation: gate and up, or up alone. */
export const upSize = ({ ffn, gated }: ParameterShape): number => gated ? 2 * ffn : ffn

/**
 * Every parameter in the order in which the transformer engine lays them out in one flat buffer: the embedding, the layers,
 * the final norm, then the output matrix (absent when tied) or `score.weight`.
 *
 * Query, key and value matrices stand side by side, so that they are also one [(heads + 2 kvHeads) · headDim, dim] matrix;
 * so do their biases, and gate and up ([2 ffn, dim]) and theirs.
 */
export const parameters = (shape: ParameterShape, head: ModelConfig["head"]): ReadonlyArray<Parameter> => {
  const { dim, ffn, headDim, heads, kvHeads, names, norms, stored, vocab } = shape
  const queries = heads * headDim
  const keys = kvHeads * headDim
  const list: Array<Parameter> = []
  const add = (name: string, size: ReadonlyArray<number>, order?: Order): void => {
    const transposed = stored === "transposed" && size.length === 2 && name.startsWith(names.layers)
    list.push({
      name,
      shape: transposed ? [size[1]!, size[0]!] : size,
      ...(transposed ? { order: { transposed: true } } : order === undefined ? {} : { order })
    })
  }
  const norm = (module: string, size = dim): void => {
    add(`${module}.weight`, [size])
    if (shape.normBias) add(`${module}.bias`, [size])
  }
  /** Modules with one input, side by side: their weights, then their biases. */
  const products = (
    modules: ReadonlyArray<readonly [module: string, outputs: number, order?: Order | undefined]>,
    inputs: number,
    bias: boolean
  ): void => {
    for (const [module, outputs, order] of modules) add(`${module}.weight`, [outputs, inputs], order)
    if (bias) { for (const [module, outputs, order] of modules) add(`${module}.bias`, [outputs], order) }
  }
  const [ofHeads, ofQkv] = [
    stored === "pairs" ? { rowOf: pairs(headDim) } : undefined,
    stored === "byHead" ? { rowOf: byHead(heads, headDim) } : undefined
  ]
  add(`${names.embed}.weight`, [vocab, dim])
  if (names.positions !== undefined) add(`${names.positions}.weight`, [shape.context, dim])
  for (let i = 0; i < shape.layers; i++) {
    const of = (module: string): string => `${names.layers}${i}.${module}`
    const at = (place: NormPlace): void => {
      const module = norms[place]
      if (module !== undefined) norm(of(module))
    }
    at("attentionIn")
    const [first, second, third] = names.qkv.map(of)
    products(
      second === undefined
        ? [[first!, queries + 2 * keys, ofQkv]]
        : [[first!, queries, ofHeads], [second, keys, ofHeads], [third!, keys]],
      dim,
      shape.qkvBias
    )
    if (shape.qkNorm !== false) {
      add(`${of("self_attn.q_norm")}.weight`, [qkNormSize(shape, heads)])
      add(`${of("self_attn.k_norm")}.weight`, [qkNormSize(shape, kvHeads)])
    }
    products([[of(names.out), dim]], queries, shape.outBias)
    at("attentionOut")
    at("mlpIn")
    const mlp = shape.blocks?.[i]?.mlp
    if (mlp?.form === "routed") {
      add(`${of(mlp.names.router)}.weight`, [mlp.experts, dim])
      for (let e = 0; e < mlp.experts; e++) {
        const expert = of(`${mlp.names.experts}${e}.`)
        products([[expert + mlp.names.gate, mlp.ffn], [expert + mlp.names.up, mlp.ffn]], dim, false)
        products([[expert + mlp.names.down, dim]], mlp.ffn, false)
      }
    } else {
      products(
        names.up.map((module) => [of(module), upSize(shape) / names.up.length] as const),
        dim,
        shape.mlpBias
      )
      products([[of(names.down), dim]], ffn, shape.mlpBias)
    }
    at("mlpOut")
  }
  if (shape.idle !== undefined) add(idleExperts, [shape.idle])
  norm(names.norm)
  if (head === "score") add("score.weight", [1, dim])
  else if (!shape.tied) add(`${names.head}.weight`, [vocab, dim])
  return list
}

/** Half c of a head stands at 2c of the file, half headDim / 2 + c at 2c + 1. */
const pairs = (headDim: number) => (row: number): number => {
  const [c, half] = [row % headDim, headDim / 2]
  return row - c + (c < half ? 2 * c : 2 * (c - half) + 1)
}

/** All queries, all keys, all values; in the file those of each head. */
const byHead = (heads: number, headDim: number) => (row: number): number => {
  const part = Math.floor(row / (heads * headDim))
  const [head, c] = [Math.floor(row / headDim) % heads, row % headDim]
  return (head * 3 + part) * headDim + c
}

/** The file's elements in the order of the kernels, and back. The data itself where both are the same. */
export const reordered = <A extends Float32Array | Float64Array>(
  { order, shape }: Parameter,
  data: A,
  to: "kernel" | "file"
): A => {
  // The arrays of a plan have a length alone.
  if (order === undefined || !ArrayBuffer.isView(data)) return data
  const { rowOf = (row: number): number => row, transposed = false } = order
  const [rows, columns] = transposed ? [shape[1]!, shape[0]!] : [shape[0]!, shape[1] ?? 1]
  const moved = data.slice() as A
  for (let r = 0; r < rows; r++) {
    const at = rowOf(r)
    for (let c = 0; c < columns; c++) {
      const [inKernel, inFile] = [r * columns + c, transposed ? c * rows + at : at * columns + c]
      if (to === "kernel") moved[inKernel] = data[inFile]!
      else moved[inFile] = data[inKernel]!
    }
  }
  return moved
}

/** Number of elements of a shape. */
export const elements = (shape: ReadonlyArray<number>): number => shape.reduce((product, size) => product * size, 1)
