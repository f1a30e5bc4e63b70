import { qkvWidth, upSize } from "../../model/parameters.ts"
import type { Tensor } from "../../tensor/backend.ts"
import type { ModelParameters, RoutedParameters } from "./layout.ts"
import type { OpenedModel } from "./openModel.ts"

/** Rows up to which a product with a packed matrix pays: above, a plain product packs on the way at the same cost. */
export const fewRows = 64

/**
 * The parameters with every matrix of a product packed for `linearPacked` (the embedding is only looked up and stays). Packed
 * again only when the parameters have changed since; the memory, once more that of the matrices, stays with the workspace.
 */
export const packedParameters = (
  { backend, config, space, trainable }: Pick<OpenedModel, "backend" | "config" | "space" | "trainable">
): () => ModelParameters => {
  const { dim, ffn, headDim, heads, vocab } = config
  let held: ModelParameters | null = null
  let version = -1
  const pack = (name: string, w: Tensor, inputs: number, outputs: number): Tensor => {
    const packed = space.reals(`packed.${name}`, backend.packedLength(inputs, outputs))
    backend.packWeight(packed, w, inputs, outputs)
    return packed
  }
  const routed = (own: RoutedParameters | null, l: number): RoutedParameters | null => {
    const { mlp } = config.blocks[l]!
    if (own === null || mlp.form !== "routed") return null
    return {
      router: pack(`${l}.router`, own.router, dim, mlp.experts),
      experts: own.experts.map(({ down, gateUp }, e) => ({
        gateUp: pack(`${l}.${e}.gateUp`, gateUp, dim, 2 * mlp.ffn),
        down: pack(`${l}.${e}.down`, down, mlp.ffn, dim)
      }))
    }
  }
  return () => {
    if (held !== null && version === trainable.version()) return held
    const { head, layers } = trainable.parameters
    held = {
      ...trainable.parameters,
      head: pack("head", head, dim, vocab),
      layers: layers.map((p, l) => ({
        ...p,
        qkv: pack(`${l}.qkv`, p.qkv, dim, qkvWidth(config)),
        out: pack(`${l}.out`, p.out, heads * headDim, dim),
        gateUp: p.gateUp && pack(`${l}.gateUp`, p.gateUp, dim, upSize(config)),
        down: p.down && pack(`${l}.down`, p.down, ffn, dim),
        routed: routed(p.routed, l)
      }))
    }
    version = trainable.version()
    return held
  }
}
