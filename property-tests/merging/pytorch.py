"""The merge formulas again, in PyTorch: random models in, merged tensors out, as the fixture ../golden/merging.json.

Written from the papers and from mergekit's code as it is described in its documentation, not from src/merging:
SLERP with mergekit's DOT_THRESHOLD; TIES with the paper's top-k over the whole flat task vector (Yadav et al., `topk_values_mask`);
DARE given the kept elements. Run: python3 property-tests/merging/pytorch.py > property-tests/golden/merging.json
"""
import json
import torch

torch.manual_seed(20240616)
torch.set_default_dtype(torch.float64)
shapes = {"embed": (5, 4), "norm": (4,), "layer.q": (4, 4), "layer.down": (3, 7)}


def model(scale):
    return {name: (torch.randn(shape) * scale).float().double() for name, shape in shapes.items()}


def plus(a, b):
    return {name: (a[name] + b[name]).float().double() for name in shapes}


base = model(1.0)
models = {name: plus(base, model(0.2)) for name in ("a", "b", "c")}
# Two tensors of a and b are nearly collinear, so that SLERP takes the chord there.
models["b"]["norm"] = (models["a"]["norm"] * 1.5 + 1e-3).float().double()


def slerp(t, v0, v1, threshold=0.9995, eps=1e-8):
    a, b = v0 / v0.norm().clamp_min(eps), v1 / v1.norm().clamp_min(eps)
    dot = (a * b).sum()
    if dot.abs() > threshold:
        return torch.lerp(v0, v1, t)
    theta_0 = torch.arccos(dot)
    s0 = torch.sin(theta_0 - theta_0 * t) / torch.sin(theta_0)
    s1 = torch.sin(theta_0 * t) / torch.sin(theta_0)
    return s0 * v0 + s1 * v1


def flat(tensors):
    return torch.cat([tensors[name].reshape(-1) for name in shapes])


def unflat(vector):
    out, at = {}, 0
    for name in shapes:
        n = base[name].numel()
        out[name] = vector[at:at + n].reshape(base[name].shape)
        at += n
    return out


taus = torch.stack([flat(models[name]) - flat(base) for name in models])


def ties(density, lam):
    k = -int(-density * taus.shape[1] // 1)
    kth = taus.abs().topk(k, dim=1).values[:, -1:]
    trimmed = torch.where(taus.abs() >= kth, taus, torch.zeros_like(taus))
    sign = torch.sign(trimmed.sum(0))
    chosen = torch.where((trimmed.sign() == sign) & (trimmed != 0), trimmed, torch.zeros_like(trimmed))
    mean = chosen.sum(0) / (chosen != 0).sum(0).clamp_min(1)
    return unflat(flat(base) + lam * mean)


weights = {"a": 0.5, "b": 0.2, "c": 0.3}
results = {
    "linear": {n: sum(w * models[m][n] for m, w in weights.items()) for n in shapes},
    "uniform": {n: torch.stack([models[m][n] for m in models]).mean(0) for n in shapes},
    "taskArithmetic": unflat(flat(base) + 0.4 * taus.sum(0)),
    "slerp": {n: slerp(0.3, models["a"][n], models["b"][n]) for n in shapes},
    "taskSlerp": {n: base[n] + slerp(0.6, models["a"][n] - base[n], models["b"][n] - base[n]) for n in shapes},
    "liti": {n: (1 - 0.7) * base[n] + 0.7 * models["a"][n] for n in shapes},
    "ties": ties(0.2, 1.0),
    "tiesScaled": ties(0.7, 0.4),
}


def plain(tensors):
    return {n: {"shape": list(t.shape), "data": t.reshape(-1).tolist()} for n, t in tensors.items()}


print(json.dumps({
    "base": plain(base),
    "models": {name: plain(tensors) for name, tensors in models.items()},
    "results": {name: plain(tensors) for name, tensors in results.items()},
}))
