"""The peer of `npm run test:gpu`: the same model and work in PyTorch and transformers. One JSON object on stdin, one on stdout."""

import json
import os
import sys
import time

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error", TOKENIZERS_PARALLELISM="false")

import torch
import torch.nn.functional as F
from transformers import LlamaForCausalLM

asked = json.load(sys.stdin)
device = torch.device(asked["device"])
cuda = device.type == "cuda"
if not cuda:
    torch.set_num_threads(asked["threads"])
model = LlamaForCausalLM.from_pretrained(asked["folder"], dtype=torch.float32, attn_implementation="sdpa").to(device)
batches = [torch.tensor(batch, device=device) for batch in asked["batches"]]
prompts = torch.tensor(asked["prompts"], device=device)
update = asked["update"]
optimizer = torch.optim.AdamW(
    model.parameters(),
    lr=update["learningRate"],
    betas=tuple(update["betas"]),
    eps=update["eps"],
    weight_decay=update["weightDecay"],
    fused=True,
)
# As in Keel: factors of products in bfloat16, weights and the optimiser's state in float32.
computing = torch.autocast(device.type, dtype=torch.bfloat16, enabled=asked["precision"] == "bf16")


def nll(ids):
    with computing:
        logits = model(ids[:, :-1], use_cache=False).logits
    return F.cross_entropy(logits.float().flatten(0, 1), ids[:, 1:].flatten(), reduction="none")


def train(i):
    loss = nll(batches[i % len(batches)]).mean()
    loss.backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss.item()


@torch.no_grad()
def logprobs(i):
    return nll(batches[i % len(batches)]).sum().item()


@torch.no_grad()
def generate(_):
    with computing:
        ids = model.generate(
            prompts,
            attention_mask=torch.ones_like(prompts),
            do_sample=False,
            min_new_tokens=asked["newTokens"],
            max_new_tokens=asked["newTokens"],
            pad_token_id=0,
        )
    return ids[:, prompts.shape[1] :].tolist()


def seconds(work):
    work(0)
    work(1)
    best = float("inf")
    for i in range(asked["repeats"]):
        if cuda:
            torch.cuda.synchronize(device)
        start = time.perf_counter()
        work(i)
        if cuda:
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - start)
    return best


ids = generate(0)
losses = [train(i) for i in range(asked["steps"])]
times = {"train": seconds(train), "logprobs": seconds(logprobs), "generate": seconds(generate)}
peak = torch.cuda.max_memory_allocated(device) if cuda else 0
name = torch.cuda.get_device_name(device) if cuda else "the processor"
print(json.dumps({"version": torch.__version__, "name": name, "losses": losses, "ids": ids, "seconds": times, "peak": peak}))
