/** SmolLM 3: every fourth layer has no rotation (NoPE). */
import { type Architecture, decoder, layersOf, layerTypes, rotated, windowsOf } from "./reading.ts"

export const smollm3: Architecture = {
  type: "smollm3",
  prefix: "SmolLM3",
  read: (of) => {
    const rope = { theta: 2_000_000 }
    const model = decoder(of, { kvHeads: 4, context: 32_768, bos: 128_000, eos: 128_001, tied: true })
    const interval = of.size("no_rope_layer_interval", 4)
    const list = of.value("no_rope_layers") ??
      Array.from({ length: model.layers }, (_, i) => Number((i + 1) % interval !== 0))
    // 1 is a layer with a rotation, in spite of the name.
    const turns = Array.isArray(list) ? list.map((one) => one === 1 || one === true) : []
    if (turns.length < model.layers) of.wrong(`no_rope_layers must be a list of ${model.layers} zeros and ones`)
    const size = of.value("sliding_window")
    const used = of.flag("use_sliding_window", false) && size != null
    const types = layerTypes(
      of,
      model.layers,
      (i) => used && turns[i] !== true ? "sliding_attention" : "full_attention"
    )
    const windows = used ? windowsOf(of, types, model.context, null) : types.map(() => 0)
    const bias = of.flag("attention_bias", false)
    return {
      ...model,
      ...rotated(of, model, { rope }),
      blocks: layersOf(windows, (i) => turns[i] === true ? 0 : null),
      qkvBias: bias,
      outBias: bias,
      mlpBias: of.flag("mlp_bias", false)
    }
  }
}
