import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { backends } from "../program/backend.ts"
import { generate as generated } from "../program/model.ts"
import { device, deviceOption, json } from "./options.ts"

/** Fills up to the end of the context when --max-tokens asks for more. */
export const generate = Command.make(
  "generate",
  {
    model: Argument.String("model").pipe(Argument.withDescription("A Hugging Face folder of the Llama family")),
    prompt: Flag.String("prompt").pipe(Flag.withDescription("Text to continue"), Flag.withDefault("")),
    greedy: Flag.Boolean("greedy").pipe(Flag.withDescription("Always the most likely token"), Flag.withDefault(false)),
    maxTokens: Flag.Int("max-tokens").pipe(
      Flag.withDescription("Most new tokens (default 128)"),
      Flag.withDefault(128)
    ),
    temperature: Flag.Finite("temperature").pipe(Flag.withDescription("Default 1; 0 is greedy"), Flag.withDefault(1)),
    topK: Flag.Int("top-k").pipe(
      Flag.withDescription("Sample from the k likeliest tokens; 0 for all"),
      Flag.withDefault(0)
    ),
    topP: Flag.Finite("top-p").pipe(
      Flag.withDescription("Sample from the likeliest with this probability"),
      Flag.withDefault(1)
    ),
    seed: Flag.Int("seed").pipe(Flag.withDefault(0)),
    chat: Flag.Boolean("chat").pipe(
      Flag.withDescription("Put the prompt into the model's chat template as a user's message"),
      Flag.withDefault(false)
    ),
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
