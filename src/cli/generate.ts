import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { backends } from "../program/backend.ts"
import { generate as generated } from "../program/model.ts"
import { device, deviceOption, json, off, or } from "./options.ts"

/** Fills up to the end of the context when --max-tokens asks for more. */
export const generate = Command.make(
  "generate",
  {
    model: Argument.String("model").pipe(Argument.withDescription("A Hugging Face folder of the Llama family")),
    prompt: or(Flag.String("prompt"), "", "Text to continue"),
    greedy: off("greedy", "Always the most likely token"),
    maxTokens: or(Flag.Int("max-tokens"), 128, "Most new tokens (default 128)"),
    temperature: or(Flag.Finite("temperature"), 1, "Default 1; 0 is greedy"),
    topK: or(Flag.Int("top-k"), 0, "Sample from the k likeliest tokens; 0 for all"),
    topP: or(Flag.Finite("top-p"), 1, "Sample from the likeliest with this probability"),
    seed: Flag.Int("seed").pipe(Flag.withDefault(0)),
    chat: off("chat", "Put the prompt into the model's chat template as a user's message"),
    backend: Flag.Literals("backend", backends).pipe(Flag.withDefault("auto")),
    device,
    json
  },
  Effect.fn(function*({ device, greedy, json, maxTokens, model, prompt, temperature, ...options }) {
    const [made] = yield* generated(model, [prompt], {
      ...options,
      ...deviceOption(device),
      maxNewTokens: maxTokens,
      temperature: greedy ? 0 : temperature
    })
    const { completion, finished, ids, logps, promptIds, text } = made!
    yield* Console.log(json ? JSON.stringify({ text, completion, prompt_ids: promptIds, ids, logps, finished }) : text)
  })
).pipe(Command.withDescription("Continue a text with a model"))
