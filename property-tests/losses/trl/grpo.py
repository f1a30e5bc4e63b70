"""TRL's own policy-gradient losses in double precision, as JSON on stdout: values, gradients and metrics of GRPOTrainer._compute_loss and
RLOOTrainer._compute_loss on small random inputs, and the advantages that their _generate_and_score_completions makes (its own lines,
executed: it cannot be called without a model)."""
import inspect
import json
import textwrap
from collections import defaultdict
from types import SimpleNamespace

import torch
from trl.trainer import grpo_trainer, rloo_trainer

# Or 1.05 of SAPO would be the nearest float32 to it.
torch.set_default_dtype(torch.float64)
B, T, G = 6, 5, 3
generator = torch.Generator().manual_seed(0)


def random(*shape):
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


lengths = torch.tensor([5, 3, 1, 4, 2, 5])
mask = (torch.arange(T)[None, :] < lengths[:, None]).to(torch.float64)
old = -1.5 + 0.5 * random(B, T)
logps = old + 0.35 * random(B, T)
ref = old + 0.4 * random(B, T)
sampler = old + 0.5 * random(B, T)
entropies = 1 + 0.2 * random(B, T)
rewards = random(B)


def slice_of(function, first, last):
    """The lines of TRL's function from the one that holds `first` to the one that holds `last`."""
    lines = inspect.getsource(function).split("\n")
    start = next(i for i, line in enumerate(lines) if first in line)
    end = next(i for i, line in enumerate(lines) if i >= start and last in line)
    return textwrap.dedent("\n".join(lines[start : end + 1]))


def advantages_of(scale_rewards):
    code = slice_of(
        grpo_trainer.GRPOTrainer._generate_and_score_completions,
        "mean_grouped_rewards = torch.nanmean(rewards.view(-1, num_generations), dim=1)",
        "advantages = advantages / (std_rewards + 1e-4)",
    )
    names = dict(vars(grpo_trainer), rewards=rewards.clone(), num_generations=G, self=SimpleNamespace(scale_rewards=scale_rewards))
    exec(code, names)
    return names["advantages"]


def rloo_advantages(beta):
    code = slice_of(
        rloo_trainer.RLOOTrainer._generate_and_score_completions, "# Include the KL penalty in the reward", "advantages = rewards - baselines"
    )
    names = dict(
        vars(rloo_trainer), rewards=rewards.clone(), num_generations=G, gather=lambda x: x, old_per_token_logps=old,
        ref_per_token_logps=ref, completion_mask=mask, self=SimpleNamespace(beta=beta),
    )
    exec(code, names)
    return names["advantages"]


def trainer(logps, **settings):
    accelerator = SimpleNamespace(gather=lambda x: x, reduce=lambda x, reduction: x, num_processes=1, sync_gradients=False)
    args = SimpleNamespace(
        delta=settings.pop("delta", None), use_bias_correction_kl=settings.pop("corrected", False),
        sapo_temperature_pos=1.0, sapo_temperature_neg=1.05, steps_per_generation=1,
        vespo_k_pos=2.0, vespo_lambda_pos=3.0, vespo_k_neg=3.0, vespo_lambda_neg=2.0,
    )
    entropy_coef = settings.pop("entropy_coef", 0.0)
    fields = dict(
        _get_per_token_logps_and_entropies=lambda *a, **k: (logps, entropies, None), aux_loss_enabled=False,
        top_entropy_quantile=1.0, off_policy_mask_threshold=None, importance_sampling_level="token", beta=0.0, args=args,
        use_vllm=False, vllm_importance_sampling_correction=False, model=SimpleNamespace(training=True),
        current_gradient_accumulation_steps=1, max_completion_length=T, accelerator=accelerator,
        _entropy_bonus_enabled=entropy_coef != 0, use_adaptive_entropy=False, entropy_coef=entropy_coef,
        _metrics={"train": defaultdict(list)}, epsilon_low=0.2, epsilon_high=0.2,
        get_gamma_weights=grpo_trainer.GRPOTrainer.get_gamma_weights,
    )
    return SimpleNamespace(**{**fields, **settings})


def flat(x):
    return [x[i, : lengths[i]].tolist() for i in range(B)]


def run(compute, settings, inputs):
    leaf = logps.clone().requires_grad_()
    self = trainer(leaf, **settings)
    loss = compute(self, None, {
        "prompt_ids": torch.zeros(B, 1), "prompt_mask": torch.ones(B, 1), "completion_ids": torch.zeros(B, T),
        "completion_mask": mask, "num_items_in_batch": mask.sum(), **inputs,
    })
    loss.backward()
    return {"loss": loss.item(), "gradient": flat(leaf.grad)}, self._metrics["train"]


grpo = advantages_of("group")
cases = []
names = {"cispo_clip_ratio": "clip_ratio/high_mean"}
settings = [("grpo", {}), ("bnpo", {}), ("dr_grpo", {}), ("dapo", {"epsilon_high": 0.28}), ("cispo", {"epsilon_high": 1.3}), ("sapo", {}), ("vespo", {})]
settings += [("grpo", {"delta": 1.5}), ("grpo", {"importance_sampling_level": "sequence", "epsilon_low": 0.03, "epsilon_high": 0.04})]
settings += [("luspo", {"importance_sampling_level": "sequence", "epsilon_low": 0.03, "epsilon_high": 0.04})]
settings += [("sapo", {"importance_sampling_level": "sequence"}), ("cispo", {"epsilon_high": 1.3, "importance_sampling_level": "sequence"})]
for loss_type, given in settings:
    for beta, corrected in ((0.0, False), (0.3, False), (0.3, True)):
        for truncated in (False, True):
            if truncated and loss_type == "vespo":
                continue
            inputs = {"advantages": grpo, "old_per_token_logps": old, "ref_per_token_logps": ref}
            vllm = {}
            if truncated:
                inputs["importance_sampling_ratio"] = torch.exp((old - sampler) * mask).clamp(max=1.2)
                vllm = {"use_vllm": True, "vllm_importance_sampling_correction": True}
            out, metrics = run(
                grpo_trainer.GRPOTrainer._compute_loss,
                {"loss_type": loss_type, "beta": beta, "corrected": corrected, **vllm, **given}, inputs,
            )
            cases.append({"loss_type": loss_type, **given, "beta": beta, "corrected": corrected, "truncated": truncated, **out,
                          "clipped": {names.get(k, k): v[0] for k, v in metrics.items() if k.endswith(("_mean", "cispo_clip_ratio")) and "vespo" not in k},
                          "entropy": metrics["entropy"][0], "kl": metrics["kl"][0] if beta else None})
entropic, _ = run(grpo_trainer.GRPOTrainer._compute_loss, {"loss_type": "dapo", "entropy_coef": 0.1},
                  {"advantages": grpo, "old_per_token_logps": old})
rloo = []
for beta in (0.0, 0.3):
    advantages = rloo_advantages(beta)
    out, _ = run(rloo_trainer.RLOOTrainer._compute_loss, {"beta": beta},
                 {"advantages": advantages, "old_logps": (old * mask).sum(1)})
    rloo.append({"beta": beta, "advantages": advantages.tolist(), **out})
print(json.dumps({
    "group_size": G, "max_length": T, "rewards": rewards.tolist(), "logps": flat(logps), "old": flat(old), "ref": flat(ref),
    "sampler": flat(sampler), "cap": 1.2, "entropies": flat(entropies),
    "advantages": {"group": grpo.tolist(), "none": advantages_of("none").tolist()},
    "cases": cases, "entropic": entropic, "rloo": rloo,
}))
