/** Keel's recipes, a line each: how the command line knows them. */
import type { Any } from "../Recipe.ts"
import { hhRlhf } from "./HhRlhf.ts"
import { instructGpt } from "./InstructGpt.ts"
import { llama2Chat } from "./Llama2Chat.ts"
import { llama31 } from "./Llama31.ts"
import { zephyr } from "./Zephyr.ts"

export const recipes: ReadonlyArray<Any> = [hhRlhf, instructGpt, llama2Chat, llama31, zephyr]
