/** `tokenizer_config.json` of transformers: the fields that Keel reads, and those that change no id of a text. */
import { type FieldTable, never, off, read } from "./foreignFields.ts"

const forPython = never("the Python class and its arguments")
const inJson = never("tokenizer.json says it")
const batches = never("how Python pads or cuts batches; Keel's descriptions say how long rows are cut")

export const tokenizerFields: FieldTable = {
  owner: "tokenizers of transformers 5.18",
  file: "tokenizer_config.json",
  fields: {
    bos_token: read,
    eos_token: read,
    unk_token: read,
    pad_token: read,
    sep_token: read,
    cls_token: read,
    mask_token: read,
    added_tokens_decoder: read,
    additional_special_tokens: read,
    extra_special_tokens: read,
    chat_template: read,
    add_bos_token: read,
    add_eos_token: never("Keel ends an answer itself, once, with the token at which sampling stops"),
    add_prefix_space: inJson,
    do_lower_case: inJson,
    errors: inJson,
    legacy: inJson,
    sp_model_kwargs: inJson,
    spaces_between_special_tokens: never("the spelling of decoded special tokens, which Keel leaves out"),
    clean_up_tokenization_spaces: never("Keel decodes as the tokens are, so that texts go there and back"),
    split_special_tokens: off("special tokens in a text are read as ordinary text"),
    model_max_length: batches,
    padding_side: batches,
    truncation_side: batches,
    truncation_strategy: batches,
    padding: batches,
    pad_to_multiple_of: batches,
    pad_token_type_id: batches,
    pad_token_id: batches,
    max_length: batches,
    max_len: batches,
    stride: batches,
    model_input_names: forPython,
    tokenizer_class: forPython,
    processor_class: forPython,
    auto_map: forPython,
    backend: forPython,
    is_local: forPython,
    local_files_only: forPython,
    from_slow: forPython,
    name_or_path: forPython,
    tokenizer_file: forPython,
    vocab_file: forPython,
    merges_file: forPython,
    special_tokens_map_file: forPython,
    trust_remote_code: forPython,
    transformers_version: forPython,
    unsloth_version: forPython,
    verbose: forPython,
    device_map: forPython,
    response_schema: never("how Python takes an answer apart"),
    response_template: never("how Python takes an answer apart"),
    use_default_system_prompt: never("an argument of templates of 2023, which have their prompt in chat_template"),
    model_specific_special_tokens: never("names of tokens that the tokenizer has")
  }
}

/** Names of further special tokens, as models of pictures and sound have them; the tokenizer has the tokens themselves. */
export const withoutNames = (settings: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> =>
  Object.fromEntries(
    Object.entries(settings).filter(([name, value]) =>
      !(/_token(?:_id)?$/u.test(name) && (typeof value === "string" || typeof value === "number"))
    )
  )
