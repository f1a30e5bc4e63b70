import type { Backend, Host, Tensor } from "../../tensor/backend.ts"
import type { RoutedActivations } from "./activations.ts"
import type { Pass, Sublayer } from "./sublayer.ts"

/** The experts of every token: slots (token, expert) in the order of the experts, and of the tokens within one. */
export interface Chosen {
  readonly token: Int32Array
  readonly expert: Int32Array
  /** Of the expert's output in the token's. */
  readonly weight: Float64Array
  /** The slots of expert e are from `starts[e]` to `starts[e + 1]`. */
  readonly starts: Int32Array
  /** Softmax of each token's logits [tokens, experts]. */
  readonly probabilities: Float64Array
}

export interface Routing {
  readonly experts: number
  /** Experts of a token. */
  readonly active: number
  /** Weights of a token's experts are divided by their sum. */
  readonly renormalised: boolean
}

/**
 * The `active` experts of highest probability of each token; the lower number first where two are equal. None is dropped. A token's
 * choice depends on its own logits alone. A backend that reads no values gets an even spread.
 */
export const choose = (
  logits: Host,
  tokens: number,
  { active, experts, renormalised }: Routing,
  even = false
): Chosen => {
  const probabilities = new Float64Array(tokens * experts)
  const of = Array.from({ length: experts }, (): Array<number> => [])
  const weights = new Float64Array(tokens * experts)
  for (let t = 0; t < tokens; t++) {
    const at = t * experts
    const row = Array.from({ length: experts }, (_, e) => even ? 0 : logits[at + e]!)
    const most = Math.max(...row)
    const sum = row.reduce((total, z) => total + Math.exp(z - most), 0)
    row.forEach((z, e) => (probabilities[at + e] = Math.exp(z - most) / sum))
    const order = row.map((_, e) => even ? (e + t * active) % experts : e)
    const best = (even ? order : order.sort((a, b) => row[b]! - row[a]! || a - b)).slice(0, active)
    const total = renormalised ? best.reduce((s, e) => s + probabilities[at + e]!, 0) : 1
    for (const e of best) {
      of[e]!.push(t)
      weights[at + e] = probabilities[at + e]! / total
    }
  }
  const starts = new Int32Array(experts + 1)
  of.forEach((own, e) => (starts[e + 1] = starts[e]! + own.length))
  const token = Int32Array.from(of.flat())
  const expert = Int32Array.from(of.flatMap((own, e) => own.map(() => e)))
  return {
    token,
    expert,
    starts,
    probabilities,
    weight: Float64Array.from(token, (t, s) => weights[t * experts + expert[s]!]!)
  }
}

/** Gradient of the logits from that of each slot's weight: through the softmax, over all experts or the chosen ones. */
export const chosenBackward = (
  { expert, probabilities, token, weight }: Chosen,
  dWeight: Float64Array,
  { experts, renormalised }: Routing
): Float64Array => {
  const dLogits = new Float64Array(probabilities.length)
  const mean = new Float64Array(probabilities.length / experts)
  token.forEach((t, s) => (mean[t] = mean[t]! + weight[s]! * dWeight[s]!))
  if (!renormalised) probabilities.forEach((p, i) => (dLogits[i] = -p * mean[Math.floor(i / experts)]!))
  token.forEach((t, s) => {
    const i = t * experts + expert[s]!
    dLogits[i] = dLogits[i]! + weight[s]! * (dWeight[s]! - (renormalised ? mean[t]! : 0))
  })
  return dLogits
}

/** x[s, :] *= weight[s]: a rotation by nothing whose cosines are the weights. */
const weigh = (backend: Backend, { space }: RoutedActivations, x: Tensor, weight: Float64Array, dim: number): void => {
  const slots = weight.length
  const [cos, sin] = [space.reals("routed.weight", slots), space.reals("routed.zero", slots)]
  backend.write(cos, weight)
  backend.zero(sin)
  const rows = space.ints("routed.slots", Int32Array.from(weight, (_, s) => s))
  backend.rope(x, cos, sin, rows, { heads: dim / 2, headDim: 2, turned: 2, stride: dim, inverse: false })
}

/** Calls with the slots of every expert that has some; `rows` cuts them out of a buffer of that width. */
const perExpert = (
  backend: Backend,
  { starts }: Chosen,
  work: (expert: number, slots: number, rows: (of: Tensor, width: number) => Tensor) => void
): void => {
  for (let e = 0; e + 1 < starts.length; e++) {
    const [start, slots] = [starts[e]!, starts[e + 1]! - starts[e]!]
    if (slots > 0) work(e, slots, (of, width) => backend.slice(of, start * width, slots * width))
  }
}

const formOf = ({ config }: Pass, layer: number) => {
  const { mlp } = config.blocks[layer]!
  if (mlp.form !== "routed") throw new Error(`layer ${layer} is not routed`)
  return mlp
}

/**
 * Σ over the chosen experts of weight · down(silu(gate x) · up x) (Shazeer et al. 2017, arXiv 1701.06538), dropless. The choice is
 * made of the router's logits on the host, so that every backend makes the same.
 */
export const routedFeedForward: Sublayer = {
  forward: (pass, at, layer, x, rows) => {
    const { backend, config: { dim }, multiply, parameters } = pass
    const form = formOf(pass, layer)
    const { experts, router } = parameters.layers[layer]!.routed!
    const own = at.routed!
    const { space } = own
    multiply(own.logits, x, router, null, rows, dim, form.experts)
    const chosen = choose(backend.read(own.logits), rows, form, backend.unread !== undefined)
    own.chosen = chosen
    const slots = chosen.token.length
    const taken = space.reals("routed.x", slots * dim)
    const hidden = space.reals("routed.hidden", slots * form.ffn)
    backend.gatherRows(taken, x, space.ints("routed.tokens", chosen.token), dim)
    perExpert(backend, chosen, (e, n, cut) => {
      multiply(cut(own.gateUp, 2 * form.ffn), cut(taken, dim), experts[e]!.gateUp, null, n, dim, 2 * form.ffn)
    })
    backend.swiglu(hidden, own.gateUp, slots, form.ffn)
  },
  end: (pass, at, layer, out, residual) => {
    const { backend, config: { dim }, multiply, parameters } = pass
    const { ffn } = formOf(pass, layer)
    const { experts } = parameters.layers[layer]!.routed!
    const own = at.routed!
    const { space } = own
    const chosen = own.chosen!
    const slots = chosen.token.length
    const hidden = space.reals("routed.hidden", slots * ffn)
    const y = space.reals("routed.x", slots * dim)
    perExpert(
      backend,
      chosen,
      (e, n, cut) => multiply(cut(y, dim), cut(hidden, ffn), experts[e]!.down, null, n, ffn, dim)
    )
    weigh(backend, own, y, chosen.weight, dim)
    if (residual === null) backend.zero(out)
    else if (residual !== out) backend.copy(out, residual)
    backend.embedBackward(out, y, space.ints("routed.tokens", chosen.token), dim)
  },
  backward: (pass, at, layer, dX, dOut, x, rows) => {
    const { backend, config: { dim }, gradients, parameters } = pass
    const form = formOf(pass, layer)
    const { ffn } = form
    const { experts, router } = parameters.layers[layer]!.routed!
    const g = gradients.layers?.[layer]?.routed
    const own = at.routed!
    const { space } = own
    const chosen = own.chosen!
    const slots = chosen.token.length
    const tokens = space.ints("routed.tokens", chosen.token)
    const hidden = space.reals("routed.hidden", slots * ffn)
    const dHidden = space.reals("routed.dHidden", slots * ffn)
    const dY = space.reals("routed.dY", slots * dim)
    backend.swiglu(hidden, own.gateUp, slots, ffn)
    backend.gatherRows(dY, dOut, tokens, dim)
    perExpert(backend, chosen, (e, n, cut) => {
      const into = { dX: cut(dHidden, ffn), accumulate: false, dW: null, dBias: null }
      backend.linearBackward(into, cut(dY, dim), cut(hidden, ffn), experts[e]!.down, n, ffn, dim)
    })
    // ⟨dOut, down h⟩ = ⟨downᵀ dOut, h⟩
    const [dh, h] = [backend.read(dHidden), backend.read(hidden)]
    const dWeight = Float64Array.from(chosen.weight, (_, s) => {
      let sum = 0
      for (let i = s * ffn; i < (s + 1) * ffn; i++) sum += dh[i]! * h[i]!
      return sum
    })
    weigh(backend, own, dY, chosen.weight, dim)
    if (g !== undefined && g !== null) {
      perExpert(backend, chosen, (e, n, cut) => {
        const into = { dX: null, accumulate: false, dW: g.experts[e]!.down, dBias: null }
        backend.linearBackward(into, cut(dY, dim), cut(hidden, ffn), experts[e]!.down, n, ffn, dim)
      })
    }
    perExpert(backend, chosen, (e, n, cut) => {
      const into = { dX: cut(dHidden, ffn), accumulate: false, dW: null, dBias: null }
      backend.linearBackward(into, cut(dY, dim), cut(hidden, ffn), experts[e]!.down, n, ffn, dim)
    })
    backend.swigluBackward(own.gateUp, dHidden, own.gateUp, slots, ffn)
    const read = x()
    const taken = space.reals("routed.x", slots * dim)
    backend.gatherRows(taken, read, tokens, dim)
    perExpert(backend, chosen, (e, n, cut) => {
      const into = { dX: cut(dY, dim), accumulate: false, dW: g?.experts[e]!.gateUp ?? null, dBias: null }
      backend.linearBackward(into, cut(own.gateUp, 2 * ffn), cut(taken, dim), experts[e]!.gateUp, n, dim, 2 * ffn)
    })
    const dLogits = space.reals("routed.dLogits", rows * form.experts)
    backend.write(dLogits, chosenBackward(chosen, dWeight, form))
    const into = { dX, accumulate: false, dW: g?.router ?? null, dBias: null }
    backend.linearBackward(into, dLogits, read, router, rows, dim, form.experts)
    backend.embedBackward(dX, dY, tokens, dim)
  }
}
