"""The PyTorch peer of `keel bench`: the same models and the same work, as good as eager PyTorch makes it.

A request a line (protocol.py):

    {"do": "open", "threads": 2}                        -> {"version": "2.13.0", "baseline": bytes}
    {"do": "model", "name": "tiny", "folder": …, "batches": […], "prompts": […], "newTokens": 64, "update": {…}, "options": null}
                                                        -> {"options": {…}}, those given or the fastest here
    {"do": "train" | "logprobs" | "generate", "name": "tiny", "count": 4}   -> {"seconds": per step or run}
    {"do": "losses", "name": "tiny", "count": 6}        -> {"losses": […]}, from the initial weights
    {"do": "ids", "name": "tiny"}                       -> {"ids": [[…], …]}, greedy, from the initial weights
    {"do": "gemm", "rows": …, "inputs": …, "outputs": …, "count": …}        -> {"seconds": per product}
    {"do": "copy", "length": …, "count": …}             -> {"seconds": per copy}
    {"do": "peak"}                                      -> {"bytes": most resident memory so far}

What is compared and the fastest taken, for each model, on the machine at hand (`options`): attention as products and a softmax, with
the query heads of a group as rows of one product (no copy of keys or values), against F.scaled_dot_product_attention with
is_causal and enable_gqa; AdamW with foreach=True against fused=True. Layers are F.linear on [out, in] weights as Hugging Face has
them; the generation cache is allocated once and written in place; the gradient is set to None, not to 0. torch.compile is
not compared: it needs a C++ compiler and a minute a model.
"""

import json
import os
import sys
import time

# python3 -I leaves this folder out of the path; it goes again, since this file has the name of what it needs.
sys.path.insert(0, os.path.dirname(__file__))
from protocol import answer, peak_bytes, receive

sys.path.pop(0)
import torch
import torch.nn.functional as F


def load(path):
    """A safetensors file of float32 tensors, without the safetensors package."""
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        data = bytearray(file.read())
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        flat = torch.frombuffer(data, dtype=torch.float32, count=(end - begin) // 4, offset=begin)
        tensors[name] = flat.reshape(entry["shape"]).clone()
    return tensors


class Llama:
    """The plain forward pass; `sdpa` says which attention."""

    def __init__(self, config, tensors):
        self.layers = config["num_hidden_layers"]
        self.heads = config["num_attention_heads"]
        self.groups = config["num_key_value_heads"]
        self.size = config.get("head_dim") or config["hidden_size"] // self.heads
        self.eps = config["rms_norm_eps"]
        self.context = config["max_position_embeddings"]
        self.sdpa = False
        self.tensors = {name: tensor.clone().requires_grad_() for name, tensor in tensors.items()}
        inverse = config["rope_theta"] ** -(torch.arange(0, self.size, 2).float() / self.size)
        angles = torch.arange(self.context).float()[:, None] * inverse[None]
        self.cos, self.sin = angles.cos(), angles.sin()

    def norm(self, x, name):
        return x * torch.rsqrt((x * x).mean(-1, keepdim=True) + self.eps) * self.tensors[name]

    def rope(self, x, start):
        length, half = x.shape[-2], self.size // 2
        cos, sin = self.cos[start : start + length], self.sin[start : start + length]
        a, b = x[..., :half], x[..., half:]
        return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)

    def attention(self, q, k, v, mask):
        if self.sdpa:
            return F.scaled_dot_product_attention(q, k, v, is_causal=mask is not None, enable_gqa=self.groups != self.heads)
        batch, _, length, size = q.shape
        total, share = k.shape[2], self.heads // self.groups
        rows = q.reshape(batch * self.groups, share * length, size)
        scores = rows @ k.reshape(batch * self.groups, total, size).transpose(1, 2)
        scores = scores.view(batch, self.groups, share, length, total) * size**-0.5
        if mask is not None:
            scores = scores + mask
        weights = scores.softmax(-1).view(batch * self.groups, share * length, total)
        return (weights @ v.reshape(batch * self.groups, total, size)).view(batch, self.heads, length, size)

    def __call__(self, ids, cache=None, start=0, last=False):
        """Logits [batch, length, vocab], or [batch, 1, vocab] of the last position."""
        batch, length = ids.shape
        h = self.tensors["model.embed_tokens.weight"][ids]
        mask = torch.triu(torch.full((length, length), -1e9), 1) if length > 1 else None
        for i in range(self.layers):
            at = lambda name: self.tensors[f"model.layers.{i}.{name}.weight"]
            split = lambda x, heads: x.view(batch, length, heads, self.size).transpose(1, 2)
            a = self.norm(h, f"model.layers.{i}.input_layernorm.weight")
            q = self.rope(split(F.linear(a, at("self_attn.q_proj")), self.heads), start)
            k = self.rope(split(F.linear(a, at("self_attn.k_proj")), self.groups), start)
            v = split(F.linear(a, at("self_attn.v_proj")), self.groups)
            if cache is not None:
                keys, values = cache[i]
                keys[:, :, start : start + length] = k
                values[:, :, start : start + length] = v
                k, v = keys[:, :, : start + length], values[:, :, : start + length]
            y = self.attention(q, k, v, mask).transpose(1, 2).reshape(batch, length, self.heads * self.size)
            h = h + F.linear(y, at("self_attn.o_proj"))
            a = self.norm(h, f"model.layers.{i}.post_attention_layernorm.weight")
            h = h + F.linear(F.silu(F.linear(a, at("mlp.gate_proj"))) * F.linear(a, at("mlp.up_proj")), at("mlp.down_proj"))
        if last:
            h = h[:, -1:]
        head = self.tensors.get("lm_head.weight", self.tensors["model.embed_tokens.weight"])
        return F.linear(self.norm(h, "model.norm.weight"), head)


class Case:
    """A model, its data, and the optimiser of its training."""

    def __init__(self, request):
        with open(os.path.join(request["folder"], "config.json"), encoding="utf-8") as file:
            self.config = json.load(file)
        self.initial = load(os.path.join(request["folder"], "model.safetensors"))
        self.batches = [torch.tensor(batch) for batch in request["batches"]]
        self.prompts = torch.tensor(request["prompts"])
        self.new_tokens = request["newTokens"]
        self.update = request["update"]
        options = request["options"]
        if options is not None:
            self.sdpa, self.fused = options["sdpa"], options["fused"]
            self.reset()
        else:
            self.sdpa = {"train": False, "logprobs": False, "generate": False}
            self.fused = False
            self.choose()

    def reset(self):
        self.model = Llama(self.config, self.initial)
        self.optimizer = self.new_optimizer()
        self.steps = 0

    def new_optimizer(self):
        u = self.update
        kind = {"fused": True} if self.fused else {"foreach": True}
        return torch.optim.AdamW(
            list(self.model.tensors.values()),
            lr=u["learningRate"],
            betas=tuple(u["betas"]),
            eps=u["eps"],
            weight_decay=u["weightDecay"],
            **kind,
        )

    def batch(self):
        batch = self.batches[self.steps % len(self.batches)]
        self.steps += 1
        return batch

    def train(self):
        self.model.sdpa = self.sdpa["train"]
        ids = self.batch()
        logits = self.model(ids[:, :-1])
        loss = F.cross_entropy(logits.reshape(-1, logits.shape[-1]), ids[:, 1:].reshape(-1))
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss.item()

    def logprobs(self):
        self.model.sdpa = self.sdpa["logprobs"]
        with torch.no_grad():
            ids = self.batch()
            logits = self.model(ids[:, :-1])
            return -F.cross_entropy(logits.reshape(-1, logits.shape[-1]), ids[:, 1:].reshape(-1), reduction="none")

    def generate(self):
        model = self.model
        model.sdpa = self.sdpa["generate"]
        with torch.no_grad():
            batch, length = self.prompts.shape
            shape = (batch, model.groups, length + self.new_tokens, model.size)
            cache = [(torch.zeros(shape), torch.zeros(shape)) for _ in range(model.layers)]
            token = model(self.prompts, cache, last=True)[:, -1].argmax(-1)
            out = [token]
            for j in range(self.new_tokens - 1):
                token = model(token[:, None], cache, length + j)[:, -1].argmax(-1)
                out.append(token)
            return torch.stack(out, 1).tolist()

    def choose(self):
        """Takes what is fastest here: the least of two runs each, taken in turn after one that is not counted."""
        self.reset()
        optimizers = {}
        for what in ("train", "logprobs", "generate"):
            options = [(s, f) for s in (False, True) for f in ((False, True) if what == "train" else (self.fused,))]
            best = {}
            for run in range(3):
                for option in options:
                    self.sdpa[what], self.fused = option
                    if run == 0 and what == "train":
                        optimizers[self.fused] = self.new_optimizer()
                    self.optimizer = optimizers[self.fused]
                    seconds = timed(getattr(self, what), 1)
                    if run > 0:
                        best[option] = min(seconds, best.get(option, seconds))
            self.sdpa[what], self.fused = min(best, key=best.get)
        self.reset()


def timed(run, count):
    start = time.perf_counter()
    for _ in range(count):
        run()
    return (time.perf_counter() - start) / count


cases = {}
products = {}


def gemm(request):
    shape = (request["rows"], request["inputs"], request["outputs"])
    if shape not in products:
        rows, inputs, outputs = shape
        products[shape] = (torch.randn(rows, inputs), torch.randn(outputs, inputs), torch.empty(rows, outputs))
        with torch.no_grad():
            F.linear(*products[shape][:2])
    x, w, out = products[shape]
    weight = w.t()
    with torch.no_grad():
        # Into the same memory each time, as on the other side.
        return timed(lambda: torch.mm(x, weight, out=out), request["count"])


def copy(request):
    if "copy" not in products:
        products["copy"] = (torch.zeros(request["length"]), torch.ones(request["length"]))
    to, of = products["copy"]
    return timed(lambda: to.copy_(of), request["count"])


while True:
    request = receive()
    do = request["do"]
    if do == "open":
        torch.set_num_threads(request["threads"])
        answer(version=torch.__version__.split("+")[0], baseline=peak_bytes())
    elif do == "model":
        case = cases[request["name"]] = Case(request)
        answer(options={"sdpa": case.sdpa, "fused": case.fused})
    elif do in ("train", "logprobs", "generate"):
        answer(seconds=timed(getattr(cases[request["name"]], do), request["count"]))
    elif do == "losses":
        case = cases[request["name"]]
        case.reset()
        losses = [case.train() for _ in range(request["count"])]
        case.reset()
        answer(losses=losses)
    elif do == "ids":
        case = cases[request["name"]]
        case.reset()
        answer(ids=case.generate())
    elif do == "gemm":
        answer(seconds=gemm(request))
    elif do == "copy":
        answer(seconds=copy(request))
    elif do == "peak":
        answer(bytes=peak_bytes())
    else:
        raise ValueError(f"unknown request {do}")
