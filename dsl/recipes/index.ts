/** Keel's recipes, a line each: how the command line knows them. */
import type { Any } from "../Recipe.ts"
import { branchTrainMerge } from "./BranchTrainMerge.ts"
import { commandA } from "./CommandA.ts"
import { deepSeekR1 } from "./DeepSeekR1.ts"
import { hhRlhf } from "./HhRlhf.ts"
import { instructGpt } from "./InstructGpt.ts"
import { llama2Chat } from "./Llama2Chat.ts"
import { llama31 } from "./Llama31.ts"
import { mimo } from "./MiMo.ts"
import { qwen3 } from "./Qwen3.ts"
import { seedThinking } from "./SeedThinking.ts"
import { warp } from "./Warp.ts"
import { zephyr } from "./Zephyr.ts"

export const recipes: ReadonlyArray<Any> = [
  instructGpt,
  hhRlhf,
  llama2Chat,
  llama31,
  zephyr,
  deepSeekR1,
  qwen3,
  mimo,
  seedThinking,
  commandA,
  branchTrainMerge,
  warp
]
