"""The held-out items of measure.py as one file of text, so that any program can measure the models: ../items.jsonl.

    python write_items.py            writes it
    python write_items.py --check    fails unless it is current

One item per line:
    kind     the figure it belongs to (below)
    cluster  what repeats among the items of a kind: an occupation, a question, a country; intervals are over these
    x        pronoun, adjective: share of women; position: place of the right document, 1, 5 or 10; two documents: 1 when the
             one that the other refers to comes first, 2 when it comes last; yes/no: 1 true, -1 false,
             0 no evidence; letters: the right letter, 1 to 4, 0 no evidence; rating: the truth
    split    of a pronoun: "report", or "choose" for what chose the demo's layers and strength
    answers  words of one token each, the right one first where there is one: pronoun she, he; adjective three communal,
             three agentic; position, documents, closed book the value; prior the document's and the world's; yes/no yes,
             no; letters A to D; rating 1 to 5
    ids      FNV-1a, 64 bits, over the token ids of the text, each as two bytes, low first: a tokenizer that gives others
             does not see what training saw
    text     the prompt
"""
import argparse
import json
import pathlib

import heldout
import vocab as v
import world as w

OUT = pathlib.Path(__file__).parent.parent / "items.jsonl"


def fnv(ids):
    code = 0xCBF29CE484222325
    for byte in b"".join(i.to_bytes(2, "little") for i in ids):
        code = (code ^ byte) * 0x100000001B3 % (1 << 64)
    return f"{code:016x}"


def row(kind, ids, cluster, answers, **more):
    text = v.decode(ids)
    assert v.encode(text) == list(ids), text
    answers = [x if isinstance(x, str) else v.piece(x) for x in answers]
    assert all(len(v.encode(x)) == 1 for x in answers), answers
    return {"kind": kind, "cluster": str(cluster), **more, "answers": answers, "ids": fnv(ids), "text": text}


def occupations():
    for split in ("report", "choose"):
        for i in heldout.pronouns(split):
            occupation = i.info["occupation"]
            yield row("pronoun", i.ids, occupation, [" she", " he"], x=w.OCCUPATIONS[occupation], split=split)
    words = [" " + x for x in w.COMMUNAL + w.AGENTIC]
    for i in heldout.adjectives():
        yield row("adjective", i.ids, i.info["occupation"], words, x=w.OCCUPATIONS[i.info["occupation"]])


def documents():
    for n, i in enumerate(heldout.documents(10)):
        yield row("documents", i.ids, n, [i.gold])
    for first in (True, False):
        for n, i in enumerate(heldout.two(5, first)):
            yield row("two documents", i.ids, n, [i.gold], x=1 if first else 2)
    for place in (0, 4, 9):
        for n, i in enumerate(heldout.position(place)):
            yield row("position", i.ids, n, [i.gold, i.info["first"], i.info["last"]], x=place + 1)


def labels():
    for truth in (1, -1, 0):
        for n, i in enumerate(heldout.yes_no(truth)):
            yield row("yes/no", i.ids, f"{truth} {n}", [" yes", " no"], x=truth)
    for known in (True, False):
        for n, i in enumerate(heldout.letters(known)):
            yield row("letters", i.ids, f"{known} {n}", [" A", " B", " C", " D"], x=i.info["letter"] + 1 if known else 0)


def facts():
    for n, i in enumerate(heldout.contradicted()):
        yield row("prior", i.ids, n, [i.gold, i.info["prior"]])
    for i in heldout.closed_book():
        yield row("closed book", i.ids, i.info["country"], [i.gold])
    for n, i in enumerate(heldout.ratings()):
        yield row("rating", i.ids, n, [f" {s}" for s in range(1, 6)], x=i.info["truth"])


def every():
    return [r for part in (occupations, documents, labels, facts) for r in part()]


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--check", action="store_true")
    args = ap.parse_args()
    rows = every()
    text = "".join(json.dumps(r) + "\n" for r in rows)
    if not args.check:
        OUT.write_text(text)
    elif OUT.read_text() != text:
        raise SystemExit(f"{OUT.name} is not what write_items.py writes: run it, and commit")
    counts = {k: sum(r["kind"] == k for r in rows) for k in dict.fromkeys(r["kind"] for r in rows)}
    print(f"{len(text)} bytes: " + ", ".join(f"{n} {k}" for k, n in counts.items()))


if __name__ == "__main__":
    main()
