"""The TRL peer of `keel bench`: a real SFTTrainer, DPOTrainer or GRPOTrainer, timed from on_step_begin to on_step_end.

One process a trainer, a request a line (protocol.py):

    {"do": "open", "trainer": "sft" | "dpo" | "grpo", "threads": 2, "folder": …, "rows": […], "update": {…}, …}
                                             -> {"version": "1.13.0", "losses": [of step 1]}, after the first step
    {"do": "step", "count": 2}               -> {"seconds": per step, "losses": […]}

Between two steps the callback blocks on stdin, so the steps interleave with everybody else's. What `Trainer` does outside a step
(collating the next batch, epochs) is not counted. float32 on the CPU, no saving, no reports, no gradient checkpointing (it is
TRL's default and slower), fused AdamW, attention by sdpa, transformers' generate inside GRPO. SFT's loss
is `nll`: TRL's default `chunked_nll` took 334 ms a step where it took 329 (least of 12, 2 cores).
"""

import os
import sys
import time

# python3 -I leaves this folder out of the path; it goes again, since this file has the name of what it needs.
sys.path.insert(0, os.path.dirname(__file__))
from protocol import answer, receive

sys.path.pop(0)

opening = receive()
folder = opening["folder"]
os.environ.update(
    HF_HUB_OFFLINE="1",
    HF_DATASETS_OFFLINE="1",
    HF_DATASETS_CACHE=os.path.join(folder, "datasets"),
    TRANSFORMERS_VERBOSITY="error",
    TOKENIZERS_PARALLELISM="false",
    DISABLE_TELEMETRY="1",
    TRL_EXPERIMENTAL_SILENCE="1",
)

import torch
import trl
from datasets import Dataset
from torch.utils.data import SequentialSampler
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback

torch.set_num_threads(opening["threads"])
update = opening["update"]
tokenizer = AutoTokenizer.from_pretrained(folder)


def model():
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa")


class Turns(TrainerCallback):
    """Waits for a turn before each step and measures it."""

    left = 0
    count = 1
    seconds = 0.0
    losses = []
    opened = False

    def on_step_begin(self, args, state, control, **_):
        if self.left == 0 and self.opened:
            request = receive()
            self.left = self.count = request["count"]
            self.seconds = 0.0
            del self.losses[:]
        self.start = time.perf_counter()

    def on_step_end(self, args, state, control, **_):
        self.seconds += time.perf_counter() - self.start
        if not self.opened:
            self.opened = True
            answer(version=trl.__version__, losses=list(self.losses))
            return
        self.left -= 1
        if self.left == 0:
            answer(seconds=self.seconds / self.count, losses=list(self.losses))


turns = Turns()
common = dict(
    output_dir=os.path.join(folder, "trainer"),
    per_device_train_batch_size=opening["batchSize"],
    gradient_accumulation_steps=1,
    max_steps=1_000_000,
    learning_rate=update["learningRate"],
    lr_scheduler_type="constant",
    warmup_steps=0,
    adam_beta1=update["betas"][0],
    adam_beta2=update["betas"][1],
    adam_epsilon=update["eps"],
    weight_decay=update["weightDecay"],
    max_grad_norm=update["maxGradNorm"],
    optim="adamw_torch_fused",
    bf16=False,
    use_cpu=True,
    gradient_checkpointing=False,
    report_to="none",
    save_strategy="no",
    logging_strategy="no",
    disable_tqdm=True,
    dataloader_pin_memory=False,
)


def in_order(trainer):
    """`trainer` with its rows in the order given, and its losses kept."""

    class InOrder(trainer):
        def _get_train_sampler(self, *_):
            return SequentialSampler(self.train_dataset)

        def compute_loss(self, *args, **kwargs):
            result = super().compute_loss(*args, **kwargs)
            turns.losses.append(float((result[0] if isinstance(result, tuple) else result).detach()))
            return result

    return InOrder


rows = opening["rows"]
if opening["trainer"] == "sft":
    trainer = in_order(trl.SFTTrainer)(
        model=model(),
        args=trl.SFTConfig(**common, max_length=None, loss_type="nll", dataset_num_proc=None),
        train_dataset=Dataset.from_dict({"input_ids": rows}),
        processing_class=tokenizer,
        callbacks=[turns],
    )
elif opening["trainer"] == "dpo":
    trainer = in_order(trl.DPOTrainer)(
        model=model(),
        ref_model=model(),
        args=trl.DPOConfig(**common, max_length=None, beta=opening["beta"], loss_type=["sigmoid"]),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        callbacks=[turns],
    )
else:
    trainer = trl.GRPOTrainer(
        model=folder,
        reward_funcs=lambda completion_ids, **_: [float(sum(ids) % 7) for ids in completion_ids],
        args=trl.GRPOConfig(
            **common,
            num_generations=opening["group"],
            max_completion_length=opening["newTokens"],
            beta=opening["beta"],
            temperature=1.0,
            # Every completion has the whole length on both sides.
            generation_kwargs={"min_new_tokens": opening["newTokens"]},
            model_init_kwargs={"dtype": "float32", "attn_implementation": "sdpa"},
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        callbacks=[turns],
    )
trainer.train()
