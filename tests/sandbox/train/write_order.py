"""Questions over ten documents, each with its answer at three places, for `evenkeel demo`: ../order.jsonl.

    python write_order.py            writes it
    python write_order.py --check    fails unless it is current

They are the first of those in ../items.jsonl. A line has `prompt`, `answer`, the `place` of the document with the answer,
from 1, and in `group` the question: those of a group differ in that document's place alone.
"""
import argparse
import json
import pathlib

SANDBOX = pathlib.Path(__file__).parent.parent
QUESTIONS = 40      # for each place


def rows(items):
    for item in items:
        if item["kind"] == "position" and int(item["cluster"]) < QUESTIONS:
            yield {"prompt": item["text"], "group": item["cluster"], "answer": item["answers"][0], "place": item["x"]}


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--check", action="store_true")
    args = ap.parse_args()
    items = [json.loads(line) for line in (SANDBOX / "items.jsonl").read_text().splitlines()]
    path = SANDBOX / "order.jsonl"
    whole = "".join(json.dumps(r) + "\n" for r in rows(items))
    if args.check:
        assert path.read_text() == whole, f"{path} is not current"
    else:
        path.write_text(whole)


if __name__ == "__main__":
    main()
