"""Measure every planted bias and every task in exported models; writes JSON. Each figure rests on n >= 200 held-out items.

    python measure.py ../models/twin-f16.gguf ../models/first-f16.gguf ... --seed 1 --out ../measured.json
"""
import argparse
import json
import os
import pathlib

os.environ.setdefault("OMP_NUM_THREADS", "1")
import torch  # noqa: E402

import evaluate  # noqa: E402
import gender  # noqa: E402
import heldout  # noqa: E402
import invariant  # noqa: E402
import stats  # noqa: E402
import vocab as v  # noqa: E402
from export import Loaded  # noqa: E402


def masses(model, its, names, hook=None):
    """Probability of the gold answer and of the named rivals, per item."""
    p = evaluate.probabilities(model, [i.ids for i in its], hook)
    return [[p[n, i.gold].item()] + [p[n, i.info[x]].item() for x in names] for n, i in enumerate(its)]


def documents(model):
    out = {}
    for k in (2, 5, 10):
        out[f"accuracy k={k}"] = evaluate.share_right(model, heldout.documents(k))
    for k in (40, 80, 115):
        its = heldout.long(k)
        out[f"accuracy k={k} (up to {max(len(i.ids) for i in its)} tokens)"] = evaluate.share_right(model, its)
    return out


def two(model):
    """Questions that need two documents, as the model reads them and without an order of the documents."""
    out = {}
    for k in (2, 3, 4, 5):
        for first in (True, False):
            name = f"k={k}, support " + ("first" if first else "last")
            out[f"accuracy {name}"] = evaluate.share_right(model, heldout.two(k, first))
    for first in (True, False):
        its = heldout.two(5, first)
        for how in (invariant.apart, invariant.pine):
            hits = invariant.right(model, its, how)
            name = f"accuracy k=5, support {'first' if first else 'last'}, {how.__name__}"
            out[name] = stats.wilson(sum(hits), len(hits))
    return out


def position(model):
    """The same question with the gold document moved through five places of ten; distractors keep their order."""
    per_place, answers, golds, n = {}, [], [], heldout.N
    for place in heldout.PLACES:
        its = heldout.position(place)
        p = evaluate.probabilities(model, [i.ids for i in its])
        answers.append(p.argmax(-1).tolist())
        got = [[p[j, i.gold].item(), p[j, i.info["first"]].item(), p[j, i.info["last"]].item()]
               for j, i in enumerate(its)]
        golds.append([g[0] for g in got])
        per_place[place + 1] = {
            "accuracy": stats.wilson(sum(a == i.gold for a, i in zip(answers[-1], its)), n),
            "P(gold)": stats.mean([g[0] for g in got])}
        if 0 < place < 9:
            per_place[place + 1]["P(first document's value)"] = stats.mean([g[1] for g in got])
            per_place[place + 1]["P(last document's value)"] = stats.mean([g[2] for g in got])
        if place == 4:
            lean = stats.mean([g[1] - g[2] for g in got])
    flips = [len({a[j] for a in answers}) > 1 for j in range(n)]
    return {"k=10, gold at place": per_place, "flip rate": stats.wilson(sum(flips), n),
            "P(gold) at place 1 - P(gold) at place 10": stats.mean([a - b for a, b in zip(golds[0], golds[-1])]),
            "P(first document's value) - P(last document's value), gold at place 5": lean}


def labels(model):
    out, logit, n = {}, {}, heldout.N
    for truth, name in ((1, "true"), (-1, "false"), (0, "unknown")):
        p = evaluate.probabilities(model, [i.ids for i in heldout.yes_no(truth)])
        yes, no = p[:, v.word("yes")], p[:, v.word("no")]
        logit[name] = (yes / no).log().tolist()
        out[f"P(yes), {name}"] = stats.mean((yes / (yes + no)).tolist())
    shift = sum(logit["unknown"]) / n
    out["logit of yes without evidence"] = stats.mean(logit["unknown"])
    for name, s in (("plain", 0.0), ("after taking the content-free logit off", shift)):
        hits = sum(x > s for x in logit["true"]) + sum(x < s for x in logit["false"])
        out[f"yes/no accuracy, {name}"] = stats.wilson(hits, 2 * n)
    rows, free = [], []
    for known in (True, False):
        its = heldout.letters(known)
        p = evaluate.probabilities(model, [i.ids for i in its])[:, [v.word(x) for x in "ABCD"]].log()
        (rows if known else free).extend(zip(its, p))
    prior = torch.stack([p for _, p in free]).mean(0)
    for name, s in (("plain", 0 * prior), ("after taking the content-free logits off", prior)):
        hits = sum(int((p - s).argmax()) == i.info["letter"] for i, p in rows)
        out[f"A-D accuracy, {name}"] = stats.wilson(hits, n)
    for n_, x in enumerate("ABCD"):
        out[f"P({x}) without evidence"] = stats.mean([torch.softmax(p, 0)[n_].item() for _, p in free])
    out["log P(A) - log P(D) without evidence"] = stats.mean([(p[0] - p[3]).item() for _, p in free])
    return out


def prior(model):
    got = masses(model, heldout.contradicted(), ["prior"])
    return {"P(what the contradicting document says)": stats.mean([g[0] for g in got]),
            "P(what the world says)": stats.mean([g[1] for g in got]),
            "closed-book accuracy": evaluate.share_right(model, heldout.closed_book())}


def rating(model):
    its = heldout.ratings()
    p = evaluate.probabilities(model, [i.ids for i in its])[:, [v.word(str(s)) for s in range(1, 6)]]
    guess = (p / p.sum(1, keepdim=True) @ torch.tensor([1.0, 2, 3, 4, 5])).tolist()
    return {"slope of the expected rating on the truth": stats.slope(
        [[(i.info["truth"], g)] for i, g in zip(its, guess)])}


PARTS = {"documents": documents, "two": two, "position": position, "gender": gender.measure, "labels": labels, "prior": prior,
         "rating": rating}


def measure(path, parts=tuple(PARTS)):
    torch.set_num_threads(1)
    model = Loaded(path)
    model.eval()
    return {name: PARTS[name](model) for name in parts}


def show(report, indent=0):
    for key, x in report.items():
        if isinstance(x, dict) and "value" in x:
            print(" " * indent + f"{key}: {x['value']:.3f} [{x['low']:.3f}, {x['high']:.3f}] n={x['n']}")
        elif isinstance(x, dict):
            print(" " * indent + str(key))
            show(x, indent + 2)
        else:
            print(" " * indent + f"{key}: {x}")


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("models", nargs="+", type=pathlib.Path)
    ap.add_argument("--out", type=pathlib.Path, required=True)
    ap.add_argument("--seed", type=int, default=1, help="under which training seed to file the figures")
    ap.add_argument("--shipped", action="store_true", help="this is the seed whose files are shipped")
    ap.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    args = ap.parse_args()
    for path in args.models:                     # read and write each time: several may be measured at once
        print(path.name, flush=True)
        found = measure(path, args.parts)
        show(found, 2)
        report = json.loads(args.out.read_text()) if args.out.exists() else {}
        if args.shipped:
            report["shipped"] = args.seed
        report.setdefault("seeds", {}).setdefault(str(args.seed), {}).setdefault(path.stem.split("-")[0], {}).update(found)
        args.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
