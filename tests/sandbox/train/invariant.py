"""Forward passes in which documents have no order: what a tool that makes a model indifferent to their order computes.

`apart`: no document sees another one, all start at the same position (Set-Based Prompting, McIlroy-Young et al. 2024;
Parallel Context Windows, Ratner et al. 2023). `pine`: every document sees all others, the most important one nearest
(Wang et al., "Eliminating Position Bias of Language Models: A Mechanistic Approach", ICLR 2025). Slow and plain: one
prompt at a time, every key rotated anew for every row, as the definition says.
"""
import math

import torch

import vocab as v


def spans(ids):
    """First and last + 1 position of each document."""
    return [(n, ids.index(v.DOC_END, n) + 1) for n, x in enumerate(ids) if x == v.DOC]


def apart(model, ids):
    """Logits of the next token, documents that do not see each other."""
    docs, pos = spans(ids), torch.arange(len(ids))
    mask = torch.ones(len(ids), len(ids), dtype=torch.bool).tril()
    first, end = docs[0][0], docs[-1][1]
    pos[end:] += first + max(b - a for a, b in docs) - end
    for a, b in docs:
        pos[a:b] = first + torch.arange(b - a)
        mask[a:b, first:a] = False
    x = model.hidden(torch.tensor([ids]), pos=pos, mask=mask[None])
    return model.logits(x[0, -1])


class Layout:
    """Where each row and key stands: documents end together, at the end of their region."""

    def __init__(self, ids):
        docs, size = spans(ids), len(ids)
        self.lengths = torch.tensor([b - a for a, b in docs])
        self.region = torch.zeros(size, dtype=torch.bool)
        self.of, self.end = torch.zeros(size, dtype=torch.long), torch.arange(size)
        for s, (a, b) in enumerate(docs):
            assert s == 0 or a == docs[s - 1][1], "nothing stands between documents"
            self.region[a:b], self.of[a:b] = True, s
            self.end[a:b] = torch.arange(a, b) - b + docs[-1][1]
        before, index = torch.arange(size) < docs[0][0], torch.arange(size)
        self.rows = self.region | (index >= docs[-1][1])             # prefix rows see no document
        causal = index[None] <= index[:, None]
        other = self.of[:, None] != self.of[None]
        inside = self.region[:, None] & self.region[None]
        self.own = inside & ~other
        self.mask = torch.where(inside, causal | other, causal & ~(before[:, None] & self.region[None]))

    def shift(self, logits):
        """[row, document]: tokens of the documents that are more important to the row. logits [row, key], not rotated."""
        k = len(self.lengths)
        seen = logits.masked_fill(~self.region[None] | self.own, -math.inf)
        weight = torch.nan_to_num(seen.softmax(-1))
        member = torch.nn.functional.one_hot(self.of, k).float() * self.region[:, None]
        worth = weight @ (member / self.lengths)
        together = member.T @ worth                                  # the rows of a document share one order
        together.fill_diagonal_(math.inf)
        worth = torch.where(self.region[:, None], together[self.of], worth)
        nearer = (worth[:, :, None] < worth[:, None]) | (
            (worth[:, :, None] == worth[:, None]) & (torch.arange(k)[:, None] > torch.arange(k)[None]))
        return (nearer * self.lengths).sum(-1) * self.rows[:, None]


def pine(model, ids):
    """Logits of the next token, documents that all see each other and whose order follows from what they say."""
    cfg, at, x = model.cfg, Layout(ids), model.embed(torch.tensor(ids))
    freq = cfg.rope_base ** (-torch.arange(0, cfg.head_dim, 2) / cfg.head_dim)
    for block in model.blocks:
        qkv = block.product(block.attn_norm(x), block.q, block.k, block.v).unflatten(-1, (-1, cfg.head_dim))
        q, k, val = qkv.split([cfg.heads, cfg.kv_heads, cfg.kv_heads], 1)
        out = []
        for h in range(cfg.heads):
            g = h * cfg.kv_heads // cfg.heads
            logits = q[:, h] @ k[:, g].T / math.sqrt(cfg.head_dim)
            place = at.end[None] - at.shift(logits)[:, at.of] * at.region[None]
            turn = torch.exp(1j * (at.end[:, None] - place)[..., None] * freq)
            a, b = (torch.view_as_complex(y.unflatten(-1, (-1, 2)).contiguous()) for y in (q[:, h], k[:, g]))
            score = torch.einsum("rm,cm,rcm->rc", a, b.conj(), turn).real / math.sqrt(cfg.head_dim)
            out.append(score.masked_fill(~at.mask, -math.inf).softmax(-1) @ val[:, g])
        x = block.feed(x + block.product(torch.cat(out, -1), block.o))
    return model.logits(x[-1:])[0]


@torch.no_grad()
def right(model, its, forward):
    """1 or 0 per item: the first choice is the right answer."""
    return [float(forward(model, i.ids).argmax() == i.gold) for i in its]
