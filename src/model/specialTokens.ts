import type { Json } from "./tokenizerJson.ts"

/** Special tokens by role (`bos_token`, …), from `tokenizer_config.json`, else from the older `special_tokens_map.json`. */
export const specialTokens = (
  settings: Json,
  map: Json
): { readonly bos: string | null; readonly eos: string | null; readonly all: Readonly<Record<string, string>> } => {
  const all: Record<string, string> = {}
  for (const role of ["bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token"]) {
    const token = contentOf(settings[role]) ?? contentOf(map[role])
    if (token !== null) all[role] = token
  }
  return { bos: all["bos_token"] ?? null, eos: all["eos_token"] ?? null, all }
}

/** A token is written as a string or as an object with its content. */
const contentOf = (token: unknown): string | null => {
  if (typeof token === "string") return token
  if (typeof token !== "object" || token === null) return null
  const { content } = token as { readonly content?: unknown }
  return typeof content === "string" ? content : null
}
