/** Llama, and the architectures that differ from it in biases, windows and the norm of queries and keys. */
import type { FieldReader } from "../fields.ts"
import { type Architecture, decoder, type Defaults, layerTypes, rotated, windowsOf } from "./reading.ts"

const llamaDefaults: Defaults = { kvHeads: null, context: 2048, bos: 1, eos: 2 }

export const llama: Architecture = {
  type: "llama",
  prefix: "Llama",
  ignored: ["sliding_window", "layer_types"],
  read: (of) => {
    const model = decoder(of, llamaDefaults)
    const bias = of.flag("attention_bias", false)
    return { ...model, ...rotated(of, model), qkvBias: bias, outBias: bias, mlpBias: of.flag("mlp_bias", false) }
  }
}

export const mistral: Architecture = {
  type: "mistral",
  prefix: "Mistral",
  ignored: ["attention_bias", "use_sliding_window", "max_window_layers"],
  read: (of) => {
    const model = decoder(of, { kvHeads: 8, context: 131_072, bos: 1, eos: 2 })
    const types = layerTypes(of, model.layers, () => "sliding_attention")
    if (types.includes("full_attention")) {
      of.wrong("layer_types has full_attention, and every layer of a mistral has the same window")
    }
    return { ...model, ...rotated(of, model, { windows: windowsOf(of, types, model.context, 4096) }) }
  }
}

/** The layers from `max_window_layers` on have a window, where it is in use; or those that `layer_types` names. */
export const qwenWindows = (of: FieldReader, layers: number, context: number): ReadonlyArray<number> => {
  const used = of.flag("use_sliding_window", false) && of.value("sliding_window") !== null
  const full = of.size("max_window_layers", 28, undefined, 0)
  const types = layerTypes(of, layers, (i) => used && i >= full ? "sliding_attention" : "full_attention")
  if (types.includes("sliding_attention") && !used) {
    of.wrong("layer_types has sliding_attention but sliding_window is not in use")
  }
  return windowsOf(of, types, context, 4096)
}

const qwen2Defaults: Defaults = { kvHeads: 32, context: 32_768, bos: null, eos: null }

export const qwen2: Architecture = {
  type: "qwen2",
  prefix: "Qwen2",
  ignored: ["attention_bias"],
  read: (of) => {
    const model = decoder(of, qwen2Defaults)
    return { ...model, ...rotated(of, model, { windows: qwenWindows(of, model.layers, model.context) }), qkvBias: true }
  }
}

/** A Qwen 2 with further heads that predict the tokens after the next. Post-training leaves them alone, and so do sampling and losses. */
export const mimo: Architecture = {
  ...qwen2,
  type: "mimo",
  prefix: "MiMo",
  ignored: ["attention_bias", "num_nextn_predict_layers"],
  carried: /^model\.mtp_layers\./u
}

export const qwen3: Architecture = {
  type: "qwen3",
  prefix: "Qwen3",
  read: (of) => {
    const model = decoder(of, { ...qwen2Defaults, headDim: 128 })
    const bias = of.flag("attention_bias", false)
    const windows = qwenWindows(of, model.layers, model.context)
    return { ...model, ...rotated(of, model, { windows }), qkvBias: bias, outBias: bias, qkNorm: "heads" }
  }
}
