/**
 * Distillation from text that is not the student's own: the teacher's answers to `prompts`, or ready `demonstrations`
 * (the teacher's samples, for sequence-level distillation in the sense of Kim and Rush 2016). The objective chooses the
 * target: whole answers, or the teacher's distribution at every token of them. The teacher may be of another size; it
 * shares the tokenizer. The student samples no answers and spends no KL allowance. Trained by `src/stages/distill.ts`,
 * losses in `src/losses/{crossEntropy,distill}.ts`.
 */
import * as Schema from "effect/Schema"
import { Ask, mistakes as askMistakes } from "../Ask.ts"
import type { Trained } from "../Constructs.ts"
import { build, define } from "../Definition.ts"
import { SequenceLevel, TokenDivergence } from "../Distillation.ts"
import { Count, or, passes, Positive, training } from "../Training.ts"
import { judgedBy, keeping, keepMistakes } from "../Keep.ts"
import { masking, truncating } from "../Truncation.ts"
import { type Checked, data, type Given, model, optional } from "../Wires.ts"

export class Distill extends Schema.TaggedClass<Distill>()("Distill", {
  objective: Schema.Union([SequenceLevel, TokenDivergence]),
  ...passes,
  /** Answers per optimiser step. */
  batchSize: Count,
  /** Answers that the teacher gives to each prompt, once, before the first step. */
  completionsPerPrompt: or(Count, 1),
  /** Of the teacher's sampling. */
  samplingTemperature: or(Positive, 1),
  /** Longest answer of the teacher, tokens; needed when it is the teacher that answers. */
  maxNewTokens: Schema.optionalKey(Count),
  /** The context in which the teacher answers; the student learns the answer to the bare prompt (context distillation). */
  teacherAsk: Schema.optionalKey(Ask),
  ...truncating,
  ...masking,
  ...keeping,
  ...training
}) {}

export const definition = define(Distill, {
  student: model(["BaseModel", "Policy"], "the model to train, e.g. Checkpoint.huggingFace(…)"),
  teacher: model(["BaseModel", "Policy"], "the model to learn from, of any size"),
  prompts: optional(data("Prompts", "instructions for the teacher to answer, e.g. Source.prompts(…)")),
  demonstrations: optional(data("Demonstrations", "answers, e.g. Source.demonstrations(…)")),
  reward: judgedBy,
  held: optional(data("Prompts", "held-out instructions, for keep, e.g. Source.prompts(…)"))
}, {
  main: "student",
  parent: "student",
  opens: { trained: ["student"], frozen: ["reward"] },
  judges: { held: [] },
  passesOver: ({ completionsPerPrompt }, { prompts }) =>
    prompts === undefined ? ["demonstrations", 1] : ["prompts", completionsPerPrompt],
  mistakes: (
    { completionsPerPrompt, maxNewTokens, objective, teacherAsk, ...stage },
    { demonstrations, held, prompts, reward }
  ) => [
    ...keepMistakes({ ...stage, ...(maxNewTokens === undefined ? {} : { maxNewTokens }) }, { held, reward }, {
      proxy: ["reward", "held"]
    }, [
      "reward",
      "held"
    ]),
    stage.mask === "template" && prompts !== undefined &&
    'mask "template" is about demonstrations, and these answers are the teacher\'s own tokens: leave it out',
    ...askMistakes("teacherAsk", teacherAsk, false),
    teacherAsk !== undefined && prompts === undefined &&
    "teacherAsk is of no use: the demonstrations have answers already; leave it out",
    teacherAsk !== undefined && objective._tag !== "SequenceLevel" &&
    "teacherAsk needs whole answers, Distillation.sequenceLevel: a divergence compares both models on one and the same text",
    ...Object.entries({ maxNewTokens: maxNewTokens !== undefined, completionsPerPrompt: completionsPerPrompt !== 1 })
      .map(([name, given]) =>
        demonstrations !== undefined && given &&
        `${name} is of no use: the demonstrations have answers already; leave it out`
      ),
    (prompts === undefined) === (demonstrations === undefined) &&
    "connect prompts, for the teacher to answer, or demonstrations, and not both",
    prompts !== undefined && maxNewTokens === undefined && "maxNewTokens is missing: how long may an answer be?"
  ],
  makes: "Policy"
})

/** Exactly one of the two sources of answers. */
type CheckedSource<W> = W extends { readonly prompts: unknown; readonly demonstrations: unknown }
  ? { readonly demonstrations: "Distill has prompts and demonstrations: connect one of them" }
  : W extends { readonly prompts: unknown } | { readonly demonstrations: unknown } ? unknown
  : {
    readonly prompts: "Distill has nothing to learn from: connect prompts, for the teacher to answer, or demonstrations"
  }

export const make = <W extends Given>(
  connected: Checked<"Distill", typeof definition.wires, "student", W> & CheckedSource<W>,
  params: typeof Distill["~type.make.in"]
): Trained<W, "Policy", "student"> => build(definition, connected, params)
