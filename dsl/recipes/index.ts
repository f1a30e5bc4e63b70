/** Keel's recipes, a line each: how the command line knows them. */
import type { Any } from "../Recipe.ts"
import { branchTrainMerge } from "./BranchTrainMerge.ts"
import { commandA } from "./CommandA.ts"
import { deepSeekR1 } from "./DeepSeekR1.ts"
import { hhRlhf } from "./HhRlhf.ts"
import { instructGpt } from "./InstructGpt.ts"
import { llama2Chat } from "./Llama2Chat.ts"
import { llama31 } from "./Llama31.ts"
import { olmo2Of13b, olmo2Of1b, olmo2Of32b, olmo2Of7b } from "./Olmo2.ts"
import { smolLm3 } from "./SmolLm3.ts"
import { smolTulu1130, smolTulu1207 } from "./SmolTulu.ts"
import { tulu31, tulu3Of405b, tulu3Of70b, tulu3Of8b } from "./Tulu3.ts"
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
  tulu3Of8b,
  tulu3Of70b,
  tulu3Of405b,
  tulu31,
  olmo2Of1b,
  olmo2Of7b,
  olmo2Of13b,
  olmo2Of32b,
  smolTulu1130,
  smolTulu1207,
  smolLm3,
  deepSeekR1,
  qwen3,
  mimo,
  seedThinking,
  commandA,
  branchTrainMerge,
  warp
]
