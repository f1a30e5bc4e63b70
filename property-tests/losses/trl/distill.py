"""TRL's own generalised Jensen-Shannon loss, in double precision: values and gradients of small random logits, as JSON on stdout.

    python3 property-tests/losses/trl/distill.py > property-tests/golden/trl-distill.json
"""
import json
import os

os.environ.update(TRL_EXPERIMENTAL_SILENCE="1", TRANSFORMERS_VERBOSITY="error")

import torch
from trl.experimental.gkd import GKDTrainer

torch.manual_seed(0)
cases = []
for beta in (0, 0.1, 0.5, 0.9, 1):
    for temperature in (1.0, 0.7, 2.0):
        # One row of six tokens, two of which are the prompt's.
        student = (2 * torch.randn(1, 6, 7, dtype=torch.float64)).requires_grad_()
        teacher = 2 * torch.randn(1, 6, 7, dtype=torch.float64)
        labels = torch.tensor([[-100, -100, 1, 2, 3, 4]])
        loss = GKDTrainer.generalized_jsd_loss(
            student, teacher, labels=labels, beta=beta, temperature=temperature, reduction="batchmean"
        )
        loss.backward()
        cases.append({
            "beta": beta,
            "temperature": temperature,
            "student": student[0, 2:].tolist(),
            "teacher": teacher[0, 2:].tolist(),
            "loss": loss.item(),
            "gradient": student.grad[0, 2:].tolist(),
        })
print(json.dumps(cases))
