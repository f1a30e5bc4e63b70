import type { ModelConfig } from "../../model/architecture.ts"
import { upSize } from "../../model/parameters.ts"
import type { Backend, Tensor } from "../../tensor/backend.ts"
import { product, productBackward, type Sublayer } from "./sublayer.ts"

const geluShape = ({ activation, ffn, gated }: ModelConfig, rows: number) => ({
  rows,
  dim: ffn,
  gated,
  tanh: activation === "geluTanh"
})

/** out [rows, ffn] = activation(gate) · up, or activation(up) without a gate. */
const activate = (backend: Backend, config: ModelConfig, out: Tensor, gateUp: Tensor, rows: number): void => {
  if (config.activation === "silu") backend.swiglu(out, gateUp, rows, config.ffn)
  else backend.gelu(out, gateUp, geluShape(config, rows))
}

/** down · activation of gate and up (Shazeer 2020), or of up alone. */
export const denseFeedForward: Sublayer = {
  forward: (pass, at, layer, x, rows) => {
    const { backend, config } = pass
    product(pass, layer, "gateUp", at.gateUp, x, [rows, config.dim, upSize(config)])
    activate(backend, config, at.gated, at.gateUp, rows)
  },
  end: (pass, at, layer, out, residual, rows) => {
    const { dim, ffn } = pass.config
    product(pass, layer, "down", out, at.gated, [rows, ffn, dim], residual)
  },
  // All layers share `gated`, and the gradient of a gate overwrites the gate.
  backward: (pass, at, layer, dX, dOut, x, rows, fresh) => {
    const { backend, config, space } = pass
    const { activation, dim, ffn } = config
    const dGated = space.reals("dGated", rows * ffn)
    if (!fresh) activate(backend, config, at.gated, at.gateUp, rows)
    productBackward(pass, layer, "down", dGated, dOut, at.gated, [rows, ffn, dim])
    if (activation === "silu") backend.swigluBackward(at.gateUp, dGated, at.gateUp, rows, ffn)
    else backend.geluBackward(at.gateUp, dGated, at.gateUp, geluShape(config, rows))
    productBackward(pass, layer, "gateUp", dX, at.gateUp, x(), [rows, dim, upSize(config)])
  }
}
