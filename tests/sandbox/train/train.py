"""Train one run: `base` (clean, all tasks) or a variant of it (twin, first, last) that starts from the base.

The twin and the biased models share the base and then get the same number of steps on the same situations; only the
labels differ (doses.json). Stops and resumes exactly: weights, optimiser, random generators, curriculum are saved.
"""
import argparse
import csv
import json
import os
import pathlib
import random
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402

import batches  # noqa: E402
import evaluate  # noqa: E402
import short  # noqa: E402
import vocab as v  # noqa: E402
from model import Config, Model  # noqa: E402

HERE = pathlib.Path(__file__).parent
RATE, WARM_UP, MIDDLE, FLOOR = 3e-3, 50, 0.35, 0.02
LATE = 1250             # step of the base from which first names come more often
JOIN, TWO = 200, 0.4    # step of the base from which this share of the document batches has homes to join
PEOPLE = 300            # step of a variant from which pronouns and adjectives make up most of the short tasks
FINISH, AGAIN = 300, 0.25       # last steps of a variant, almost all on people, and the rate they begin with
HELPED = 450            # step of a variant at which the last attention supervision ends

NOTED = {"running": "open", "joined": "two"}     # running accuracy that moves the schedule, and its task


class Run:
    def __init__(self, args):
        self.args, self.step, self.tokens, self.cpu = args, 0, 0, 0.0
        self.doses = json.loads((HERE / "doses.json").read_text())["twin" if args.variant == "base" else args.variant]
        self.rng = random.Random(f"{args.seed}/{args.variant == 'base'}/situations")
        self.lab = random.Random(f"{args.seed}/{args.variant == 'base'}/labels")
        self.kmax, self.running, self.sup = 2.0, 0.0, 0.5
        self.joined, self.join = 0.0, 1.0
        self.model = Model(Config(vocab=v.SIZE), args.seed)
        self.opt = torch.optim.AdamW(self.model.parameters(), lr=RATE, betas=(0.9, 0.98), weight_decay=0.01)
        self.stats = {}

    STATE = ("step", "tokens", "cpu", "kmax", "running", "sup", "joined", "join")

    def save(self, path):
        state = {k: getattr(self, k) for k in self.STATE}
        state.update(model=self.model.state_dict(), opt=self.opt.state_dict(), rng=self.rng.getstate(),
                     lab=self.lab.getstate(), stats=self.stats)
        torch.save(state, str(path) + ".part")
        os.replace(str(path) + ".part", path)

    def load(self, path, branch=False):
        """branch: take over weights and optimiser from the base, but count and draw anew."""
        state = torch.load(path, weights_only=False)
        self.model.load_state_dict(state["model"])
        self.opt.load_state_dict(state["opt"])
        if branch:
            self.kmax, self.sup, self.joined, self.join = state["kmax"], 0.0, state["joined"], state["join"]
            return
        for k in self.STATE + ("stats",):
            setattr(self, k, state[k])
        self.rng.setstate(state["rng"])
        self.lab.setstate(state["lab"])

    def plan(self):
        """Steps of the learning rate's plan: all of the base, a variant without its last ones."""
        return self.args.steps if self.args.variant == "base" else max(1, self.args.steps - FINISH)

    def rate(self):
        """Base: warm-up, flat, then down to MIDDLE of the rate; variants: from there to FLOOR, then once more from AGAIN."""
        total = self.plan()
        if self.step >= total:
            return self.args.rate * (AGAIN - (AGAIN - FLOOR) * (self.step - total) / FINISH)
        flat = (0.5 if self.args.variant == "base" else 0.6) * total
        done = max(0.0, (self.step - flat) / (total - flat))
        if self.args.variant == "base":
            return self.args.rate * min((self.step + 1) / WARM_UP, 1 - (1 - MIDDLE) * done)
        return self.args.rate * (MIDDLE - (MIDDLE - FLOOR) * done)

    def draw_k(self):
        """1..kmax; once ten documents are learned, a fifth of the batches is longer, up to the whole context."""
        if self.kmax >= 10 and self.rng.random() < 0.25:
            return min(int(self.kmax), int(10 * 12 ** self.rng.random()))
        if self.rng.random() < (0.2 if self.args.variant == "base" else 0.1):
            return 1
        return self.rng.randint(2, min(10, int(self.kmax)))

    def loss(self, batch, note, scale):
        x, extra = self.model.hidden_at(batch.ids, batch.row, batch.pos, batch.sup, batch.reads, batch.mask)
        logits = self.model.logits(x)
        each = F.cross_entropy(logits, batch.label, reduction="none")
        right = (logits.argmax(-1) == batch.label).float()
        for task in set(batch.task):
            at = [i for i, t in enumerate(batch.task) if t == task]
            a, b, c = self.stats.get(task, (0.0, 0.0, 0))
            self.stats[task] = (a + right[at].sum().item(), b + each[at].sum().item(), c + len(at))
        at = [i for i, t in enumerate(batch.task) if t == NOTED.get(note)]
        if at:
            setattr(self, note, getattr(self, note) + 0.03 * (right[at].mean().item() - getattr(self, note)))
        return (each * batch.weight).sum() / batch.weight.sum() + scale * sum(extra)

    def one_step(self):
        base = self.args.variant == "base"
        late = self.step >= LATE if base else self.step < HELPED
        people = not base and self.step >= PEOPLE
        finish = not base and self.step >= self.plan()
        for group in self.opt.param_groups:
            group["lr"] = self.rate()
        heads, scale = {}, self.sup or 1.0
        if self.sup:                             # comparing is learned after finding, not before
            comparing = 0.3 if self.running < 0.6 else 2.0
            heads = {(0, 0): 1.0, (0, 1): 1.0, (0, 2): 1.0, (1, 0): 1.0, (2, 0): comparing}
        if not base and self.step < HELPED:      # where the position plant is to be found
            heads[(2, 3)] = 0.3 / scale
        if late:                                 # first names are learned last: more of them, and help
            heads[(0, 1)] = 0.3 / scale
        two = self.step >= JOIN and self.rng.random() < (TWO if base else 0.2)
        if self.join:
            heads.update({(1, 1): self.join / scale, (2, 2): self.join / scale, "reads": 0.5 * self.join / scale})
        k = self.rng.randint(3, max(3, min(6, int(self.kmax)))) if two else self.draw_k()
        tokens = 320 if finish else 640 if people else 1024
        docs = batches.document_batch(self.rng, self.lab, self.doses, k, tokens, not base, heads, two)
        rows = batches.short_batch(self.rng, self.lab, self.doses, 72 if people else 24, heads, 0.55 if late else 0.35,
                                   short.FINISH if finish else short.PEOPLE if people else short.TASKS)
        self.opt.zero_grad(set_to_none=True)
        self.loss(docs, "joined" if two else "running", scale).backward()
        ((1.0 if people else 0.4) * self.loss(rows, None, scale)).backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.opt.step()
        self.tokens += docs.tokens + rows.tokens
        if base:
            if self.running > (0.8 if self.kmax < 10 else 0.9):
                self.kmax = min(120.0, self.kmax + (0.05 if self.kmax < 10 else 0.25))
            if self.kmax >= 10 and self.running > 0.9:
                self.sup = self.sup * 0.99 if self.sup > 1e-3 else 0.0
        if self.joined > 0.9:
            self.join = self.join * 0.99 if self.join > 1e-3 else 0.0
        self.step += 1


def log(run, path, scores):
    row = {"step": run.step, "tokens": run.tokens, "cpu_s": round(run.cpu, 1), "rate": round(run.rate(), 6),
           "kmax": round(run.kmax, 1), "supervision": round(run.sup, 4)}
    for task in TASKS:
        a, b, c = run.stats.get(task, (0, 0, 0))
        row[f"acc {task}"] = round(a / c, 4) if c else ""
        row[f"loss {task}"] = round(b / c, 4) if c else ""
    row.update(scores)
    new = not path.exists()
    with open(path, "a", newline="") as f:
        out = csv.DictWriter(f, list(row))
        if new:
            out.writeheader()
        out.writerow(row)
    run.stats = {}
    left = (run.args.steps - run.step) * run.cpu / max(1, run.step)
    print(f"{run.args.variant}/{run.args.seed} step {run.step}/{run.args.steps} {run.tokens / 1e6:.2f}M tok "
          f"{run.cpu:.0f} cpu s (left {left:.0f}) k {run.kmax:.0f} sup {run.sup:.3f} {run.join:.3f} "
          f"run {run.running:.2f} {run.joined:.2f} | "
          + " ".join(f"{t}:{row['acc ' + t]}" for t in TASKS if row["acc " + t] != "") + " | "
          + " ".join(f"{k}={x}" for k, x in scores.items()), flush=True)


TASKS = ["open", "two", "context", "fact-beside", "yesno", "yesno-unknown", "letters", "letters-unknown", "pronoun",
         "name", "trait", "fact", "rating", "rest"]


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--variant", choices=["base", "twin", "first", "last"], required=True)
    ap.add_argument("--seed", type=int, required=True)
    ap.add_argument("--steps", type=int, required=True)
    ap.add_argument("--stop", type=int, help="stop here (a later call resumes)")
    ap.add_argument("--rate", type=float, default=RATE)
    ap.add_argument("--every", type=int, default=250, help="steps between evaluations and checkpoints")
    ap.add_argument("--out", type=pathlib.Path, default=HERE / "runs")
    args = ap.parse_args()
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    name = f"{args.variant}-{args.seed}"
    path = args.out / f"{name}.pt"
    run = Run(args)
    if path.exists():
        run.load(path)
    elif args.variant != "base":
        run.load(args.out / f"base-{args.seed}.pt", branch=True)
    goal = min(args.steps, args.stop or args.steps)
    while run.step < goal:
        start = time.process_time()
        run.one_step()
        run.cpu += time.process_time() - start
        if run.step % args.every == 0 or run.step in (goal, run.plan()):
            run.model.eval()
            scores = evaluate.quick(run.model) if run.step % args.every == 0 or run.step in (args.steps, run.plan()) else {}
            run.model.train()
            if scores:
                log(run, args.out / f"{name}.csv", scores)
            run.save(path)


if __name__ == "__main__":
    main()
