"""What transformers makes of the same things: run by transformers.test.ts as `python3 oracle.py DIR`.

DIR/request.json holds what to do; the answers go to DIR/answer.json. Needs torch and transformers.
"""

import json
import os
import sys

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification, LlamaConfig, PreTrainedTokenizerFast
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

directory = sys.argv[1]
request = json.load(open(os.path.join(directory, "request.json"), encoding="utf-8"))
answer = {}


def dump(model):
    return {
        name: {"shape": list(p.shape), "data": p.detach().double().flatten().tolist(), "dtype": str(p.dtype)}
        for name, p in model.state_dict().items()
    }


def kind(head):
    return AutoModelForCausalLM if head == "lm" else AutoModelForSequenceClassification


# Random models that transformers saves for us to load.
answer["made"] = {}
for case in request["make"]:
    torch.manual_seed(0)
    config = AutoConfig.for_model(**case["config"])
    model = kind(case["head"]).from_config(config)
    with torch.no_grad():
        for p in model.parameters():
            p.normal_(0, 0.5)
    if case["dtype"] != "float32":
        model = model.to(getattr(torch, case["dtype"]))
    model.save_pretrained(os.path.join(directory, case["name"]), max_shard_size=case["shard"])
    answer["made"][case["name"]] = dump(model)

# Checkpoints that we saved for transformers to load.
answer["read"] = {}
for case in request["read"]:
    model, info = kind(case["head"]).from_pretrained(os.path.join(directory, case["name"]), output_loading_info=True)
    answer["read"][case["name"]] = {
        "tensors": dump(model),
        "class": type(model).__name__,
        "missing": sorted(info["missing_keys"]),
        "unexpected": sorted(info["unexpected_keys"]),
    }

# Rotary tables: frequencies, scaling, and cos and sin of some positions (of a sequence that ends with the last of them).
answer["rope"] = []
for case in request["rope"]:
    rope = LlamaRotaryEmbedding(LlamaConfig(**case["config"]))
    positions = torch.tensor([case["positions"]])
    cos, sin = rope(torch.zeros(1, dtype=torch.float32), positions)
    half = cos.shape[-1] // 2
    answer["rope"].append({
        "inverse": rope.inv_freq.double().tolist(),
        "scaling": float(rope.attention_scaling),
        "cos": cos[0, :, :half].double().tolist(),
        "sin": sin[0, :, :half].double().tolist(),
    })

answer["tokenizers"] = []
for case in request["tokenizers"]:
    # Not AutoTokenizer: for some classes it builds another tokenizer from the vocabulary instead of reading the file.
    tokenizer = PreTrainedTokenizerFast.from_pretrained(os.path.join(directory, case["name"]))
    ids = [tokenizer(text)["input_ids"] for text in case["texts"]]
    answer["tokenizers"].append({
        "ids": ids,
        "texts": [tokenizer.decode(one, skip_special_tokens=True, clean_up_tokenization_spaces=False) for one in ids],
        "random": [
            tokenizer.decode(one, skip_special_tokens=True, clean_up_tokenization_spaces=False) for one in case["ids"]
        ],
        "chats": [
            tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=messages[-1]["role"] != "assistant")
            for messages in case["chats"]
        ],
    })

json.dump(answer, open(os.path.join(directory, "answer.json"), "w", encoding="utf-8"))
