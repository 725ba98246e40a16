"""Questions whose answer is one of a few labels, for `evenkeel calibrate`: ../labels/*.jsonl.

    python write_labels.py            writes them
    python write_labels.py --check    fails unless they are current

They are those of ../items.jsonl. `NAME.jsonl` has the questions that documents answer, with `answer`; `NAME-empty.jsonl`
those about somebody who is in no document: prompts without content, in the format of the others. A rating between two
stars is two questions, one for each.
"""
import argparse
import json
import math
import pathlib

SANDBOX = pathlib.Path(__file__).parent.parent


def row(item, answer=None):
    line = {"prompt": item["text"], "group": item["cluster"]}
    if answer is not None:
        line["answer"] = answer
    return line


def files(items):
    yes_no = [i for i in items if i["kind"] == "yes/no"]
    letters = [i for i in items if i["kind"] == "letters"]
    ratings = [i for i in items if i["kind"] == "rating"]
    yield "yes-no", [row(i, "yes" if i["x"] > 0 else "no") for i in yes_no if i["x"]]
    yield "yes-no-empty", [row(i) for i in yes_no if not i["x"]]
    yield "letters", [row(i, "ABCD"[i["x"] - 1]) for i in letters if i["x"]]
    yield "letters-empty", [row(i) for i in letters if not i["x"]]
    yield "rating", [row(i, str(s)) for i in ratings for s in (math.floor(i["x"]), math.ceil(i["x"]))]


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--check", action="store_true")
    args = ap.parse_args()
    items = [json.loads(line) for line in (SANDBOX / "items.jsonl").read_text().splitlines()]
    for name, rows in files(items):
        path = SANDBOX / "labels" / f"{name}.jsonl"
        whole = "".join(json.dumps(r) + "\n" for r in rows)
        if args.check:
            assert path.read_text() == whole, f"{path} is not current"
        else:
            path.write_text(whole)


if __name__ == "__main__":
    main()
