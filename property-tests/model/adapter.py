"""PEFT as the oracle of adapters: logits of a base model with an adapter that was read, and an adapter that PEFT made.

usage: adapter.py BASE ADAPTER OUT TASK   (TASK: CAUSAL_LM or SEQ_CLS)
Writes OUT/logits.json, of the ids in OUT/ids.json (the scores of every prefix for SEQ_CLS), OUT/made (an adapter with random
matrices, saved by PEFT) and OUT/made.json, the logits with that one.
"""
import json
import sys

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

base, adapter, out, task = sys.argv[1:]
ids = torch.tensor(json.load(open(f"{out}/ids.json"))).unsqueeze(0)


def load():
    kind = AutoModelForCausalLM if task == "CAUSAL_LM" else AutoModelForSequenceClassification
    extra = {} if task == "CAUSAL_LM" else {"num_labels": 1}
    return kind.from_pretrained(base, dtype=torch.float32, attn_implementation="eager", **extra).eval()


def write(model, name):
    with torch.no_grad():
        json.dump(model(ids).logits[0, -1].tolist() if task == "CAUSAL_LM" else model(ids).logits[0].tolist(), open(f"{out}/{name}", "w"))


write(PeftModel.from_pretrained(load(), adapter).eval(), "logits.json")
torch.manual_seed(1)
made = get_peft_model(load(), LoraConfig(r=3, lora_alpha=6, target_modules=["q_proj", "down_proj"], task_type=task)).eval()
with torch.no_grad():
    for name, p in made.named_parameters():
        if "lora_" in name or "modules_to_save" in name:
            p.copy_(torch.randn_like(p) * 0.2)
write(made, "made.json")
made.save_pretrained(f"{out}/made")
