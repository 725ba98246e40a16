"""A llama-architecture model: RMSNorm, RoPE on neighbouring pairs (llama.cpp's NORM), grouped-query attention, SwiGLU."""
import dataclasses
import math

import torch
import torch.nn.functional as F
from torch import nn


@dataclasses.dataclass
class Config:
    vocab: int = 896
    width: int = 128
    layers: int = 4
    heads: int = 4
    kv_heads: int = 2
    ff: int = 256
    context: int = 1024
    rope_base: float = 10000.0
    eps: float = 1e-5

    @property
    def head_dim(self):
        return self.width // self.heads


def rope_table(cfg):
    """Unit complex numbers [position, pair]: rotating a pair is one complex product."""
    freq = cfg.rope_base ** (-torch.arange(0, cfg.head_dim, 2, dtype=torch.float64) / cfg.head_dim)
    angle = torch.arange(cfg.context, dtype=torch.float64)[:, None] * freq
    return torch.polar(torch.ones_like(angle), angle).to(torch.complex64)


def rotate(x, turn):
    """x: [..., heads, head_dim], turn: [..., pairs]."""
    pairs = torch.view_as_complex(x.unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * turn[..., None, :]).flatten(-2)


class Norm(nn.Module):
    def __init__(self, width, eps, start=1.0):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.full((width,), start)), eps

    def forward(self, x):
        return F.rms_norm(x, (x.shape[-1],), self.weight, self.eps)


class Bf16Product(torch.autograd.Function):
    """x @ w.T with bfloat16 factors and float32 results, forward and backward: a third less time on a CPU that has it."""

    @staticmethod
    def forward(ctx, x, w):
        ctx.shape = x.shape
        x, w = x.flatten(0, -2).bfloat16(), w.bfloat16()
        ctx.save_for_backward(x, w)
        return (x @ w.T).float()

    @staticmethod
    def backward(ctx, grad):
        x, w = ctx.saved_tensors
        grad = grad.bfloat16()
        return (grad @ w).float().view(ctx.shape), (grad.T @ x).float()


class Block(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.cfg, w, kv = cfg, cfg.width, cfg.kv_heads * cfg.head_dim
        self.attn_norm, self.ffn_norm = Norm(w, cfg.eps), Norm(w, cfg.eps)
        self.q, self.k = nn.Linear(w, w, bias=False), nn.Linear(w, kv, bias=False)
        self.v, self.o = nn.Linear(w, kv, bias=False), nn.Linear(w, w, bias=False)
        self.gate, self.up = nn.Linear(w, cfg.ff, bias=False), nn.Linear(w, cfg.ff, bias=False)
        self.down = nn.Linear(cfg.ff, w, bias=False)

    def product(self, x, *parts):
        """Bfloat16 while training, float32 for every measurement."""
        w = torch.cat([p.weight for p in parts]) if len(parts) > 1 else parts[0].weight
        if not self.training:
            return x @ w.T
        return Bf16Product.apply(x, w).view(*x.shape[:-1], -1)

    def heads(self, x, turn, *parts):
        """Projections of x, split into heads; all but the values are rotated."""
        out = self.product(x, *parts).unflatten(-1, (-1, self.cfg.head_dim))
        kv = self.cfg.kv_heads
        return rotate(out[..., :-kv, :], turn), out[..., -kv:, :]

    def feed(self, x):
        gate, up = self.product(self.ffn_norm(x), self.gate, self.up).chunk(2, -1)
        return x + self.product(F.silu(gate) * up, self.down)

    def forward(self, x, turn, sup, mask=None):
        cfg, group = self.cfg, self.cfg.heads // self.cfg.kv_heads
        qk, val = self.heads(self.attn_norm(x), turn, self.q, self.k, self.v)
        q, k = qk.transpose(1, 2).split([cfg.heads, cfg.kv_heads], 1)
        val = val.transpose(1, 2)
        out = F.scaled_dot_product_attention(q, k.repeat_interleave(group, 1), val.repeat_interleave(group, 1),
                                             attn_mask=None if mask is None else mask[:, None], is_causal=mask is None)
        x = x + self.product(out.transpose(1, 2).flatten(2), self.o)
        losses = [self.attention_loss(q, k, *s) for s in sup]
        return self.feed(x), losses

    def at(self, x, turn, row, pos, mask=None):
        """The block's output at some places only: the last layer needs no more, and that saves a sixth of a step."""
        cfg, h, n = self.cfg, self.attn_norm(x), len(row)
        k, val = self.heads(h, turn, self.k, self.v)
        q = rotate(self.product(h[row, pos], self.q).view(n, cfg.heads, cfg.head_dim), turn[pos])
        q = q.view(n, cfg.kv_heads, -1, cfg.head_dim)
        scores = torch.einsum("ngid,ntgd->ngit", q, k[row]) / math.sqrt(cfg.head_dim)
        future = torch.arange(x.shape[1])[None] > pos[:, None] if mask is None else ~mask[row, pos]
        weight = scores.masked_fill(future[:, None, None], -1e9).softmax(-1)
        out = torch.einsum("ngit,ntgd->ngid", weight, val[row]).reshape(n, -1)
        return self.feed(x[row, pos] + self.product(out, self.o))

    def attention_loss(self, q, k, head, row, at, goal, weight):
        """Cross-entropy of one head's attention at chosen places: where should it look? In the warm-up only."""
        group = self.cfg.heads // self.cfg.kv_heads
        scores = torch.einsum("nd,ntd->nt", q[row, head, at], k[row, head // group]) / math.sqrt(self.cfg.head_dim)
        future = torch.arange(k.shape[2])[None] > at[:, None]
        return F.cross_entropy(scores.masked_fill(future, -1e9), goal) * weight


class Model(nn.Module):
    def __init__(self, cfg, seed=0):
        super().__init__()
        self.cfg = cfg
        self.embed = nn.Embedding(cfg.vocab, cfg.width)
        self.blocks = nn.ModuleList(Block(cfg) for _ in range(cfg.layers))
        self.norm = Norm(cfg.width, cfg.eps, 0.1)
        self.turn = rope_table(cfg)
        self.start(torch.Generator().manual_seed(seed))

    @torch.no_grad()
    def start(self, gen):
        """Start values that let attention copy from the first step; with 0.02 everywhere this size learns no retrieval."""
        cfg = self.cfg

        def normal(p, std):
            p.copy_(torch.randn(p.shape, generator=gen) * std)
        normal(self.embed.weight, 0.5)
        for n, b in enumerate(self.blocks):
            for p in (b.q, b.k, b.v, b.gate, b.up):
                normal(p.weight, 1 / math.sqrt(cfg.width))
            normal(b.down.weight, 0.2 / math.sqrt(cfg.ff))
            if n:                                # equal words attract: retrieval starts as matching
                b.k.weight.mul_(0.6)
                keys = b.k.weight.view(cfg.kv_heads, cfg.head_dim, cfg.width)
                b.q.weight.copy_(keys.repeat_interleave(cfg.heads // cfg.kv_heads, 0).reshape(cfg.width, cfg.width))
            heads = b.v.weight.view(cfg.kv_heads, cfg.head_dim, cfg.width)
            b.o.weight.copy_(heads.repeat_interleave(cfg.heads // cfg.kv_heads, 0).reshape(cfg.width, cfg.width).T)

    def hidden(self, ids, hook=None, pos=None, mask=None):
        """Residual after the last layer. hook(layer, x) may change a layer's output. pos, mask: other positions than 0, 1,
        ..., and what each row [batch, to, from] sees."""
        x, turn = self.embed(ids), self.turn[: ids.shape[1]] if pos is None else self.turn[pos]
        for n, block in enumerate(self.blocks):
            x, _ = block(x, turn, (), mask)
            if hook:
                x = hook(n, x)
        return x

    def hidden_at(self, ids, row, pos, sup=(), reads=(), mask=None):
        """The same at some places only, and the losses of the supervision: what training needs."""
        x, losses, turn = self.embed(ids), [], self.turn[: ids.shape[1]]
        for n, block in enumerate(self.blocks[:-1]):
            x, extra = block(x, turn, [s[1:] for s in sup if s[0] == n], mask)
            losses += extra
            losses += [self.lens_loss(x, *r[1:]) for r in reads if r[0] == n]
        return self.blocks[-1].at(x, turn, row, pos, mask), losses

    def lens_loss(self, x, row, at, goal, other, weight):
        """Cross-entropy of what a layer's output would say at chosen places: which word has it read there? `other` words do
        not count. In the warm-up only."""
        logits = self.logits(x[row, at]).index_fill(1, other, -1e9)
        return F.cross_entropy(logits, goal) * weight

    def logits(self, x):
        return self.norm(x) @ self.embed.weight.T
