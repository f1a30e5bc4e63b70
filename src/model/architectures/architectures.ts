/** The architectures that can be loaded. */
import { cohere2 } from "./cohere2.ts"
import { gemma2, gemma3 } from "./gemma.ts"
import { gpt2 } from "./gpt2.ts"
import { gptNeox } from "./gptNeox.ts"
import { llama, mimo, mistral, qwen2, qwen3 } from "./llama.ts"
import { olmo2, olmo3 } from "./olmo.ts"
import { phi3 } from "./phi3.ts"
import type { Architecture } from "./reading.ts"
import { mixtral, olmoe, qwen3Moe } from "./routed.ts"
import { smollm3 } from "./smollm3.ts"

/** By `model_type`. */
export const architectures: ReadonlyMap<string, Architecture> = new Map(
  [
    llama,
    mistral,
    qwen2,
    qwen3,
    mimo,
    olmo2,
    olmo3,
    smollm3,
    gemma2,
    gemma3,
    phi3,
    cohere2,
    gpt2,
    gptNeox,
    qwen3Moe,
    olmoe,
    mixtral
  ].map((one) => [one.type, one])
)
