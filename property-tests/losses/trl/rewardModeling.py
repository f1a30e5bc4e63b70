"""TRL's own reward losses, in double precision: values and gradients of small random numbers, as JSON on stdout.

    python3 property-tests/losses/trl/rewardModeling.py > property-tests/golden/trl-rewardModeling.json

`RewardTrainer.compute_loss` and `PRMTrainer.tokenize_row` run as they are; the model is a stand-in that returns given logits, the
tokenizer one that has a token for every character. The loss of a PRMTrainer is that of its model, transformers'
`ForTokenClassification`.
"""
import json
import os
from collections import defaultdict
from types import SimpleNamespace

os.environ.update(TRL_EXPERIMENTAL_SILENCE="1", TRANSFORMERS_VERBOSITY="error")

import torch
from transformers.loss.loss_utils import ForTokenClassification
from trl import RewardTrainer
from trl.experimental.prm import PRMTrainer

torch.manual_seed(1)
pairs = []
for margin in (False, True):
    for center in (None, 0.01, 0.5):
        logits = (3 * torch.randn(8, 1, dtype=torch.float64)).requires_grad_()
        inputs = {"attention_mask": torch.ones(8, 3)}
        if margin:
            inputs["margin"] = torch.rand(4, dtype=torch.float64)
        trainer = SimpleNamespace(
            model=SimpleNamespace(training=True),
            args=SimpleNamespace(center_rewards_coefficient=center),
            accelerator=SimpleNamespace(gather=lambda x: x, gather_for_metrics=lambda x: x),
            _metrics={"train": defaultdict(list)},
            _total_train_tokens=0,
            _tp_size=1,
        )
        margins = inputs.get("margin")
        loss = RewardTrainer.compute_loss(trainer, lambda **_: SimpleNamespace(logits=logits), inputs)
        loss.backward()
        pairs.append({
            "chosen": logits[:4, 0].tolist(),
            "rejected": logits[4:, 0].tolist(),
            "margin": None if margins is None else margins.tolist(),
            "center": 0 if center is None else center,
            "loss": loss.item(),
            "gradient": logits.grad[:, 0].tolist(),
            "metrics": {name: values[0] for name, values in trainer._metrics["train"].items() if name != "num_tokens"},
        })


class Characters:
    bos_token_id = 1

    def __call__(self, text, add_special_tokens):
        return {"input_ids": [ord(c) for c in text]}

    def encode(self, text, add_special_tokens):
        return [ord(c) for c in text]


steps = []
for row, separator in [
    ({"prompt": "2+2*3?", "completions": ["2*3=6", "2+6=9", "9"], "labels": [True, False, False]}, "\n"),
    ({"prompt": "x", "completions": ["a", "bc"], "labels": [True, True]}, " ;"),
    ({"prompt": "yy", "completions": ["only"], "labels": [False]}, "\n"),
]:
    tokenized = PRMTrainer.tokenize_row(row, Characters(), separator, None, None, False, False)
    labels = torch.tensor([tokenized["labels"]])
    logits = (2 * torch.randn(*labels.shape, 2, dtype=torch.float64)).requires_grad_()
    loss = ForTokenClassification(logits, labels, SimpleNamespace(num_labels=2))
    loss.backward()
    steps.append({
        **row,
        "separator": separator,
        "input_ids": tokenized["input_ids"],
        "token_labels": tokenized["labels"],
        "logits": logits[0].tolist(),
        "loss": loss.item(),
        "gradient": logits.grad[0].tolist(),
    })
print(json.dumps({"pairs": pairs, "steps": steps}))
