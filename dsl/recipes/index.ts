/** Keel's recipes, a line each: how the command line knows them. */
import type { Any } from "../Recipe.ts"
import { branchTrainMerge } from "./BranchTrainMerge.ts"
import { commandA } from "./CommandA.ts"
import { hhRlhf } from "./HhRlhf.ts"
import { instructGpt } from "./InstructGpt.ts"
import { llama2Chat } from "./Llama2Chat.ts"
import { llama31 } from "./Llama31.ts"
import { warp } from "./Warp.ts"
import { zephyr } from "./Zephyr.ts"

export const recipes: ReadonlyArray<Any> = [
  instructGpt,
  hhRlhf,
  llama2Chat,
  llama31,
  zephyr,
  commandA,
  branchTrainMerge,
  warp
]
