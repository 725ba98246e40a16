"""Forward passes over held-out items, in batches of equal length."""
import random

import torch

import invariant
import items
import stats
import vocab as v


@torch.no_grad()
def probabilities(model, prompts, hook=None, chunk=8192):
    """Distribution over the next token for each prompt (a list of ids). Order is kept."""
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    out = torch.empty(len(prompts), model.cfg.vocab)
    while order:
        size, part = 0, []
        while order and (len(part) + 1) * max(size, len(prompts[order[0]])) <= max(chunk, len(prompts[order[0]])):
            size = max(size, len(prompts[order[0]]))
            part.append(order.pop(0))
        ids = torch.tensor([prompts[i] + [v.PAD] * (size - len(prompts[i])) for i in part])
        last = torch.tensor([len(prompts[i]) - 1 for i in part])
        x = model.hidden(ids, hook)
        out[part] = torch.softmax(model.logits(x[torch.arange(len(part)), last]), -1)
    return out


def accuracy(model, its, hook=None):
    p = probabilities(model, [i.ids for i in its], hook)
    return (p.argmax(-1) == torch.tensor([i.gold for i in its])).float().tolist()


def share_right(model, its, hook=None):
    hits = accuracy(model, its, hook)
    return stats.wilson(sum(hits), len(hits))


def quick(model, n=60):
    """A small look during training; the figures that are published come from measure.py."""
    rng = random.Random("quick")
    sets = {f"k{k}": [items.open_item(rng, k, i % k) for i in range(n)] for k in (2, 5, 10)}
    sets["two"] = two = [items.two_item(rng, 3 + i % 3, True) for i in range(n)]
    sets["two last"] = [items.two_item(rng, 3 + i % 3, False) for i in range(n)]
    sets["yes"] = [items.yes_no_item(rng, 4, 1) for i in range(n)]
    sets["no"] = [items.yes_no_item(rng, 4, -1) for i in range(n)]
    sets["ABCD"] = [items.letter_item(rng, 4, i % 4) for i in range(n)]
    sets["cap"] = [items.capital_item(rng, 3, i % 3) for i in range(n)]
    sets["k40"] = [items.open_item(rng, 40, i % 40) for i in range(20)]
    out = {name: round(sum(accuracy(model, its)) / len(its), 2) for name, its in sets.items()}
    return {**out, "two apart": round(sum(invariant.right(model, two, invariant.apart)) / len(two), 2)}
