/** The errors that a stage can end with. An artefact's type lists the errors of everything it depends on. */
import * as Schema from "effect/Schema"
import { type Resource, resources } from "./Budget.ts"
import { size } from "./Size.ts"

/** The measured KL from the initial model passed its cap; the last checkpoint within it was kept. */
export class KlBudgetExceeded extends Schema.TaggedError<KlBudgetExceeded>()("KlBudgetExceeded", {
  stage: Schema.String,
  step: Schema.Number,
  /** Of KL over held prompts. */
  statistic: Schema.Literals(["mean", "p95", "max"]),
  /** Measured, milli-nats per sequence. */
  spent: Schema.Number,
  /** Of the mean. */
  standardError: Schema.Number,
  cap: Schema.Number,
  /** Completions that were measured; absent in old logs. */
  samples: Schema.optionalKey(Schema.Number),
  /** Whether they do not tell on which side of the cap it is, which counts as passed. */
  undecided: Schema.optionalKey(Schema.Literal(true)),
  /** Where the last checkpoint within the cap is, and at which step it was taken. */
  kept: Schema.String,
  keptStep: Schema.Number
}) {
  override get message() {
    const spent = this.statistic === "mean"
      ? `${this.spent} ± ${this.standardError} mnats of KL per sequence`
      : `${this.spent} mnats of KL per sequence (${this.statistic} over prompts)`
    const found = this.undecided
      ? `; ${this.samples} completions do not tell it from the cap of ${this.cap}, which counts as passed. `
      : `; the cap is ${this.cap}. `
    return `${this.stage} spent ${spent} at step ${this.step}${found}Kept: step ${this.keptStep}, ${this.kept}. ` +
      `Raise the cap, ${
        this.undecided ? "raise measureMost, " : ""
      }lower the learning rate, run fewer steps, or raise beta where there is one.`
  }
}

/** A loss, reward, gradient or KL was not finite; the last good checkpoint was kept. */
export class Diverged extends Schema.TaggedError<Diverged>()("Diverged", {
  stage: Schema.String,
  step: Schema.Number,
  quantity: Schema.String,
  value: Schema.String,
  kept: Schema.String,
  /** Default: that of a step of training. */
  remedy: Schema.optionalKey(Schema.String)
}) {
  override get message() {
    const remedy = this.remedy ??
      "Lower the learning rate, clip gradients harder, or look at the data of this step."
    return `${this.stage}: ${this.quantity} is ${this.value} at step ${this.step}. Kept: ${this.kept}. ${remedy}`
  }
}

/** The remedy where nothing was trained, so that no learning rate can be at fault. */
export const unsoundWeights =
  "The weights give no finite numbers: look for NaN in them (a file from elsewhere, or float16 beyond its range), or at the prompts."

/** An amount with its unit, for people. */
export const shown = (resource: Resource, n: number, currency = "of the currency"): string => {
  const count = n.toLocaleString("en-US")
  switch (resource) {
    case "generated":
    case "trained":
      return `${count} tokens ${resource}`
    case "flops":
      return `${n.toPrecision(4)} FLOPs`
    case "memory":
      return `${size(n)} of memory held by the backend`
    case "disk":
      return `${size(n)} on disk`
    case "money":
      return `${(n / 1e6).toFixed(n < 1e5 ? 6 : 2)} ${currency}`
    default:
      return `${count} ${resource}`
  }
}

/** A resource other than KL passed its cap. */
export class BudgetExceeded extends Schema.TaggedError<BudgetExceeded>()("BudgetExceeded", {
  stage: Schema.String,
  dimension: Schema.Literals(resources),
  /** In the unit of `Budget.units`, as the cap. */
  spent: Schema.Number,
  cap: Schema.Number,
  /** How many stages share the cap; 1 when it is the stage's own. */
  stages: Schema.Natural,
  /** Of money. */
  currency: Schema.optionalKey(Schema.String),
  /** Whether `spent` is with the next question to a judge, which was not asked. */
  next: Schema.optionalKey(Schema.Literal(true)),
  kept: Schema.String
}) {
  override get message() {
    const amount = (n: number): string => shown(this.dimension, n, this.currency)
    const [one, many] = this.next ? ["would have used", "would have used"] : ["has used", "have used"]
    const most = this.next ? " at most with its next question, which was not asked" : ""
    const said = this.stages === 1
      ? `${this.stage} ${one} ${amount(this.spent)}${most}; its cap is ${amount(this.cap)}`
      : `${this.stage}: the ${this.stages} stages under one cap ${many} ${amount(this.spent)} together${most}; ` +
        `their total is capped at ${amount(this.cap)}`
    // A checkpoint holds the optimiser's moments beside the model.
    const less = this.dimension === "disk" ? "set checkpointEvery to no less than its steps" : "shorten the stage"
    return `${said}. Kept: ${this.kept}. Raise the cap and run it again, which goes on from there, or ${less}.`
  }
}

/** A stage needs more memory than its backend can address, seen before anything is trained, or than its device had left. */
export class OutOfMemory extends Schema.TaggedError<OutOfMemory>()("OutOfMemory", {
  stage: Schema.String,
  /** The stage's activity: opening its models, sampling, …; or the kernel that asked for too much memory. */
  phase: Schema.String,
  /** Bytes that the stage needs at least, with 32-bit reals; or that the kernel asked for. */
  needed: Schema.Number,
  available: Schema.Number,
  /** The needed memory by purpose, largest first; empty if a kernel ran out of memory. */
  terms: Schema.Array(Schema.Struct({ what: Schema.String, bytes: Schema.Number })),
  /** Changes that fit by the plan; without a plan, common advice. */
  remedy: Schema.optionalKey(Schema.String)
}) {
  override get message() {
    if (this.terms.length === 0) {
      return `${this.stage}: ${this.phase} asked for ${size(this.needed)} more and the device had ` +
        `${size(this.available)} left. The last checkpoint is kept. ` +
        `Set recompute, train on fewer rows at a time, or take a smaller model.`
    }
    const largest = this.terms.slice(0, 3).map(({ bytes, what }) => `${size(bytes)} ${what}`).join(", ")
    return `${this.stage} needs at least ${size(this.needed)} (${largest}); this backend can address ` +
      `${size(this.available)}, and ${this.phase} would exceed it. ` +
      (this.remedy ?? `Take the native backend, set recompute, train on fewer rows at a time, or take a smaller model.`)
  }
}

/** Models that are not of the same network: other tensors, shapes, configuration or tokenizer. */
export class Unmergeable extends Schema.TaggedError<Unmergeable>()("Unmergeable", {
  stage: Schema.String,
  /** The two models, by their names in the merge (`base` is the base). */
  models: Schema.Tuple([Schema.String, Schema.String]),
  /** The first thing that differs: a tensor, a field of `config.json`, or a file. */
  tensor: Schema.String,
  problem: Schema.String,
  /** How many things differ. */
  mismatches: Schema.Natural
}) {
  override get message() {
    const more = this.mismatches > 1 ? ` (and ${this.mismatches - 1} more)` : ""
    return `${this.stage} cannot merge ${this.models[0]} and ${
      this.models[1]
    }: ${this.tensor}: ${this.problem}${more}. ` +
      `Merge models that were trained from one checkpoint.`
  }
}

/** A candidate fell behind the previous model by more than its gate tolerates. */
export class GateFailed extends Schema.TaggedError<GateFailed>()("GateFailed", {
  stage: Schema.String,
  /** The guards that failed: the mean loss against the previous model, in the unit of the metric, and the tolerance. */
  guards: Schema.Array(
    Schema.Struct({
      metric: Schema.String,
      loss: Schema.Number,
      standardError: Schema.Number,
      tolerance: Schema.Number
    })
  )
}) {
  override get message() {
    const guards = this.guards.map(({ loss, metric, standardError, tolerance }) =>
      `${metric} is worse by ${loss.toFixed(3)} ± ${standardError.toFixed(3)} (tolerance ${tolerance})`
    )
    return `${this.stage}: the candidate falls behind the previous model: ${guards.join("; ")}. ` +
      `Train it less far, raise the tolerance, or let the gate roll back: otherwise: "roll-back".`
  }
}

/** Data that a stage cannot use. */
export class UnusableData extends Schema.TaggedError<UnusableData>()("UnusableData", {
  stage: Schema.String,
  problem: Schema.String,
  remedy: Schema.String
}) {
  override get message() {
    return `${this.stage}: ${this.problem}. ${this.remedy}`
  }
}

/** A judge gives no answers, or none that can be read. Those it gave are kept. */
export class JudgeFailed extends Schema.TaggedError<JudgeFailed>()("JudgeFailed", {
  stage: Schema.String,
  /** Its model and host. */
  judge: Schema.String,
  problem: Schema.String,
  remedy: Schema.String
}) {
  override get message() {
    return `${this.stage}: its judge ${this.judge} fails: ${this.problem}. ${this.remedy}`
  }
}

/** A loss, reward, verifier or environment from outside Keel threw, or returned a result that is none. */
export class BrokenExtension extends Schema.TaggedError<BrokenExtension>()("BrokenExtension", {
  stage: Schema.String,
  kind: Schema.Literals(["preference loss", "policy loss", "reward", "verifier", "environment"]),
  name: Schema.String,
  problem: Schema.String
}) {
  override get message() {
    const law = this.kind.endsWith("loss") ? "laws.ownLoss" : `laws.${this.kind}`
    return `${this.stage}: the ${this.kind} ${this.name} ${this.problem}. ` +
      `Mend its function (${law} of keel/testing tests it) and run again: finished stages and checkpoints are kept.`
  }
}

/** Programs of completions cannot be run in isolation here. */
export class NoSandbox extends Schema.TaggedError<NoSandbox>()("NoSandbox", {
  stage: Schema.String,
  language: Schema.Literals(["python", "javascript", "typescript"]),
  problem: Schema.String,
  remedy: Schema.String
}) {
  get detail() {
    return `the ${this.language} of completions is not run, because ${this.problem}. ${this.remedy}`
  }
  override get message() {
    return `${this.stage}: ${this.detail}`
  }
}

/** The errors of training stages. */
export type TrainingError = Diverged | BudgetExceeded | UnusableData
