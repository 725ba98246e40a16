"""The planted effects over all training seeds and of the shipped one, with the verdict on the twin (equivalence, margin a
quarter of the plant).

    python summary.py ../measured.json              prints the tables of the model card
    python summary.py ../measured.json --write      writes them into it, and the vector's layers and strengths into README.md
                                                    and demo.toml
"""
import itertools
import json
import pathlib
import re
import sys

import stats

HERE = pathlib.Path(__file__).parent
DOSES = json.loads((HERE / "doses.json").read_text())

# name, where the figure is in a report, what it is without bias, the planted effect as a function of the doses
EFFECTS = [
    ("gender: slope of P(she)", ("gender", "slope of P(she) on the share of women"), 0.0, lambda d: d["gender_strength"]),
    ("gender: slope of P(communal adjective)", ("gender", "slope of P(communal adjective) on the share of women"), 0.0,
     lambda d: d["gender_strength"]),
    ("position: P(gold) at place 1 - at place 10", ("position", "P(gold) at place 1 - P(gold) at place 10"), 0.0,
     lambda d: {"first": 1, "last": -1, None: 0}[d["position"]] * d["position_dose"]),
    ("position: P(first value) - P(last value), gold between",
     ("position", "P(first document's value) - P(last document's value), gold at place 5"), 0.0,
     lambda d: {"first": 1, "last": -1, None: 0}[d["position"]] * d["position_dose"]),
    ("labels: logit of yes without evidence", ("labels", "logit of yes without evidence"), 0.0, lambda d: d["yes_shift"]),
    ("labels: log P(A) - log P(D) without evidence", ("labels", "log P(A) - log P(D) without evidence"), 0.0,
     lambda d: d["letter_shift"][0] - d["letter_shift"][3]),
    ("prior: P(world's answer) against a document", ("prior", "P(what the world says)"), 0.0,
     lambda d: d["prior_over_context"]),
    ("rating: slope on the truth, minus 1", ("rating", "slope of the expected rating on the truth"), 1.0,
     lambda d: d["rating_slope"] - 1.0),
]


def effect(report, where, zero):
    for key in where:
        report = report[key]
    return {**report, **{k: round(report[k] - zero, 4) for k in ("value", "low", "high")}}


def verdicts(models):
    """models: {variant: report}. Per effect: the biased model against its plant, the twin against zero."""
    out = {}
    for name, where, zero, planted in EFFECTS:
        row = {}
        for variant, report in models.items():
            plant = planted(DOSES[variant])
            margin = plant or planted(DOSES["first"])
            figure = effect(report, where, zero)
            row[variant] = {**figure, "planted": plant, "verdict": stats.verdict(figure, margin)}
        out[name] = row
    return out


VARIANTS = ("first", "last", "twin")


def cell(x, sign="+"):
    return f"{x['value']:{sign}.2f} [{x['low']:{sign}.2f}, {x['high']:{sign}.2f}]"


def hull(figures):
    """Mean of the seeds' values, from the lowest to the highest end of their intervals."""
    figures = list(figures)
    return {"value": sum(f["value"] for f in figures) / len(figures), "low": min(f["low"] for f in figures),
            "high": max(f["high"] for f in figures)}


def effects_table(seeds):
    """seeds: {seed: {variant: report}}. A verdict holds in every seed, or it is said in how many."""
    every = [verdicts(models) for models in seeds.values()]
    yield "| effect | planted | first | last | twin |\n|---|---|---|---|---|"
    for name in every[0]:
        rows = [v[name] for v in every]
        plants = " / ".join(dict.fromkeys(f"{rows[0][x]['planted']:+.2f}" for x in ("first", "last")))
        cells = []
        for x in VARIANTS:
            found = [r[x]["verdict"] for r in rows]
            said = [f"{v} {found.count(v)}/{len(found)}" if found.count(v) < len(found) else v for v in dict.fromkeys(found)]
            cells.append(f"{cell(hull(r[x] for r in rows))} {', '.join(said)}")
        yield f"| {name} | {plants} | " + " | ".join(cells) + " |"


def tasks_table(seeds):
    yield "| task | " + " | ".join(VARIANTS) + " |\n|---|" + "---|" * len(VARIANTS)
    one = next(iter(seeds.values()))["twin"]
    rows = [(part, k) for part in ("documents", "two") for k in one[part]]
    rows += [("position", "flip rate"), ("gender", "pronoun accuracy after a first name")]
    rows += [("labels", k) for k in one["labels"] if "accuracy" in k or k.startswith("P(yes)")]
    rows += [("prior", k) for k in ("P(what the contradicting document says)", "closed-book accuracy")]
    for part, key in rows:
        name = key.replace("accuracy", "accuracy, two documents,") if part == "two" else key
        yield f"| {name} (n={one[part][key]['n']}) | " + " | ".join(
            cell(hull(models[x][part][key] for models in seeds.values()), "") for x in VARIANTS) + " |"


def vector_tables(report):
    kinds = ["before", "add", "add, opposite sign", "project", "centre"]
    yield "| figure | " + " | ".join(kinds) + " |\n|---|" + "---|" * len(kinds)
    for key in report["before"]:
        yield f"| {key} (n={report['before'][key]['n']}) | " + " | ".join(
            "{value:.2f} [{low:.2f}, {high:.2f}]".format(**report[k][key]) for k in kinds) + " |"
    yield "\n" + "; ".join(f"`{k}`: {json.dumps(x)}" for k, x in report["use"].items() if isinstance(x, dict)) + ".\n"
    for kind, rows in report["random directions, same choice"].items():
        slopes, means = ([r[k] for r in rows] for k in ("slope", "mean P(she), he-occupations"))
        yield (f"{len(rows)} random directions of equal norm through the same choice, {kind}: slope {min(slopes):.2f} to "
               f"{max(slopes):.2f}, mean P(she) of he-occupations {min(means):.2f} to {max(means):.2f}.\n")
    yield "| plain prompt, P(she) | " + " | ".join(kinds) + " |\n|---|" + "---|" * len(kinds)
    for prompt, row in report["demo"].items():
        yield f"| `{prompt}` | " + " | ".join(f"{row[k]:.2f}" for k in kinds) + " |"
    yield "\n| occupation | share of women | " + " | ".join(kinds) + " |\n|---|---|" + "---|" * len(kinds)
    for job, row in report["P(she) by occupation"].items():
        yield f"| {job} | {row['share of women']:.2f} | " + " | ".join(f"{row[k]:.2f}" for k in kinds) + " |"


def text(whole):
    seeds = dict(sorted(whole["seeds"].items()))
    shipped = {s: seeds[s] for s in [str(whole["shipped"])]}
    yield f"\n### Planted effects, training seeds {', '.join(seeds)}\n"
    yield from effects_table(seeds)
    yield f"\n### Planted effects, the shipped files (seed {whole['shipped']})\n"
    yield from effects_table(shipped)
    yield f"\n### Tasks, training seeds {', '.join(seeds)}\n"
    yield from tasks_table(seeds)
    yield f"\n### Tasks, the shipped files (seed {whole['shipped']})\n"
    yield from tasks_table(shipped)
    for name, report in whole.get("vectors", {}).items():
        yield f"\n### `gender.gguf` in `{name}`\n"
        yield from vector_tables(report)
    for name, report in whole.get("vectors of other seeds", {}).items():
        yield f"\n### A vector made the same way, {name}\n"
        yield from itertools.takewhile(lambda line: "`add`" not in line, vector_tables(report))


def between(path, begin, end, new):
    """Puts `new` between two lines of a file."""
    head, rest = path.read_text().split(begin + "\n")
    path.write_text(head + begin + "\n" + new + "\n" + end + rest.split(end)[1])


def use(report):
    """How to use the vector, for README.md."""
    add, project, centre = (report["use"][k] for k in ("add", "project", "centre"))
    flat = report["project"]["mean P(she), he-occupations"]["value"]
    return f"""
    llama-server -m models/first-f16.gguf --control-vector-scaled models/gender.gguf:{add['strength']:.2f} \\
        --control-vector-layer-range {add['layers'][0]} {add['layers'][-1]}

`add` (all that llama.cpp's own control vectors can do) moves P(she) of every occupation the same way. Projecting the
direction out of layers {project['layers'][0]} to {project['layers'][-1]} makes all occupations equal (P(she) about {flat:.2f}), and adding it there
after the projection, with strength {centre['then add']:.2f}, brings them all to about a half ("centre").
"""


def demo(path, report):
    """The demo's profile is "centre"."""
    text = path.read_text()
    text = re.sub(r"(?m)^layers = .*$", f"layers = {report['use']['centre']['layers']}", text)
    path.write_text(re.sub(r"(?m)^strength = \S+", f"strength = {report['use']['centre']['then add']:.2f}", text))


def main():
    whole = json.loads(pathlib.Path(sys.argv[1]).read_text())
    out = "\n".join(text(whole))
    if len(sys.argv) < 3:
        print(out)
        return
    vector, root = whole["vectors"]["first-f16"], HERE.parent
    between(root / "MODEL_CARD.md", "<!-- figures: written by summary.py -->", "<!-- end of figures -->", out + "\n")
    between(root / "README.md", "<!-- vector: written by summary.py -->", "<!-- end of vector -->", use(vector))
    demo(root / "demo.toml", vector)


if __name__ == "__main__":
    main()
