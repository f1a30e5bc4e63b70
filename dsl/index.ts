/**
 * Keel's whole vocabulary. A recipe is plain functions and variables over these; the interpreters in `keel/interpreters` give
 * it meaning.
 */
export * as Artifact from "./Artifact.ts"
export * as Budget from "./Budget.ts"
export * as Checkpoint from "./Checkpoint.ts"
export * as Errors from "./Errors.ts"
export * as Gold from "./Gold.ts"
export * as Kl from "./Kl.ts"
export * as Lora from "./Lora.ts"
export * as MergeMethod from "./MergeMethod.ts"
export * as Pipeline from "./Pipeline.ts"
export * as Render from "./Render.ts"
export * as Source from "./Source.ts"
export * as Stage from "./Stage.ts"
export * as Compare from "./stages/Compare.ts"
export * as Evaluate from "./stages/Evaluate.ts"
export * as Merge from "./stages/Merge.ts"
export * as Ppo from "./stages/Ppo.ts"
export * as Pretrain from "./stages/Pretrain.ts"
export * as RewardModeling from "./stages/RewardModeling.ts"
export * as Sft from "./stages/Sft.ts"
