/**
 * Completions of a policy: `completionsPerPrompt` for each prompt, drawn independently. They are an artefact of their
 * own, so every stage that chooses among them (`Score`, `Select`, `Pair`, `BestOfN`, a random control) uses the same
 * candidates without sampling again. Candidate k of prompt i has its own seed, independent of batches. Done by
 * `src/stages/sample.ts`, which goes on behind the batches that it kept.
 *
 * With `ask` the policy sees a context that the rows do not keep: their prompt stays bare. Rows that are completions already are written
 * anew, by a template with `{{completion}}`. `Sample.prompts` makes a prompt of each completion.
 */
import * as Schema from "effect/Schema"
import { Ask, mistakes as askMistakes } from "../Ask.ts"
import type { Computed } from "../Data.ts"
import { build, define } from "../Definition.ts"
import { Count, Fraction, NonNegative, or, precision, Seed } from "../Training.ts"
import { type Checked, type Given, model } from "../Wires.ts"

export class Sample extends Schema.TaggedClass<Sample>()("Sample", {
  completionsPerPrompt: Count,
  /** 0 is greedy. The law of the candidates is the policy's at this temperature, not at 1. */
  temperature: or(NonNegative, 1),
  /** Keep the k most likely tokens; 0 for all. */
  topK: or(Schema.Natural, 0),
  /** Keep the smallest set of tokens with at least this probability; 1 for all. */
  topP: or(Fraction.pipe(Schema.check(Schema.isGreaterThan(0, { message: "must be above 0" }))), 1),
  /** Longest completion, tokens. */
  maxNewTokens: Count,
  ask: Schema.optionalKey(Ask),
  /** Prompts in place of completions: the texts, without white space around them; empty texts are left out and counted. */
  makes: Schema.optionalKey(Schema.Literal("Prompts")),
  /** Prompts answered at a time: bounds the memory of a call. */
  batchSize: or(Count, 64),
  /** Batches between checkpoints: the most that a crash loses. A stop or a cap loses none. */
  checkpointEvery: or(Count, 10),
  precision,
  seed: Seed
}) {}

const wires = {
  policy: model(["BaseModel", "Policy"], "the policy that writes, e.g. the output of Sft.make(…)"),
  prompts: {
    kinds: ["Prompts", "Completions"],
    needs: "instructions, e.g. Source.prompts(…), or completions to write anew",
    model: false,
    optional: false
  },
  examples: {
    kinds: ["Prompts", "Demonstrations"],
    needs: "examples to show before a prompt, e.g. Source.demonstrations(…)",
    model: false,
    optional: true
  }
} as const

export const definition = define(Sample, wires, {
  main: "policy",
  opens: { frozen: ["policy"] },
  mistakes: ({ ask, completionsPerPrompt, temperature, topK }, { examples, prompts }) => {
    const greedy = temperature === 0 ? "temperature 0" : topK === 1 ? "topK 1" : undefined
    return [
      greedy !== undefined && completionsPerPrompt > 1 && ask?.shots === undefined &&
      `${greedy} is greedy, so the ${completionsPerPrompt} completions of a prompt would all be the same: ask for 1, or sample`,
      ...askMistakes("ask", ask, examples !== undefined),
      prompts?.node.kind === "Completions" && ask?.template?.includes("completion") !== true &&
      "the rows on prompts are completions, and nothing asks for them: give ask a template with {{completion}}"
    ]
  },
  makes: ({ makes }) => ({ kind: makes === "Prompts" ? makes : "Completions", family: "" }),
  rows: ({ completionsPerPrompt }, { prompts }) => prompts * completionsPerPrompt,
  candidates: ({ completionsPerPrompt }) => completionsPerPrompt
})

interface Constructor<K extends "Completions" | "Prompts"> {
  <W extends Given>(
    connected: Checked<"Sample", typeof wires, "policy", W>,
    params: Omit<typeof Sample["~type.make.in"], "makes">
  ): Computed<W, K>
}

export const make: Constructor<"Completions"> = (connected, params) => build(definition, connected, params)
/** The completions as new prompts (Bai et al. 2022, arXiv 2204.05862, section 2.2): their texts, bare of what was asked. */
export const prompts: Constructor<"Prompts"> = (connected, params) =>
  build(definition, connected, { ...params, makes: "Prompts" })
