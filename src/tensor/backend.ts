/**
 * The kernels a transformer needs, as coarse fused operations with explicit backward passes. There is no autograd: every
 * buffer is named by the caller, so activation memory is visible and a training step needs no host synchronisation but the
 * log-probabilities.
 *
 * **Layout.** Everything is row-major. A batch is *packed*: sequences stand one after the other in `N` token rows and
 * `starts` (length B + 1) holds the row where each begins; there is no padding anywhere. Weights are `[out, in]` as Hugging
 * Face stores them. `qkv` rows hold `heads` query heads, then `kvHeads` key heads, then `kvHeads` value heads, each of
 * `headDim`; `gateUp` rows hold the SwiGLU gate, then up.
 *
 * **Contract** (the conformance suite in `property-tests/tensor` holds every backend to it). An output buffer may hold
 * anything before the call (tests poison it) unless the parameter is documented as `+=`. Outputs never alias inputs unless
 * said. Results are bit-identical from run to run. A wrong shape throws: it is a bug, not an error value.
 *
 * `reference` (plain double-precision loops) is the definition; every other backend is tested against it.
 */

/** Real numbers in backend memory: float32, or float64 on `reference`. */
export interface Tensor {
  readonly dtype: "real"
  /** Number of elements. */
  readonly length: number
}

/** 32-bit integers in backend memory: token ids, positions, row starts. */
export interface Ints {
  readonly dtype: "int"
  /** Number of elements. */
  readonly length: number
}

/** Numbers on the host, as the caller has them. */
export type Host = Float32Array | Float64Array

/** Shape of causal attention. `window` 0 means unlimited; otherwise a token sees itself and `window - 1` tokens before it. */
export interface AttentionShape {
  readonly heads: number
  readonly kvHeads: number
  readonly headDim: number
  readonly scale: number
  readonly window: number
  /** Scores become cap · tanh(score / cap) before the softmax (Gemma 2); 0 leaves them. */
  readonly cap: number
}

/** RMS normalisation of `groups` consecutive slices of `dim` at the start of each row of `stride` elements. */
export interface NormShape {
  readonly rows: number
  readonly groups: number
  readonly dim: number
  /** Elements from one row to the next, the same in input and output. Plain normalisation: groups 1, stride = dim. */
  readonly stride: number
  /** Element of a row where the first group begins. */
  readonly offset: number
  readonly eps: number
  /** Added to the weight: 1 where a model's weights are held less 1 (Gemma). */
  readonly plus: number
}

/** Normalisation of whole rows to mean 0 and variance 1. */
export interface LayerNormShape {
  readonly rows: number
  readonly dim: number
  readonly eps: number
}

/** GELU of x [rows, dim]; or, when `gated`, of the gate alone: x is [rows, 2 · dim] then, the gate first, as in `swiglu`. */
export interface GeluShape {
  readonly rows: number
  readonly dim: number
  readonly gated: boolean
  /** By the approximation with tanh (Hendrycks and Gimpel 2016, §2), not by the normal distribution function. */
  readonly tanh: boolean
}

/** Rotation of the first `heads` heads of rows of `stride` elements; `inverse` rotates back. */
export interface RopeShape {
  readonly heads: number
  readonly headDim: number
  /** Elements of a head that turn, its first; even. */
  readonly turned: number
  readonly stride: number
  readonly inverse: boolean
}

/** Attention against a cache of `capacity` positions a slot. */
export interface CacheShape extends AttentionShape {
  readonly capacity: number
}

/** Shape of the language-model head. */
export interface HeadShape {
  /** Token rows. */
  readonly rows: number
  /** Hidden size. */
  readonly dim: number
  readonly vocab: number
  /** Logits are divided by this before the softmax. */
  readonly temperature: number
  /** Before that, logits become cap · tanh(logit / cap) (Gemma 2); 0 leaves them. */
  readonly cap: number
}

/** One AdamW update (Loshchilov and Hutter 2019, Algorithm 2) over a flat buffer of parameters. */
export interface AdamW {
  readonly learningRate: number
  readonly beta1: number
  readonly beta2: number
  readonly eps: number
  readonly weightDecay: number
  /** 1-based number of this update, for the bias correction. */
  readonly step: number
  /** The gradient is multiplied by this first: max norm / norm when it is clipped, otherwise 1. */
  readonly gradScale: number
}

/**
 * Rounding of the factors of matrix products (`linear`, `head` and their gradients): none, or to bfloat16 (8 bits of
 * mantissa). Stored values and sums are not rounded.
 */
export type Precision = "f32" | "bf16"

/** Shape of a choice of tokens. */
export interface SampleShape {
  readonly rows: number
  readonly vocab: number
  /** 0 is greedy: the most likely token, the lowest id of equals. */
  readonly temperature: number
}

/** Reals of a packed weight of `inputs` × `outputs`: 0 where the backend uses the weight itself. */
export type Packing = (precision: Precision, inputs: number, outputs: number) => number

export interface Backend {
  /** `reference`, `wasm`, ... as in `--backend`. */
  readonly name: string
  /** Bytes of one real number: 4 or 8. */
  readonly realBytes: number
  /** Most bytes that it can ever hold on any machine. */
  readonly addressable: number
  /** Size of packed weights, where it differs from `packedLength`: where they are kept outside of the buffer. */
  readonly packing?: Packing
  /** The precisions that it offers, always including "f32". */
  readonly precisions: ReadonlyArray<Precision>
  /** The same backend and memory with products in `precision`; throws when the backend does not offer it. */
  readonly at: (precision: Precision) => Backend

  // ── memory ────────────────────────────────────────────────────────────────────────────────────────────────────────
  /** Allocates reals with unspecified contents, until `free`. `what` names them for backends that only count. */
  readonly reals: (length: number, what?: string) => Tensor
  /** Allocates integers with unspecified contents; they live until `free`. */
  readonly ints: (length: number) => Ints
  /** Gives back a buffer got from `reals` or `ints` (not a slice of one). Using it or a slice afterwards is a bug. */
  readonly free: (buffer: Tensor | Ints) => void
  /** `length` elements of `of` from `start`, sharing memory. */
  readonly slice: (of: Tensor, start: number, length: number) => Tensor
  readonly write: (to: Tensor, data: Host, at?: number) => void
  readonly writeInts: (to: Ints, data: Int32Array, at?: number) => void
  /** A copy on the host, in the precision of the backend. */
  readonly read: (from: Tensor) => Host
  /** Of a backend that reads no values: an array of this length, without values. */
  readonly unread?: (length: number) => Host
  readonly zero: (of: Tensor) => void
  /** Bytes held by live buffers now, and the most held at any time. */
  readonly memory: () => { readonly live: number; readonly peak: number }
  /** Releases threads and memory. */
  readonly dispose: () => void

  // ── elementwise ───────────────────────────────────────────────────────────────────────────────────────────────────
  /** out[i] += x[i] */
  readonly add: (out: Tensor, x: Tensor) => void
  /** out[i] = x[i] */
  readonly copy: (out: Tensor, x: Tensor) => void
  /** out[i] = (1 − rate) · out[i] + rate · x[i] */
  readonly lerp: (out: Tensor, x: Tensor, rate: number) => void
  /** x[i] *= by */
  readonly scale: (x: Tensor, by: number) => void
  /** x[i] = cap · tanh(x[i] / cap) */
  readonly softcap: (x: Tensor, cap: number) => void
  /** sum of x[i]² accumulated in double precision; non-finite values come back as they are. */
  readonly sumSquares: (x: Tensor) => number

  // ── embedding ─────────────────────────────────────────────────────────────────────────────────────────────────────
  /** out[n, :] = table[ids[n], :] */
  readonly embed: (out: Tensor, table: Tensor, ids: Ints, dim: number) => void
  /** dTable[ids[n], :] += dOut[n, :] */
  readonly embedBackward: (dTable: Tensor, dOut: Tensor, ids: Ints, dim: number) => void

  // ── linear ────────────────────────────────────────────────────────────────────────────────────────────────────────
  /** out[n, :] = w x[n, :] + bias + residual[n, :]; x is [rows, inputs], w [outputs, inputs]. */
  readonly linear: (
    out: Tensor,
    x: Tensor,
    w: Tensor,
    bias: Tensor | null,
    rows: number,
    inputs: number,
    outputs: number,
    residual?: Tensor | null
  ) => void
  /** Length of `packWeight`'s output. */
  readonly packedLength: (inputs: number, outputs: number) => number
  /** packed = w in the backend's own layout for `linearPacked`: for weights that many small products share. */
  readonly packWeight: (packed: Tensor, w: Tensor, inputs: number, outputs: number) => void
  /** `linear` with a packed weight. */
  readonly linearPacked: Backend["linear"]
  /** dX = dOut w (or += when `accumulate`); dW += dOutᵀ x; dBias += column sums of dOut. A null output is not computed. */
  readonly linearBackward: (
    out: {
      readonly dX: Tensor | null
      readonly accumulate: boolean
      readonly dW: Tensor | null
      readonly dBias: Tensor | null
    },
    dOut: Tensor,
    x: Tensor,
    w: Tensor,
    rows: number,
    inputs: number,
    outputs: number
  ) => void

  // ── normalisation ─────────────────────────────────────────────────────────────────────────────────────────────────
  /**
   * out = (plus + weight) · x · inv with inv = 1 / √(mean(x²) + eps) per group; `inv` is [rows, groups]. Elements of a row outside
   * the groups are left alone; `out` may be `x` itself.
   */
  readonly rmsNorm: (out: Tensor, x: Tensor, weight: Tensor, inv: Tensor, shape: NormShape) => void
  /**
   * dX += (or = for elements inside the groups when not `accumulate`), dWeight +=. `dX` may be `dOut` itself when not
   * `accumulate`. `x` is the input of the forward pass.
   */
  readonly rmsNormBackward: (
    out: { readonly dX: Tensor; readonly accumulate: boolean; readonly dWeight: Tensor | null },
    dOut: Tensor,
    x: Tensor,
    weight: Tensor,
    inv: Tensor,
    shape: NormShape
  ) => void

  /** out = weight · (x − mean) · inv + bias with inv = 1 / √(variance + eps) per row; `stats` is [rows, 2]: mean, inv. */
  readonly layerNorm: (
    out: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | null,
    stats: Tensor,
    shape: LayerNormShape
  ) => void
  /** dX += (or = when not `accumulate`), dWeight +=, dBias +=. `x` is the input of the forward pass. */
  readonly layerNormBackward: (
    out: {
      readonly dX: Tensor
      readonly accumulate: boolean
      readonly dWeight: Tensor | null
      readonly dBias: Tensor | null
    },
    dOut: Tensor,
    x: Tensor,
    weight: Tensor,
    stats: Tensor,
    shape: LayerNormShape
  ) => void

  // ── rotary embedding ──────────────────────────────────────────────────────────────────────────────────────────────
  /**
   * Rotates the first `heads` heads of each row of `x` in place, Hugging Face half-split layout:
   * (a, b) → (a·cos − b·sin, b·cos + a·sin) with a, b the halves of the first `turned` elements of a head; `cos`, `sin` are
   * [positions, turned / 2].
   * `inverse` rotates back (the backward pass).
   */
  readonly rope: (x: Tensor, cos: Tensor, sin: Tensor, positions: Ints, shape: RopeShape) => void

  // ── attention ─────────────────────────────────────────────────────────────────────────────────────────────────────
  /** Causal block-diagonal attention. qkv [N, (heads + 2 kvHeads) headDim], out [N, heads · headDim], lse [N, heads]. */
  readonly attention: (out: Tensor, lse: Tensor, qkv: Tensor, starts: Ints, shape: AttentionShape) => void
  /** dQkv = gradient, from the log-sum-exp (probabilities are recomputed, never stored). */
  readonly attentionBackward: (
    dQkv: Tensor,
    dOut: Tensor,
    qkv: Tensor,
    out: Tensor,
    lse: Tensor,
    starts: Ints,
    shape: AttentionShape
  ) => void
  /**
   * Copies keys and values of `qkv` rows into the cache: row i goes to `slots[i]`, position `positions[i]`. `keys` and
   * `values` are [slots, capacity, kvHeads · headDim].
   */
  readonly cacheWrite: (
    keys: Tensor,
    values: Tensor,
    qkv: Tensor,
    slots: Ints,
    positions: Ints,
    shape: CacheShape
  ) => void
  /** One query row per slot against its cache, which already holds positions 0 … positions[i]. out [n, heads · headDim]. */
  readonly attentionDecode: (
    out: Tensor,
    qkv: Tensor,
    keys: Tensor,
    values: Tensor,
    slots: Ints,
    positions: Ints,
    shape: CacheShape
  ) => void

  // ── feed-forward ──────────────────────────────────────────────────────────────────────────────────────────────────
  /** out[n, j] = silu(gate) · up; gateUp is [rows, 2 · dim], silu(x) = x / (1 + e⁻ˣ). */
  readonly swiglu: (out: Tensor, gateUp: Tensor, rows: number, dim: number) => void
  /** dGateUp = gradient; it may be `gateUp` itself. */
  readonly swigluBackward: (dGateUp: Tensor, dOut: Tensor, gateUp: Tensor, rows: number, dim: number) => void
  /** out[n, j] = gelu(x), or gelu(gate) · up. */
  readonly gelu: (out: Tensor, x: Tensor, shape: GeluShape) => void
  /** dX = gradient; it may be `x` itself. */
  readonly geluBackward: (dX: Tensor, dOut: Tensor, x: Tensor, shape: GeluShape) => void

  // ── language-model head ───────────────────────────────────────────────────────────────────────────────────────────
  /**
   * logp[n] = z[target] − lse[n] with z = w h[n], capped, / temperature, lse the log-sum-exp, entropy[n] = −Σ p log p (nats). Works
   * in blocks of rows: the [N, V] logits never exist at once.
   */
  readonly head: (
    out: { readonly logps: Tensor; readonly lse: Tensor; readonly entropy: Tensor },
    h: Tensor,
    w: Tensor,
    targets: Ints,
    shape: HeadShape
  ) => void
  /** dH = and dW += for a loss with gradient `dLogps` [N] with respect to `logps`. */
  readonly headBackward: (
    out: { readonly dH: Tensor; readonly dW: Tensor | null },
    dLogps: Tensor,
    h: Tensor,
    w: Tensor,
    targets: Ints,
    lse: Tensor,
    shape: HeadShape
  ) => void
  /**
   * Chooses a token for each row of logits [rows, vocab]: the first whose cumulative probability, at the temperature, exceeds
   * u = uniforms[n, 0] + uniforms[n, 1] in [0, 1) (in two parts, because one float is too coarse for the tail of a large
   * vocabulary). `tokens` are ids as reals; `logps` their log-probabilities at temperature 1, nats. Rows with NaN choose
   * some token and have a NaN logp.
   */
  readonly sample: (
    out: { readonly tokens: Tensor; readonly logps: Tensor },
    logits: Tensor,
    uniforms: Tensor,
    shape: SampleShape
  ) => void
  /** out[i] = x[rows[i], :]; x is [N, dim]. */
  readonly gatherRows: (out: Tensor, x: Tensor, rows: Ints, dim: number) => void
  /** out[rows[i], :] = x[i, :] and every other row of `out` is 0. `rows` are distinct. */
  readonly scatterRows: (out: Tensor, x: Tensor, rows: Ints, dim: number) => void

  // ── optimiser ─────────────────────────────────────────────────────────────────────────────────────────────────────
  /** Updates `params`, `m` and `v` in place and sets `grads` to 0. */
  readonly adamw: (params: Tensor, grads: Tensor, m: Tensor, v: Tensor, update: AdamW) => void
}
