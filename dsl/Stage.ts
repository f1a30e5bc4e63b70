/**
 * The closed set of operations. Adding one here makes every interpreter fail to compile until it says what it does with it.
 */
import * as Schema from "effect/Schema"
import type { Any, Kind } from "./Artifact.ts"
import { Caps } from "./Budget.ts"
import * as CheckpointFile from "./Checkpoint.ts"
import type { Definition } from "./Definition.ts"
import * as SourceFile from "./Source.ts"
import * as BestOfNFile from "./stages/BestOfN.ts"
import * as CompareFile from "./stages/Compare.ts"
import * as DecontaminateFile from "./stages/Decontaminate.ts"
import * as DeduplicateFile from "./stages/Deduplicate.ts"
import * as DistillFile from "./stages/Distill.ts"
import * as DpoFile from "./stages/Dpo.ts"
import * as EnsembleFile from "./stages/Ensemble.ts"
import * as EvaluateFile from "./stages/Evaluate.ts"
import * as FilterFile from "./stages/Filter.ts"
import * as GateFile from "./stages/Gate.ts"
import * as GrpoFile from "./stages/Grpo.ts"
import * as KtoFile from "./stages/Kto.ts"
import * as MergeFile from "./stages/Merge.ts"
import * as MixFile from "./stages/Mix.ts"
import * as OnPolicyDistillFile from "./stages/OnPolicyDistill.ts"
import * as PairFile from "./stages/Pair.ts"
import * as PpoFile from "./stages/Ppo.ts"
import * as PretrainFile from "./stages/Pretrain.ts"
import * as RewardModelingFile from "./stages/RewardModeling.ts"
import * as SampleFile from "./stages/Sample.ts"
import * as ScoreFile from "./stages/Score.ts"
import * as SelectFile from "./stages/Select.ts"
import * as SftFile from "./stages/Sft.ts"
import * as SplitFile from "./stages/Split.ts"

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
  "ScoredCompletions",
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
  GrpoFile.Grpo,
  DpoFile.Dpo,
  KtoFile.Kto,
  DistillFile.Distill,
  OnPolicyDistillFile.OnPolicyDistill,
  MergeFile.Merge,
  GateFile.Gate,
  SampleFile.Sample,
  ScoreFile.Score,
  SelectFile.Select,
  PairFile.Pair,
  BestOfNFile.BestOfN,
  MixFile.Mix,
  FilterFile.Filter,
  SplitFile.Split,
  DeduplicateFile.Deduplicate,
  DecontaminateFile.Decontaminate,
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
  Grpo: GrpoFile.definition,
  Dpo: DpoFile.definition,
  Kto: KtoFile.definition,
  Distill: DistillFile.definition,
  OnPolicyDistill: OnPolicyDistillFile.definition,
  Merge: MergeFile.definition,
  Gate: GateFile.definition,
  Sample: SampleFile.definition,
  Score: ScoreFile.definition,
  Select: SelectFile.definition,
  Pair: PairFile.definition,
  BestOfN: BestOfNFile.definition,
  Mix: MixFile.definition,
  Filter: FilterFile.definition,
  Split: SplitFile.definition,
  Deduplicate: DeduplicateFile.definition,
  Decontaminate: DecontaminateFile.definition,
  Evaluate: EvaluateFile.definition
} as const satisfies { readonly [Op in Stage["_tag"]]: Definition }

export const isBuiltIn = (op: string): boolean => Object.hasOwn(definitions, op)

/** The definition of a node's operation: Keel's, or the one that came with it from outside; undefined when there is none. */
export const definitionOf = (
  { definition, op }: { readonly op: string; readonly definition?: Definition | undefined }
): Definition | undefined => isBuiltIn(op) ? definitions[op as keyof typeof definitions] : definition

/** The artefacts that the weights of an artefact come from; several for a merge. */
export const parentsOf = ({ node }: Any): ReadonlyArray<Any> => {
  const { wires } = node
  const definition = definitionOf(node)
  const names = definition?.parents?.(wires) ?? (definition?.parent === undefined ? [] : [definition.parent])
  return names.flatMap((wire) => wires[wire] ?? [])
}

/** Caps change nothing about the artefact that they are on: the artefact below them. */
export const initialOf = (artifact: Any): Any => {
  let of = artifact
  while (of.node.op === "Cap" && of.node.wires["of"] !== undefined) of = of.node.wires["of"]
  return of
}
