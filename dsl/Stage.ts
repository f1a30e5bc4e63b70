/**
 * The closed set of operations. Adding one here makes every interpreter fail to compile until it says what it does with it.
 */
import { Schema } from "effect"
import { Caps } from "./Budget.ts"
import * as CheckpointFile from "./Checkpoint.ts"
import type { Definition } from "./Definition.ts"
import * as SourceFile from "./Source.ts"
import * as CompareFile from "./stages/Compare.ts"
import * as DistillFile from "./stages/Distill.ts"
import * as EnsembleFile from "./stages/Ensemble.ts"
import * as EvaluateFile from "./stages/Evaluate.ts"
import * as OnPolicyDistillFile from "./stages/OnPolicyDistill.ts"
import * as PpoFile from "./stages/Ppo.ts"
import * as PretrainFile from "./stages/Pretrain.ts"
import * as RewardModelingFile from "./stages/RewardModeling.ts"
import * as SftFile from "./stages/Sft.ts"
import type { Kind } from "./Artifact.ts"

export const Kinds = Schema.Literals([
  "BaseModel",
  "Policy",
  "RewardModel",
  "ValueModel",
  "Text",
  "Prompts",
  "Demonstrations",
  "Preferences",
  "Rankings",
  "UnpairedPreferences",
  "Stepwise",
  "Completions",
  "Evaluation"
])

/** An artefact that is not described here but connected later with `Pipeline.connect`. */
export class Input extends Schema.TaggedClass<Input>()("Input", {
  name: Schema.NonEmptyString,
  kind: Kinds,
  /** Family of a model, `""` of data. */
  family: Schema.String
}) {}

/** Caps on everything between its wires `from` and `of`. */
export class Cap extends Schema.TaggedClass<Cap>()("Cap", Caps.fields) {}

/** What any node's operation can be, with its parameters. */
export const Stage = Schema.Union([
  Input,
  Cap,
  SourceFile.Source,
  CheckpointFile.Checkpoint,
  PretrainFile.Pretrain,
  SftFile.Sft,
  CompareFile.Compare,
  RewardModelingFile.RewardModeling,
  EnsembleFile.Ensemble,
  PpoFile.Ppo,
  DistillFile.Distill,
  OnPolicyDistillFile.OnPolicyDistill,
  EvaluateFile.Evaluate
]).pipe(Schema.toTaggedUnion("_tag"))
export type Stage = typeof Stage.Type

const anyKind: ReadonlyArray<Kind> = Kinds.literals

const input = {
  op: "Input",
  schema: Input,
  wires: {},
  main: "",
  makes: (params) => ({ kind: params["kind"] as Kind, family: String(params["family"]) })
} as const satisfies Definition

const cap = {
  op: "Cap",
  schema: Cap,
  wires: {
    of: { kinds: anyKind, model: false, optional: false, needs: "the artefact to cap" },
    from: {
      kinds: ["BaseModel", "Policy"],
      model: false,
      optional: true,
      needs: "the initial model that KL is measured from, e.g. from: sft"
    }
  },
  main: "of",
  parent: "of",
  makes: (_, wires) => ({ kind: wires["of"]?.node.kind ?? "Policy", family: wires["of"]?.node.family ?? "" })
} as const satisfies Definition

export const definitions = {
  Input: input,
  Cap: cap,
  Source: SourceFile.definition,
  Checkpoint: CheckpointFile.definition,
  Pretrain: PretrainFile.definition,
  Sft: SftFile.definition,
  Compare: CompareFile.definition,
  RewardModeling: RewardModelingFile.definition,
  Ensemble: EnsembleFile.definition,
  Ppo: PpoFile.definition,
  Distill: DistillFile.definition,
  OnPolicyDistill: OnPolicyDistillFile.definition,
  Evaluate: EvaluateFile.definition
} as const satisfies { readonly [Op in Stage["_tag"]]: Definition }

/** The definition of an operation, or undefined for a name that is none. */
export const definitionOf = (op: string): Definition | undefined =>
  Object.hasOwn(definitions, op) ? definitions[op as keyof typeof definitions] : undefined
