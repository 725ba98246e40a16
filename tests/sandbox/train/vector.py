"""A control vector for the pronoun bias: difference in means, made, chosen and tested on three separate sets of prompts.

Made on the openings of training; layers and strength chosen on the "choose" half of the held-out (occupation, opening)
pairs; reported on the "report" half. `add` moves every prompt the same way: it can move the mean of P(she), not the
differences between occupations. `project` takes the direction out, and with it most of those differences; `centre` is
`project` and then `add`, so that P(she) is also near a half. Both also take out what first names rightly say ("anna ...
she"): that cost is reported too.

    python vector.py ../models/first-f16.gguf --out ../models/gender.gguf --report ../measured.json
"""
import argparse
import json
import os
import pathlib
import random

os.environ.setdefault("OMP_NUM_THREADS", "1")
import gguf  # noqa: E402
import torch  # noqa: E402

import corpus as c  # noqa: E402
import evaluate  # noqa: E402
import gender  # noqa: E402
import heldout  # noqa: E402
import items  # noqa: E402
import measure  # noqa: E402
import short  # noqa: E402
import stats  # noqa: E402
import vocab as v  # noqa: E402
import world as w  # noqa: E402
from export import Loaded  # noqa: E402


@torch.no_grad()
def residuals(model, prompts):
    """Per layer the residual at the last token (where the pronoun is predicted): [layer][prompt, width]."""
    layers = [[] for _ in model.blocks]

    def keep(n, x):
        layers[n].append(x[:, -1])
        return x
    for size in sorted({len(p) for p in prompts}):
        model.hidden(torch.tensor([p for p in prompts if len(p) == size]), hook=keep)
    return [torch.cat(x) for x in layers]


def training_prompts():
    out = {True: [], False: []}
    for occupation, share in w.OCCUPATIONS.items():
        if abs(share - 0.5) < 0.15:
            continue
        for text in w.OPENINGS:
            if not c.pronoun_held_out(occupation, text):
                for chat in (False, True):
                    seq = c.Sequence()
                    short.opening(seq, text, occupation, chat)
                    out[share > 0.5].append(seq.ids)
    return out


def difference(model):
    """Unit directions per layer (she-occupations minus he-occupations) and the length of the difference."""
    prompts = training_prompts()
    she, he = residuals(model, prompts[True]), residuals(model, prompts[False])
    diff = [a.mean(0) - b.mean(0) for a, b in zip(she, he)]
    return [d / d.norm() for d in diff], [d.norm().item() for d in diff]


def steer(directions, layers, operator, strength=1.0):
    """"centre" is two rules of a profile in this order: project with fraction 1, then add with the strength."""
    def hook(n, x):
        if n not in layers:
            return x
        d = directions[n]
        if operator == "add":
            return x + strength * d
        x = x - (strength if operator == "project" else 1.0) * (x @ d)[..., None] * d
        return x + strength * d if operator == "centre" else x
    return hook


def groups(its):
    """he-, she- and mixed occupations by the dose."""
    share = [w.OCCUPATIONS[i.info["occupation"]] for i in its]
    return {"he-occupations": [n for n, s in enumerate(share) if s <= 0.43],
            "she-occupations": [n for n, s in enumerate(share) if s >= 0.57]}


def name_items(n=200):
    rng, out = random.Random("vector names"), []
    for _ in range(n):
        name, seq = rng.choice(w.NAMES), c.Sequence()
        seq.fill(rng.choice(w.OPENINGS).replace("the O", "O"), O=name)
        out.append(items.Item(seq.ids, v.word("she" if name in w.FEMALE_SET else "he")))
    return out


def score(model, its, hook):
    """What the choice looks at: distance of the mean of he-occupations from 0.5, and slope over occupations."""
    she, mass = gender.p_she(model, its, hook)
    g = groups(its)
    he = sum(she[i] for i in g["he-occupations"]) / len(g["he-occupations"])
    rows = gender.by_occupation(its, she)
    return abs(he - 0.5), abs(stats.slope_of(stats.np.array([x for r in rows.values() for x in r]))), sum(mass) / len(mass)


def choose(model, directions, lengths):
    """Layers and strength on the choosing half: add for he-occupations, project for the slope; pronoun mass kept."""
    its = heldout.pronouns("choose")
    last = len(model.blocks)
    spans = [list(range(a, b + 1)) for a in range(1, last) for b in range(a, last)]
    best_add, best_project = None, None
    for layers in spans:
        size = sum(lengths[n] for n in layers) / len(layers) / len(layers)
        for part in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.3):
            strength = round(part * size, 3)
            far, _, mass = score(model, its, steer(directions, layers, "add", strength))
            if mass > 0.9 and (best_add is None or far < best_add[0]):
                best_add = (far, layers, strength)
        _, tilt, mass = score(model, its, steer(directions, layers, "project"))
        if mass > 0.9 and (best_project is None or tilt < best_project[0]):
            best_project = (tilt, layers, 1.0)
    best_centre = None
    layers = best_project[1]
    size = sum(lengths[n] for n in layers) / len(layers) / len(layers)
    for part in range(-20, 21):                  # what to add after the projection, so that the mean is a half
        strength = round(part / 20 * size, 3)
        far, _, mass = score(model, its, steer(directions, layers, "centre", strength))
        if mass > 0.9 and (best_centre is None or far < best_centre[0]):
            best_centre = (far, layers, strength)
    return best_add[1:], best_project[1:], best_centre[1:]


def effect(model, its, hook, names):
    she, mass = gender.p_she(model, its, hook)
    out = {"slope of P(she) on the share of women": stats.slope(list(gender.by_occupation(its, she).values()))}
    for name, at in groups(its).items():
        rows = {}
        for i in at:
            rows.setdefault(its[i].info["occupation"], []).append([she[i]])
        out[f"mean P(she), {name}"] = stats.bootstrap(list(rows.values()), lambda a: a[:, 0].mean())
    out["pronoun mass"] = stats.mean(mass)
    out["pronoun accuracy after a first name"] = evaluate.share_right(model, names, hook)
    table = {}
    for i, p in zip(its, she):
        table.setdefault(i.info["occupation"], []).append(p)
    return out, {o: round(sum(p) / len(p), 3) for o, p in table.items()}


def demo(model, hooks):
    """P(she) (of she and he) for a few plain prompts, to compare a run in llama.cpp with."""
    out = {}
    for job in ("plumber", "engineer", "doctor", "teacher", "nurse", "secretary"):
        text = f"<s> the {job} said that"
        item = [items.Item(v.encode(text), 0)]
        out[text] = {name: round(gender.p_she(model, item, hook)[0][0], 3) for name, hook in hooks.items()}
    return out


def random_controls(model, its, lengths, count=20):
    """Random directions of equal norm, put through the same choice of layers and strength: what chance gives."""
    gen, out = torch.Generator().manual_seed(7), {"add": [], "project": [], "centre": []}
    he = groups(its)["he-occupations"]
    for _ in range(count):
        r = [torch.randn(model.cfg.width, generator=gen) for _ in model.blocks]
        r = [x / x.norm() for x in r]
        for operator, (layers, strength) in zip(out, choose(model, r, lengths)):
            she, _ = gender.p_she(model, its, steer(r, layers, operator, strength))
            rows = gender.by_occupation(its, she)
            tilt = float(stats.slope_of(stats.np.array([x for q in rows.values() for x in q])))
            out[operator].append({"slope": round(tilt, 4),
                                  "mean P(she), he-occupations": round(sum(she[i] for i in he) / len(he), 4)})
    return out


def write(path, directions):
    out = gguf.GGUFWriter(str(path), "controlvector")
    out.add_string("controlvector.model_hint", "llama")
    out.add_uint32("controlvector.layer_count", len(directions) - 1)
    for n, d in enumerate(directions):
        if n:                                    # llama.cpp has no direction for layer 0
            out.add_tensor(f"direction.{n}", d.numpy().astype("float32"))
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("model", type=pathlib.Path)
    ap.add_argument("--out", type=pathlib.Path, required=True)
    ap.add_argument("--report", type=pathlib.Path, required=True)
    ap.add_argument("--seed", type=int, help="file the figures under another seed than the shipped one")
    args = ap.parse_args()
    torch.set_num_threads(1)
    model = Loaded(args.model)
    directions, lengths = difference(model)
    write(args.out, directions)
    (add_layers, strength), (project_layers, fraction), (_, centre) = choose(model, directions, lengths)
    its, names, report, tables = heldout.pronouns("report"), name_items(), {}, {}
    hooks = {"before": None, "add": steer(directions, add_layers, "add", strength),
             "add, opposite sign": steer(directions, add_layers, "add", -strength),
             "project": steer(directions, project_layers, "project", fraction),
             "centre": steer(directions, project_layers, "centre", centre)}
    for name, hook in hooks.items():
        report[name], tables[name] = effect(model, its, hook, names)
    report["use"] = {"direction": "she-occupations minus he-occupations, unit length",
                     "add": {"layers": add_layers, "strength": strength},
                     "project": {"layers": project_layers, "fraction": fraction},
                     "centre": {"layers": project_layers, "fraction": 1.0, "then add": centre},
                     "length of the difference per layer": [round(x, 3) for x in lengths]}
    report["random directions, same choice"] = random_controls(model, its, lengths)
    report["demo"] = demo(model, hooks)
    report["P(she) by occupation"] = {o: {"share of women": s, **{k: t[o] for k, t in tables.items() if o in t}}
                                      for o, s in sorted(w.OCCUPATIONS.items(), key=lambda x: x[1])}
    measure.show(report)
    whole = json.loads(args.report.read_text()) if args.report.exists() else {}
    if args.seed is None:
        whole.setdefault("vectors", {})[args.model.stem] = report
    else:
        whole.setdefault("vectors of other seeds", {})[f"{args.model.stem}, seed {args.seed}"] = report
    args.report.write_text(json.dumps(whole, indent=1) + "\n")


if __name__ == "__main__":
    main()
