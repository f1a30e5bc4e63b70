"""Losses, gradients and metrics of TRL's own trainers for direct alignment, in double precision, as JSON on stdout.

    python3 property-tests/losses/trl/dpo.py > property-tests/golden/trl-dpo.json

Nothing is re-implemented: `DPOTrainer._compute_loss`, `KTOTrainer._compute_loss`, `CPOTrainer.cpo_loss` and
`ORPOTrainer.odds_ratio_loss` run as they are. The model is a stand-in with two tokens whose logits are log p and log(1 - p), so
that each completion token (id 0) has exactly the log-probability given, and autograd goes back to it.
"""

import json
import os
from collections import defaultdict
from types import SimpleNamespace

os.environ.update(TRL_EXPERIMENTAL_SILENCE="1", TRANSFORMERS_VERBOSITY="error")

import torch
import torch.nn.functional as F
import trl
from trl.experimental.cpo.cpo_trainer import CPOTrainer
from trl.experimental.orpo.orpo_trainer import ORPOTrainer
from trl.trainer.dpo_trainer import DPOTrainer
from trl.trainer.kto_trainer import KTOTrainer

torch.manual_seed(7)
torch.set_default_dtype(torch.float64)

PAIRS = 4
LENGTHS = [3, 1, 4, 2, 2, 5, 1, 3]  # of the chosen answers, then of the rejected ones
WIDTH = 1 + max(LENGTHS)  # one token of prompt
mask = torch.tensor([[0] + [1] * n + [0] * (WIDTH - 1 - n) for n in LENGTHS])


def logps():
    return -torch.rand(len(LENGTHS), WIDTH - 1) * 2.5 - 0.02


def logits(table):
    return torch.stack([table, torch.log(-torch.expm1(table))], -1)


def padded(table):
    """A last position, which is cut off by the shift."""
    return torch.cat([logits(table), torch.zeros(table.shape[0], 1, 2)], 1)


class Model:
    training = True
    is_gradient_checkpointing = False
    _modules = {}  # accelerate looks for compiled parts in them, where peft is installed

    def __init__(self, *tables):
        self.tables = list(tables)

    def __call__(self, **_):
        table = self.tables.pop(0)
        self.tables.append(table)
        return SimpleNamespace(logits=padded(table))


accelerator = SimpleNamespace(
    device=torch.device("cpu"), gather=lambda x: x, gather_for_metrics=lambda x: x, unwrap_model=lambda m: m
)


def bare(cls, **fields):
    trainer = cls.__new__(cls)
    for name, value in {
        "accelerator": accelerator,
        "aux_loss_enabled": False,
        "precompute_ref_logps": False,
        "_metrics": {"train": defaultdict(list)},
        "_total_train_tokens": 0,
        "_tp_size": 1,
        "args": SimpleNamespace(gradient_checkpointing_kwargs=None, discopop_tau=0.05),
        **fields,
    }.items():
        setattr(trainer, name, value)
    return trainer


policy, reference, elsewhere, reference_elsewhere = logps(), logps(), logps(), logps()


def ragged(table):
    return [table[i, t].item() for i, n in enumerate(LENGTHS) for t in range(n)]


wanted = ("rewards/", "logps/", "kl", "nll_loss")


def result(name, run, leaf):
    loss, metrics = run()
    (gradient,) = torch.autograd.grad(loss, leaf)
    return {
        "name": name,
        "loss": loss.item(),
        "gradient": ragged(gradient),
        "metrics": {k: float(v) for k, v in metrics.items() if k.startswith(wanted)},
    }


def dpo(name, loss_type, weights=None, beta=0.3, label_smoothing=0.0):
    leaf = policy.clone().requires_grad_()
    model = Model(leaf)
    trainer = bare(
        DPOTrainer,
        model=model,
        ref_model=Model(reference),
        loss_types=loss_type,
        loss_weights=weights or [1.0] * len(loss_type),
        beta=beta,
        label_smoothing=label_smoothing,
        ld_alpha=None,
        f_divergence_type="reverse_kl",
        use_weighting=False,
    )
    inputs = {
        "input_ids": torch.zeros(len(LENGTHS), WIDTH, dtype=torch.long),
        "attention_mask": torch.ones(len(LENGTHS), WIDTH, dtype=torch.long),
        "completion_mask": mask,
    }

    def run():
        loss = trainer._compute_loss(model, inputs, return_outputs=False)
        return loss, {k: v[-1] for k, v in trainer._metrics["train"].items() if isinstance(v, list)}

    return result(name, run, leaf)


def kto(name, loss_type, labels, table, weights=(1.0, 1.0), beta=0.3):
    leaf = policy.clone().requires_grad_()
    calculate = loss_type == "kto"
    # The mismatched rows come first in both models.
    model = Model(*([table, leaf] if calculate else [leaf]))
    trainer = bare(
        KTOTrainer,
        model=model,
        ref_model=Model(*([reference_elsewhere, reference] if calculate else [reference])),
        loss_type=loss_type,
        beta=beta,
        desirable_weight=weights[0],
        undesirable_weight=weights[1],
        calculate_KL=calculate,
        use_liger_kernel=False,
        _is_vlm=False,
    )
    ids = torch.zeros(len(LENGTHS), WIDTH, dtype=torch.long)
    inputs = {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "completion_mask": mask,
        "KL_input_ids": ids,
        "KL_attention_mask": torch.ones_like(ids),
        "KL_completion_mask": mask,
        "label": torch.tensor(labels),
    }

    def run():
        loss = trainer._compute_loss(model, inputs, return_outputs=False)
        return loss, {k: v[-1] for k, v in trainer._metrics["train"].items() if isinstance(v, list)}

    return {**result(name, run, leaf), "labels": labels}


def means(table, average):
    sums = (table * mask[:, 1:]).sum(1)
    return (sums / mask[:, 1:].sum(1) if average else sums).chunk(2)


def nll(table):
    """TRL's `CrossEntropyLoss` over the answers."""
    chosen = mask[:PAIRS, 1:].bool()
    return F.cross_entropy(logits(table[:PAIRS])[chosen], torch.zeros(int(chosen.sum()), dtype=torch.long))


def of_scores(name, loss_of, average, alpha):
    leaf = policy.clone().requires_grad_()

    def run():
        chosen, rejected = means(leaf, average)
        losses, better, worse = loss_of(chosen, rejected)[:3]
        return losses.mean() + alpha * nll(leaf), {
            "rewards/chosen": better.mean(),
            "rewards/rejected": worse.mean(),
            "rewards/margins": (better - worse).mean(),
            "rewards/accuracies": (better > worse).float().mean(),
            "logps/chosen": chosen.detach().mean(),
            "logps/rejected": rejected.detach().mean(),
        }

    return result(name, run, leaf)


def cpo(name, loss_type, average, alpha, beta, gamma=0.5, label_smoothing=0.0):
    trainer = bare(CPOTrainer, loss_type=loss_type, beta=beta, simpo_gamma=gamma, label_smoothing=label_smoothing, alpha=0.0)
    return of_scores(name, trainer.cpo_loss, average, alpha)


def orpo(name, beta):
    trainer = bare(ORPOTrainer, beta=beta)

    def loss_of(chosen, rejected):
        losses, *rest = trainer.odds_ratio_loss(chosen, rejected)
        return -losses, *rest

    # The trainer casts to float: kept double here, as everything else is.
    single, torch.Tensor.float = torch.Tensor.float, torch.Tensor.double
    try:
        return of_scores(name, loss_of, True, 1.0)
    finally:
        torch.Tensor.float = single


# A policy that is nearer to the answers than its reference has a KL estimate above 0.
near = reference_elsewhere * 0.3
mixed = [True, False, True, True, False, False, True, False]
print(
    json.dumps(
        {
            "trl": trl.__version__,
            "torch": torch.__version__.split("+")[0],
            "lengths": LENGTHS,
            "logps": ragged(policy),
            "refLogps": ragged(reference),
            "klLogps": ragged(near),
            "lowKlLogps": ragged(elsewhere * 3),
            "refKlLogps": ragged(reference_elsewhere),
            "pairs": [
                dpo("dpo", ["sigmoid"]),
                dpo("dpoNorm", ["sigmoid_norm"]),
                dpo("dpoNll", ["sigmoid", "sft"], [1.0, 0.2]),
                dpo("robustDpo", ["robust"], label_smoothing=0.2),
                dpo("ipo", ["ipo"]),
                dpo("hinge", ["hinge"]),
                dpo("exo", ["exo_pair"], label_smoothing=1e-3),
                dpo("nca", ["nca_pair"]),
                dpo("bco", ["bco_pair"]),
                dpo("sppo", ["sppo_hard"]),
                dpo("aot", ["aot"], label_smoothing=0.1),
                dpo("aotUnpaired", ["aot_unpaired"], label_smoothing=0.1),
                dpo("apoZero", ["apo_zero"]),
                dpo("apoDown", ["apo_down"]),
                dpo("discoPop", ["discopop"]),
                dpo("mpo", ["sigmoid", "bco_pair", "sft"], [0.8, 0.2, 1.0]),
                cpo("cpo", "sigmoid", False, 1.0, 0.3),
                cpo("cpoSmoothed", "sigmoid", False, 1.0, 0.3, label_smoothing=0.2),
                cpo("simPo", "simpo", True, 0.0, 2.0),
                orpo("orpo", 0.3),
            ],
            "unpaired": [
                kto("kto", "kto", mixed, near),
                kto("ktoWeighted", "kto", mixed, near, weights=(1.3, 0.7)),
                kto("ktoZeroKl", "kto", mixed, elsewhere * 3),
                kto("ktoDesirable", "kto", [True] * len(LENGTHS), near),
                kto("ktoUndesirable", "kto", [False] * len(LENGTHS), near),
                kto("apoZero", "apo_zero_unpaired", mixed, near),
            ],
        },
        indent=1,
    )
)
