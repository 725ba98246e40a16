"""Rows to tensors."""
import torch

import corpus as c
import questions
import short
import vocab as v
import world as w


NAMES = torch.tensor([v.word(x) for x in w.NAMES])


class Batch:
    def __init__(self, rows, heads):
        """heads: {(layer, head): weight} of the attention supervision; "reads": weight of what documents read."""
        size = max(len(r.ids) for r in rows)
        self.ids = torch.tensor([r.ids + [v.PAD] * (size - len(r.ids)) for r in rows])
        self.tokens = sum(len(r.ids) for r in rows)
        flat = [(n, pos, r.ids[pos + 1], weight, task) for n, r in enumerate(rows) for pos, weight, task in r.targets]
        self.row, self.pos, self.label = (torch.tensor([f[i] for f in flat]) for i in range(3))
        self.weight = torch.tensor([f[3] for f in flat])
        self.task = [f[4] for f in flat]
        groups = {}
        for n, r in enumerate(rows):
            for layer, head, at, goal in r.sup:
                if heads.get((layer, head)):
                    groups.setdefault((layer, head), []).append((n, at, goal))
        self.sup = [(*place, *(torch.tensor(c) for c in zip(*g)), heads[place]) for place, g in groups.items()]
        self.reads, self.mask = [], None
        reads = [(n, *x) for n, r in enumerate(rows) for x in r.reads]
        if reads and heads.get("reads"):
            layer, goals = c.JOIN_LAYER, (torch.tensor(x) for x in zip(*reads))
            self.reads = [(layer, *goals, NAMES, heads["reads"])]
        if any(r.hidden for r in rows):
            self.mask = torch.ones(size, size, dtype=torch.bool).tril().repeat(len(rows), 1, 1)
            for n, r in enumerate(rows):
                for a, b, from_, to in r.hidden:
                    self.mask[n, a:b, from_:to] = False


def document_batch(rng, lab, doses, k, tokens, noise, heads, two=False):
    """Rows of about the same number of documents until the token budget is used; 30% have a single question."""
    most = 1 if rng.random() < 0.3 else 4 if k <= 12 else 20
    rows, size = [], 0
    while not rows or (len(rows) + 1) * size <= tokens:
        row = questions.document_row(rng, lab, doses, k, most, noise, two)
        if row.targets and len(row.ids) <= 1024:
            rows.append(row)
            size = max(size, len(row.ids))
    return Batch(rows, heads)


def short_batch(rng, lab, doses, rows, heads, names=0.35, tasks=short.TASKS):
    return Batch([short.short_row(rng, lab, doses, names, tasks) for _ in range(rows)], heads)
