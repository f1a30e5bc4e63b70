"""transformers as the oracle of architectures: loads the folders that Keel saved and computes logits.

usage: architectures.py DIR   (DIR/request.json: {"models": [{"name", "ids"}]}; answers in DIR/answer.json)
"""
import json
import os
import sys

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"

import torch
from transformers import AutoModelForCausalLM

directory = sys.argv[1]
answer = {}
for case in json.load(open(f"{directory}/request.json", encoding="utf-8"))["models"]:
    model, info = AutoModelForCausalLM.from_pretrained(
        f"{directory}/{case['folder']}", dtype=torch.float32, attn_implementation="eager", experts_implementation="eager", output_loading_info=True
    )
    model.eval()
    with torch.no_grad():
        logits = model(torch.tensor([case["ids"]])).logits[0]
        ids = list(case["ids"])
        for _ in range(case["newTokens"]):
            ids.append(int(model(torch.tensor([ids]), use_cache=False).logits[0, -1].argmax()))
    answer[case["name"]] = {
        "logits": [[round(x, 6) for x in row] for row in logits.double().tolist()],
        "greedy": ids[len(case["ids"]):],
        "missing": sorted(info["missing_keys"]),
        "unexpected": sorted(info["unexpected_keys"]),
    }
json.dump(answer, open(f"{directory}/answer.json", "w", encoding="utf-8"))
