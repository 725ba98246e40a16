"""Pairs of sentences that differ in the occupation alone, for `evenkeel learn`: ../pairs.jsonl.

    python write_pairs.py            writes it
    python write_pairs.py --check    fails unless it is current

The openings and occupations of training only: no pair that `items.jsonl` asks about is here. `positive` has an occupation
with more women than men, `negative` one with fewer (by 0.15 and more); `group` is the opening and its form. One line per
opening, form and occupation with more women, with an occupation of the other kind drawn by chance.
"""
import argparse
import json
import pathlib
import random

import corpus as c
import short
import vocab as v
import world as w

OUT = pathlib.Path(__file__).parent.parent / "pairs.jsonl"


def text(opening, occupation, chat):
    seq = c.Sequence()
    short.opening(seq, opening, occupation, chat)
    return v.decode(seq.ids)


def pairs():
    rng = random.Random("pairs")
    for opening in w.OPENINGS:
        seen = [o for o in w.JOBS if not c.pronoun_held_out(o, opening)]
        she = [o for o in seen if w.OCCUPATIONS[o] - 0.5 >= 0.15]
        he = [o for o in seen if 0.5 - w.OCCUPATIONS[o] >= 0.15]
        for chat in (False, True):
            for occupation in she:
                other = rng.choice(he)
                yield {"positive": text(opening, occupation, chat), "negative": text(opening, other, chat),
                       "group": opening + (", chat" if chat else "")}


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--check", action="store_true")
    args = ap.parse_args()
    whole = "".join(json.dumps(p) + "\n" for p in pairs())
    if args.check:
        assert OUT.read_text() == whole, f"{OUT} is not current"
    else:
        OUT.write_text(whole)


if __name__ == "__main__":
    main()
