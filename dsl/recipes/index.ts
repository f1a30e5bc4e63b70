/** Keel's recipes, a line each: how the command line knows them. */
import type { Any } from "../Recipe.ts"
import { instructGpt } from "./InstructGpt.ts"
import { zephyr } from "./Zephyr.ts"

export const recipes: ReadonlyArray<Any> = [instructGpt, zephyr]
