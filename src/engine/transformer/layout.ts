import type { ModelConfig, NormPlace } from "../../model/architecture.ts"
import { elements, type Parameter, parameters } from "../../model/parameters.ts"
import type { Backend, Tensor } from "../../tensor/backend.ts"

export interface NormParameters {
  readonly weight: Tensor
  readonly bias: Tensor | null
}

/** The parameters (or gradients) of one layer as the kernels take them; `qkv` and `gateUp` are fused matrices. */
export interface LayerParameters {
  readonly norms: Readonly<Partial<Record<NormPlace, NormParameters>>>
  readonly qkv: Tensor
  readonly qkvBias: Tensor | null
  readonly queryNorm: Tensor | null
  readonly keyNorm: Tensor | null
  readonly out: Tensor
  readonly outBias: Tensor | null
  /** Of a dense feed-forward. */
  readonly gateUp: Tensor | null
  readonly gateUpBias: Tensor | null
  readonly down: Tensor | null
  readonly downBias: Tensor | null
  readonly routed: RoutedParameters | null
}

export interface RoutedParameters {
  /** [experts, dim] */
  readonly router: Tensor
  readonly experts: ReadonlyArray<{ readonly gateUp: Tensor; readonly down: Tensor }>
}

/** Views of one flat buffer. `head` is `embed` itself in a language model with tied embeddings. */
export interface ModelParameters {
  readonly embed: Tensor
  /** Learned positions [context, dim]. */
  readonly positions: Tensor | null
  readonly layers: ReadonlyArray<LayerParameters>
  readonly norm: NormParameters
  /** [vocab, dim] of a policy, [1, dim] of a scorer. */
  readonly head: Tensor
}

/** Gradients in the same places; null for untrained parameters. */
export interface Gradients {
  readonly embed: Tensor | null
  readonly positions: Tensor | null
  readonly layers: ReadonlyArray<LayerParameters> | null
  readonly norm: NormParameters | null
  readonly head: Tensor | null
}

/** A named parameter's place in the flat buffer, elements. */
export interface Place extends Parameter {
  readonly start: number
  readonly length: number
}

export interface Layout {
  readonly places: ReadonlyArray<Place>
  readonly length: number
  /** Cuts a buffer of that length into the kernels' tensors, sharing its memory. */
  readonly view: (flat: Tensor) => ModelParameters
}

export const layout = (backend: Backend, config: ModelConfig, head: ModelConfig["head"]): Layout => {
  let length = 0
  const places = parameters(config, head).map((parameter): Place => {
    const size = elements(parameter.shape)
    const place = { ...parameter, start: length, length: size }
    length += size
    return place
  })
  const at = new Map(places.map((place) => [place.name, place]))
  const view = (flat: Tensor): ModelParameters => {
    // Names that follow each other in the buffer make one fused matrix.
    const take = (...names: ReadonlyArray<string>): Tensor => {
      const fused = names.map((name) => at.get(name)!)
      return backend.slice(flat, fused[0]!.start, fused.reduce((sum, place) => sum + place.length, 0))
    }
    const { names } = config
    const weight = (module: string): Tensor => take(`${module}.weight`)
    const norm = (module: string): NormParameters => ({
      weight: weight(module),
      bias: config.normBias ? take(`${module}.bias`) : null
    })
    const embed = weight(names.embed)
    return {
      embed,
      positions: names.positions === undefined ? null : weight(names.positions),
      norm: norm(names.norm),
      head: head === "score" ? take("score.weight") : config.tied ? embed : weight(names.head),
      layers: Array.from({ length: config.layers }, (_, l): LayerParameters => {
        const of = (module: string): string => `${names.layers}${l}.${module}`
        const fused = (modules: ReadonlyArray<string>, kind: string): Tensor =>
          take(...modules.map((module) => `${of(module)}.${kind}`))
        const { mlp } = config.blocks[l]!
        const dense = mlp.form === "dense"
        return {
          norms: Object.fromEntries(Object.entries(config.norms).map(([place, module]) => [place, norm(of(module))])),
          qkv: fused(names.qkv, "weight"),
          qkvBias: config.qkvBias ? fused(names.qkv, "bias") : null,
          queryNorm: config.qkNorm === false ? null : weight(of("self_attn.q_norm")),
          keyNorm: config.qkNorm === false ? null : weight(of("self_attn.k_norm")),
          out: weight(of(names.out)),
          outBias: config.outBias ? take(`${of(names.out)}.bias`) : null,
          gateUp: dense ? fused(names.up, "weight") : null,
          gateUpBias: dense && config.mlpBias ? fused(names.up, "bias") : null,
          down: dense ? weight(of(names.down)) : null,
          downBias: dense && config.mlpBias ? take(`${of(names.down)}.bias`) : null,
          routed: dense ? null : {
            router: weight(of(mlp.names.router)),
            experts: Array.from({ length: mlp.experts }, (_, e) => {
              const expert = `${mlp.names.experts}${e}.`
              return {
                gateUp: fused([expert + mlp.names.gate, expert + mlp.names.up], "weight"),
                down: weight(of(expert + mlp.names.down))
              }
            })
          }
        }
      })
    }
  }
  return { places, length, view }
}
