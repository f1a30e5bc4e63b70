/**
 * Completions of a policy: `completionsPerPrompt` for each prompt, drawn independently. They are an artefact of their
 * own, so every stage that chooses among them (`Score`, `Select`, `Pair`, `BestOfN`, a random control) uses the same
 * candidates without sampling again. Candidate k of prompt i has its own seed, independent of batches. Done by
 * `src/stages/sample.ts`, which goes on behind the batches that it kept.
 */
import * as Schema from "effect/Schema"
import { constructs } from "../Constructs.ts"
import { define } from "../Definition.ts"
import { Count, Fraction, NonNegative, or, precision, Seed } from "../Training.ts"
import { data, model } from "../Wires.ts"

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
  /** Prompts answered at a time: bounds the memory of a call. */
  batchSize: or(Count, 64),
  /** Batches between checkpoints: the most that a crash loses. A stop or a cap loses none. */
  checkpointEvery: or(Count, 10),
  precision,
  seed: Seed
}) {}

export const definition = define(Sample, {
  policy: model(["BaseModel", "Policy"], "the policy that writes, e.g. the output of Sft.make(…)"),
  prompts: data("Prompts", "instructions, e.g. Source.prompts(…)")
}, {
  main: "policy",
  opens: { frozen: ["policy"] },
  mistakes: ({ completionsPerPrompt, temperature, topK }) => {
    const greedy = temperature === 0 ? "temperature 0" : topK === 1 ? "topK 1" : undefined
    return greedy === undefined || completionsPerPrompt === 1 ? [] : [
      `${greedy} is greedy, so the ${completionsPerPrompt} completions of a prompt would all be the same: ask for 1, or sample`
    ]
  },
  makes: "Completions",
  rows: ({ completionsPerPrompt }, { prompts }) => prompts * completionsPerPrompt,
  candidates: ({ completionsPerPrompt }) => completionsPerPrompt
})

export const make = constructs(definition)
