/**
 * Supervised (instruction) fine-tuning: cross-entropy on demonstrations, zero loss on the prompt,
 * L = −Σ_t m_t log π(y_t | x, y_<t) / N (InstructGPT, Ouyang et al. 2022, §3.5). Trained by `src/stages/sft.ts`, loss in
 * `src/losses/crossEntropy.ts`.
 */
import * as Schema from "effect/Schema"
import { constructs } from "../Constructs.ts"
import { define } from "../Definition.ts"
import { Count, or, passes, training } from "../Training.ts"
import { judgedBy, keeping, keepMistakes } from "../Keep.ts"
import { masking, truncating, Truncation } from "../Truncation.ts"
import { data, model, optional } from "../Wires.ts"

const Share = Schema.Finite.check(
  Schema.makeFilter((share: number) => share > 0 && share < 1 || "must be above 0 and below 1")
)

export class Sft extends Schema.TaggedClass<Sft>()("Sft", {
  ...passes,
  /** Demonstrations per optimiser step. */
  batchSize: Count,
  /**
   * Most tokens, prompts included, per optimiser step: a batch ends before it would hold more (packing). Batches are packed without
   * padding and sequences never see one another, so this only changes which demonstrations meet in a step.
   */
  batchTokens: Schema.optionalKey(Count),
  /**
   * The learned part. `completion`: the answer, of a conversation the assistant's last turn. `assistant`: every turn of
   * the assistant in a conversation, not of the system, the user or tools (TRL `assistant_only_loss`). `all`: the
   * prompt too (TRL `completion_only_loss: false`).
   */
  loss: or(Schema.Literals(["completion", "assistant", "all"]), "completion"),
  /** `token-mean` over the whole batch, or `sum` (Tülu 3 §4.3.2). */
  reduction: or(Schema.Literals(["token-mean", "sum"]), "token-mean"),
  /**
   * Share of the sequences of a step that are documents of `pretraining`, on average: `batchSize` demonstrations and more documents, whose
   * every token is learnt (InstructGPT, App. C.1: 10 % in the SFT that PPO starts from).
   */
  pretrainingShare: Schema.optionalKey(Share),
  ...truncating,
  ...masking,
  /** As `truncating` has it; the default is written out, as it was before other stages had the field, so that ids stay. */
  truncation: or(Truncation, "error"),
  ...keeping,
  ...training
}) {}

export const definition = define(Sft, {
  base: model(["BaseModel", "Policy"], "the model to fine-tune, e.g. Checkpoint.huggingFace(…) or Pretrain.make(…)"),
  demonstrations: data("Demonstrations", "prompts with answers, e.g. Source.demonstrations(…)"),
  pretraining: optional(data("Text", "text that pretrainingShare mixes in, e.g. Source.text(…)")),
  validation: optional(data("Demonstrations", "held-out demonstrations, for keep, e.g. Source.demonstrations(…)")),
  reward: judgedBy,
  held: optional(data("Prompts", "held-out instructions, for keep, e.g. Source.prompts(…)"))
}, {
  main: "base",
  parent: "base",
  opens: { trained: ["base"], frozen: ["reward"] },
  judges: { held: [], validation: [] },
  passesOver: "demonstrations",
  mistakes: ({ batchTokens = Infinity, loss, mask = "none", maxLength = 0, pretrainingShare, ...stage }, wires) => [
    mask === "template" && loss === "all" &&
    'mask "template" is about answers, and loss "all" learns prompts with their templates too: take loss "completion" or "assistant"',
    pretrainingShare === undefined && wires.pretraining !== undefined &&
    "pretraining has no use without a pretrainingShare: give it, or leave the text out",
    pretrainingShare !== undefined && wires.pretraining === undefined &&
    "Sft.pretraining is missing: pretrainingShare mixes in text, e.g. Source.text(…)",
    pretrainingShare !== undefined && batchTokens < Infinity &&
    "batchTokens packs demonstrations alone: leave it out, or pretrainingShare",
    ...keepMistakes(stage, wires, { loss: ["validation"], proxy: ["reward", "held"] }, [
      "validation",
      "reward",
      "held"
    ]),
    maxLength > batchTokens &&
    `maxLength ${maxLength} is more than batchTokens ${batchTokens}: such a row fits no batch; raise batchTokens`
  ],
  makes: "Policy"
})

export const make = constructs(definition)
