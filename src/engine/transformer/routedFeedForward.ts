import type { Backend, Tensor } from "../../tensor/backend.ts"
import type { RoutedActivations } from "./activations.ts"
import { choose, type Chosen, chosenBackward } from "./routing.ts"
import type { Pass, Sublayer } from "./sublayer.ts"

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
