"""What PyTorch and transformers make of the same models: run by pytorch.test.ts as `python3 pytorch.py DIR`.

DIR/request.json holds the models; each is made, saved to DIR/NAME, run and trained; the answers go to DIR/answer.json.
"""

import json
import os
import sys

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification

torch.set_num_threads(1)
directory = sys.argv[1]
request = json.load(open(os.path.join(directory, "request.json"), encoding="utf-8"))
answer = {"models": {}, "scores": {}}


def losses_of(model, batches, optimizer):
    """Next-token loss of the completions, one AdamW step a batch; norms clipped at max_grad_norm."""
    update = torch.optim.AdamW(
        model.parameters(),
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


for case in request["models"]:
    torch.manual_seed(0)
    config = AutoConfig.for_model(**case["config"])
    model = AutoModelForCausalLM.from_config(config).float()
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.normal_(1 if name.endswith("norm.weight") else 0, case["spread"])
    model.eval()
    model.save_pretrained(os.path.join(directory, case["name"]))
    ids = torch.tensor([case["ids"]])
    double = AutoModelForCausalLM.from_pretrained(os.path.join(directory, case["name"])).double().eval()
    with torch.no_grad():
        logits = double(ids).logits[0].tolist()
        greedy = list(case["ids"])
        for _ in range(case["newTokens"]):
            greedy.append(int(double(torch.tensor([greedy])).logits[0, -1].argmax()))
    losses, norms = losses_of(model, case["batches"], request["optimizer"])
    answer["models"][case["name"]] = {
        "logits": logits,
        "greedy": greedy[len(case["ids"]) :],
        "losses": losses,
        "norms": norms,
    }

# Scorers that Keel saved: transformers reads the score at the last token.
for case in request["scores"]:
    path = os.path.join(directory, case["name"])
    model, info = AutoModelForSequenceClassification.from_pretrained(path, output_loading_info=True)
    with torch.no_grad():
        score = model.double().eval()(torch.tensor([case["ids"]])).logits[0].tolist()
    answer["scores"][case["name"]] = {"score": score, "missing": sorted(info["missing_keys"])}

json.dump(answer, open(os.path.join(directory, "answer.json"), "w", encoding="utf-8"))
