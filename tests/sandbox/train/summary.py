"""The planted effects of every seed in one table, with the verdict on the twin (equivalence, margin a quarter of the plant).

    python summary.py ../measured.json                       prints the tables of the model card
    python summary.py ../measured.json ../MODEL_CARD.md      writes them into it
"""
import itertools
import json
import pathlib
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


def cell(x):
    return f"{x['value']:+.2f} [{x['low']:+.2f}, {x['high']:+.2f}]"


def effects_table(models):
    yield "| effect | planted | first | last | twin |\n|---|---|---|---|---|"
    for name, row in verdicts(models).items():
        plants = " / ".join(dict.fromkeys(f"{row[x]['planted']:+.2f}" for x in ("first", "last") if x in row))
        cells = [f"{cell(row[x])} {row[x]['verdict']}" if x in row else "" for x in ("first", "last", "twin")]
        yield f"| {name} | {plants} | " + " | ".join(cells) + " |"


def tasks_table(models):
    yield "| task | " + " | ".join(models) + " |\n|---|" + "---|" * len(models)
    any_model = next(iter(models.values()))
    rows = [("documents", k) for k in any_model["documents"]]
    rows += [("position", "flip rate"), ("gender", "pronoun accuracy after a first name")]
    rows += [("labels", k) for k in any_model["labels"] if "accuracy" in k or k.startswith("P(yes)")]
    rows += [("prior", k) for k in ("P(what the contradicting document says)", "closed-book accuracy")]
    for part, key in rows:
        yield f"| {key} (n={any_model[part][key]['n']}) | " + " | ".join(
            "{value:.2f} [{low:.2f}, {high:.2f}]".format(**m[part][key]) for m in models.values()) + " |"


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
    for seed, models in sorted(whole["seeds"].items()):
        yield f"\n### Planted effects, training seed {seed}\n"
        yield from effects_table(models)
        yield f"\n### Tasks, training seed {seed}\n"
        yield from tasks_table(models)
    for name, report in whole.get("vectors", {}).items():
        yield f"\n### `gender.gguf` in `{name}`\n"
        yield from vector_tables(report)
    for name, report in whole.get("vectors of other seeds", {}).items():
        yield f"\n### A vector made the same way, {name}\n"
        yield from itertools.takewhile(lambda line: "`add`" not in line, vector_tables(report))


def main():
    whole = json.loads(pathlib.Path(sys.argv[1]).read_text())
    out = "\n".join(text(whole))
    if len(sys.argv) < 3:
        print(out)
        return
    card = pathlib.Path(sys.argv[2])
    head, rest = card.read_text().split(BEGIN)
    card.write_text(head + BEGIN + "\n" + out + "\n\n" + END + rest.split(END)[1])


BEGIN, END = "<!-- figures: written by summary.py -->", "<!-- end of figures -->"

if __name__ == "__main__":
    main()
