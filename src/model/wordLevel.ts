/** Ids 0, 1, 2, 3 of every word-level tokenizer, before its words. */
export const special = ["<unk>", "<s>", "</s>", "<pad>"] as const

/** The words without those that are special tokens: a text may have the end of a turn in it. */
export const plainWords = (words: ReadonlyArray<string>): ReadonlyArray<string> =>
  words.filter((word) => !special.some((one) => one === word))

/**
 * Tokenizer files for a closed vocabulary: a token is a word between white space, `words[i]` has id i + 4, any other word is
 * `<unk>`. A prompt begins with `<s>`. Decoding joins words with spaces. transformers loads the same files.
 */
export const wordLevel = (words: ReadonlyArray<string>): ReadonlyMap<string, string> => {
  const vocab = new Map<string, number>(special.map((token, id) => [token, id]))
  for (const word of words) {
    if (!/^[^\s\u0085]+$/u.test(word)) throw new RangeError(`${JSON.stringify(word)} is not a word`)
    if (vocab.has(word)) throw new RangeError(`${JSON.stringify(word)} appears twice in the vocabulary`)
    vocab.set(word, vocab.size)
  }
  const begin = { SpecialToken: { id: "<s>", type_id: 0 } }
  const tokenizer = {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: special.map((content, id) => ({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true
    })),
    normalizer: null,
    pre_tokenizer: { type: "WhitespaceSplit" },
    post_processor: {
      type: "TemplateProcessing",
      single: [begin, { Sequence: { id: "A", type_id: 0 } }],
      pair: [begin, { Sequence: { id: "A", type_id: 0 } }, { Sequence: { id: "B", type_id: 1 } }],
      special_tokens: { "<s>": { id: "<s>", ids: [1], tokens: ["<s>"] } }
    },
    // Without a decoder both libraries join tokens with spaces.
    decoder: null,
    model: { type: "WordLevel", vocab: Object.fromEntries(vocab), unk_token: "<unk>" }
  }
  const settings = {
    tokenizer_class: "PreTrainedTokenizerFast",
    bos_token: "<s>",
    eos_token: "</s>",
    unk_token: "<unk>",
    pad_token: "<pad>",
    clean_up_tokenization_spaces: false
  }
  return new Map([
    ["tokenizer.json", JSON.stringify(tokenizer, null, 2)],
    ["tokenizer_config.json", JSON.stringify(settings, null, 2)]
  ])
}
