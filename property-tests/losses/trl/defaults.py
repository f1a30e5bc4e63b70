"""The defaults of transformers and TRL, their schedules, and the parameters that decay, as JSON."""
import dataclasses
import json

import torch
import transformers
import trl
from transformers import AutoConfig, AutoModelForCausalLM, Trainer
from transformers.optimization import get_scheduler

STEPS, WARMUP = 10, 4


COMMON = "adam_beta1 adam_beta2 adam_epsilon weight_decay max_grad_norm lr_scheduler_type warmup_steps num_train_epochs bf16"
OWN = {
    "sft": "max_length packing completion_only_loss assistant_only_loss",
    "reward": "max_length center_rewards_coefficient",
    "dpo": "max_length beta label_smoothing loss_type discopop_tau",
    "kto": "max_length beta loss_type desirable_weight undesirable_weight",
    "grpo": "temperature num_iterations epsilon epsilon_high delta importance_sampling_level scale_rewards loss_type use_bias_correction_kl "
    "entropy_coef sapo_temperature_pos sapo_temperature_neg vespo_k_pos vespo_lambda_pos vespo_k_neg vespo_lambda_neg "
    "vllm_importance_sampling_correction",
    "rloo": "temperature num_iterations epsilon epsilon_high normalize_advantages",
}


def defaults(name, config):
    fields = {field.name: field for field in dataclasses.fields(config)}
    made = {}
    for key in (COMMON + " " + OWN[name]).split():
        field = fields[key]
        value = field.default_factory() if field.default is dataclasses.MISSING else field.default
        made[key] = getattr(value, "value", value)
    return made


def rates(name, **more):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = get_scheduler(name, optimizer, num_warmup_steps=WARMUP, num_training_steps=STEPS, **more)
    made = []
    for _ in range(STEPS):
        made.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    return made


shape = dict(vocab_size=8, hidden_size=4, intermediate_size=4, num_hidden_layers=1, num_attention_heads=1, num_key_value_heads=1, head_dim=4)
decays = {}
for kind in ("qwen2", "qwen3"):
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **shape, tie_word_embeddings=False))
    decays[kind] = sorted(Trainer.get_decay_parameter_names(None, model))

print(json.dumps({
    "versions": {"transformers": transformers.__version__, "trl": trl.__version__},
    "defaults": {
        name: defaults(name, config) for name, config in {
            "sft": trl.SFTConfig, "reward": trl.RewardConfig, "dpo": trl.DPOConfig, "kto": trl.KTOConfig,
            "grpo": trl.GRPOConfig, "rloo": trl.RLOOConfig,
        }.items()
    },
    "steps": STEPS, "warmup": WARMUP,
    "schedules": {
        "constant": rates("constant_with_warmup"), "linear": rates("linear"),
        "cosine": rates("cosine_with_min_lr", scheduler_specific_kwargs={"min_lr_rate": 0.1}),
    },
    "decays": decays,
}))
