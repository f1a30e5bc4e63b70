"""PEFT as the oracle of `adapter_config.json`: for each of CASES (keyword arguments of LoraConfig), an adapter with random matrices,
saved, read again by PEFT and merged into its base.

usage: adapterFields.py BASE CASES OUT
Writes OUT/N/adapter and OUT/N/merged.safetensors, or OUT/N/error where PEFT itself refuses the arguments.
"""
import json
import os
import sys
import warnings

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

warnings.simplefilter("ignore")
base, cases, out = sys.argv[1:]


def load():
    return AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, attn_implementation="eager").eval()


for n, given in enumerate(json.load(open(cases))):
    at = f"{out}/{n}"
    os.makedirs(at)
    torch.manual_seed(n)
    try:
        made = get_peft_model(load(), LoraConfig(task_type="CAUSAL_LM", **given)).eval()
        with torch.no_grad():
            for name, p in made.named_parameters():
                if "lora_" in name or "modules_to_save" in name:
                    p.copy_(torch.randn_like(p) * 0.3)
        made.save_pretrained(f"{at}/adapter")
        merged = PeftModel.from_pretrained(load(), f"{at}/adapter").merge_and_unload()
        save_file({k: v.clone().contiguous() for k, v in merged.state_dict().items()}, f"{at}/merged.safetensors")
    except Exception as error:
        open(f"{at}/error", "w").write(str(error))
