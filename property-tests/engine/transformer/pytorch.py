"""What PyTorch and transformers make of the same models: run by pytorch.test.ts as `python3 pytorch.py DIR`.

DIR/request.json holds the models; each is made, saved to DIR/NAME, run and trained; the answers go to DIR/answer.json.
"""

import json
import os
import sys

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification, Trainer

torch.set_num_threads(1)
directory = sys.argv[1]
request = json.load(open(os.path.join(directory, "request.json"), encoding="utf-8"))
answer = {"models": {}, "scores": {}}


def losses_of(model, batches, optimizer):
    """Next-token loss of the completions, one AdamW step a batch; norms clipped at max_grad_norm."""
    # Matrices decay, norms and biases do not: transformers' own groups.
    decayed = set(Trainer.get_decay_parameter_names(None, model))
    named = list(model.named_parameters())
    update = torch.optim.AdamW(
        [
            {"params": [p for n, p in named if n in decayed]},
            {"params": [p for n, p in named if n not in decayed], "weight_decay": 0.0},
        ],
        lr=optimizer["learningRate"],
        betas=tuple(optimizer["betas"]),
        eps=optimizer["eps"],
        weight_decay=optimizer["weightDecay"],
    )
    losses, norms = [], []
    for rows in batches:
        # One row at a time: no padding and no mask on this side either.
        logps = [model(torch.tensor([row])).logits[0, :-1].log_softmax(-1).gather(1, torch.tensor(row[1:])[:, None]) for row in rows]
        loss = -torch.cat(logps).mean()
        loss.backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(model.parameters(), optimizer["maxGradNorm"] or float("inf"))))
        update.step()
        update.zero_grad()
        losses.append(float(loss.detach()))
    return losses, norms


def double(path, kind=AutoModelForCausalLM):
    """In double precision throughout. `model.double()` alone is not: norms and rotary tables go through float32."""
    model, info = kind.from_pretrained(path, output_loading_info=True, attn_implementation="sdpa")
    model = model.double().eval()

    def norm(self, x):
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon))

    def rotary(self, x, position_ids):
        # The angles stay float32, as in training; their cosines need not be.
        angles = (position_ids[:, :, None].float() * self.inv_freq.float()).double()
        both = torch.cat((angles, angles), dim=-1)
        return both.cos() * self.attention_scaling, both.sin() * self.attention_scaling

    for module in model.modules():
        name = type(module).__name__
        if name.endswith("RMSNorm"):
            module.forward = norm.__get__(module)
        if name.endswith("RotaryEmbedding"):
            module.forward = rotary.__get__(module)
    return model, info


for case in request["models"]:
    torch.manual_seed(0)
    config = AutoConfig.for_model(**case["config"])
    model = AutoModelForCausalLM.from_config(config).float()
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.normal_(1 if name.endswith("norm.weight") else 0, case["spread"])
    model.save_pretrained(os.path.join(directory, case["name"]))
    ids = torch.tensor([case["ids"]])
    exact, _ = double(os.path.join(directory, case["name"]))
    with torch.no_grad():
        logits = exact(ids).logits[0].tolist()
        greedy = list(case["ids"])
        for _ in range(case["newTokens"]):
            greedy.append(int(exact(torch.tensor([greedy])).logits[0, -1].argmax()))
    runs = []
    for optimizer in request["optimizers"]:
        trained = AutoModelForCausalLM.from_pretrained(os.path.join(directory, case["name"])).float().eval()
        losses, norms = losses_of(trained, case["batches"], optimizer)
        runs.append({"losses": losses, "norms": norms})
    answer["models"][case["name"]] = {"logits": logits, "greedy": greedy[len(case["ids"]) :], "runs": runs}

# Scorers that Keel saved: transformers reads the score at the last token.
for case in request["scores"]:
    path = os.path.join(directory, case["name"])
    model, info = double(path, AutoModelForSequenceClassification)
    with torch.no_grad():
        score = model(torch.tensor([case["ids"]])).logits[0].tolist()
    answer["scores"][case["name"]] = {"score": score, "missing": sorted(info["missing_keys"])}

json.dump(answer, open(os.path.join(directory, "answer.json"), "w", encoding="utf-8"))
