/** Keel's recipes, a line each: how the command line knows them. */
import type { Any } from "../Recipe.ts"
import { branchTrainMerge } from "./BranchTrainMerge.ts"
import { commandA } from "./CommandA.ts"
import { instructGpt } from "./InstructGpt.ts"
import { warp } from "./Warp.ts"
import { zephyr } from "./Zephyr.ts"

export const recipes: ReadonlyArray<Any> = [instructGpt, zephyr, warp, branchTrainMerge, commandA]
