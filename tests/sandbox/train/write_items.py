"""The held-out items of measure.py as one file of text, so that any program can measure the models: ../items.jsonl.

    python write_items.py            writes it
    python write_items.py --check    fails unless it is current and every item is one that measure.py asks

One item per line:
    kind     the figure it belongs to (below)
    cluster  what repeats among the items of a kind: an occupation, a question, a country; intervals are over these
    x        pronoun, adjective: share of women; position: place of the right document, 1 or 10; yes/no: 1 true, -1 false,
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
import random

import corpus as c
import evaluate
import gender
import items
import measure
import short
import vocab as v
import world as w

OUT = pathlib.Path(__file__).parent.parent / "items.jsonl"
N = measure.N


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
        for i in gender.pronoun_items(split):
            occupation = i.info["occupation"]
            yield row("pronoun", i.ids, occupation, [" she", " he"], x=w.OCCUPATIONS[occupation], split=split)
    words = [" " + x for x in w.COMMUNAL + w.AGENTIC]
    for text in w.TRAIT_OPENINGS:
        for occupation in w.JOBS:
            seq = c.Sequence()
            seq.fill(text, O=occupation)
            yield row("adjective", seq.ids, occupation, words, x=w.OCCUPATIONS[occupation])


def documents():
    rng = random.Random("open 10")
    for n in range(N):
        i = items.open_item(rng, 10, n % 10)
        yield row("documents", i.ids, n, [i.gold])


def position():
    for place in (0, 9):
        rng = random.Random("position")
        for n in range(N):
            i = items.open_item(random.Random(rng.getrandbits(64)), 10, place)
            yield row("position", i.ids, n, [i.gold], x=place + 1)


def labels():
    for truth in (1, -1, 0):
        rng = random.Random(f"yes {truth}")
        for n in range(N):
            i = items.yes_no_item(rng, rng.randint(1, 5), truth)
            yield row("yes/no", i.ids, f"{truth} {n}", [" yes", " no"], x=truth)
    for known in (True, False):
        rng = random.Random(f"letters {known}")
        for n in range(N):
            i = items.letter_item(rng, rng.randint(2, 5), n % 4, known)
            yield row("letters", i.ids, f"{known} {n}", [" A", " B", " C", " D"], x=i.info["letter"] + 1 if known else 0)


def prior():
    rng = random.Random("prior")
    for n in range(N):
        i = items.capital_item(rng, 3, n % 3)
        yield row("prior", i.ids, n, [i.gold, i.info["prior"]])
    for country in w.COUNTRIES:
        for beside in range(5):
            seq = c.Sequence()
            if beside == 0:
                seq.ids += c.template("the capital of") + [v.word(country), v.word("is")]
            else:
                seq.ids.append(v.USER)
                if beside > 1:
                    c.write_documents(seq, rng, items.documents(rng, beside - 1, 0, rng.choice(items.PERSONAL)), False)
                c.bot(seq, c.ask(seq, "capital", country))
            yield row("closed book", seq.ids, country, [v.word(w.CAPITALS[country])])


def rating():
    rng = random.Random("rating")
    for n in range(N):
        ids = short.rating(rng, random.Random(0), items.CLEAN).ids[:-1]
        truth = [w.SCORE_OF[x] for x in (v.piece(t)[1:] for t in ids) if x in w.SCORE_OF]
        yield row("rating", ids, n, [f" {s}" for s in range(1, 6)], x=sum(truth) / 2)


def every():
    return [r for part in (occupations, documents, position, labels, prior, rating) for r in part()]


def asked():
    """What measure.py asks a model, as texts, in order; the model is a stand-in that knows nothing."""
    texts = []

    def record(model, prompts, hook=None, chunk=0):
        texts.extend(v.decode(p) for p in prompts)
        return measure.torch.full((len(prompts), v.SIZE), 1 / v.SIZE)
    real, evaluate.probabilities = evaluate.probabilities, record
    try:
        for part in measure.PARTS.values():
            part(None)
    finally:
        evaluate.probabilities = real
    return texts


def check(rows):
    """Each kind's items are consecutive in what measure.py asks, in this order: the same items, all of them."""
    found = "\n".join(asked()) + "\n"
    for kind in dict.fromkeys((r["kind"], r.get("split"), r["x"] if r["kind"] in ("position", "yes/no") else None,
                               r["kind"] == "letters" and r["x"] > 0) for r in rows):
        name, split, x, known = kind
        texts = [r["text"] for r in rows if r["kind"] == name and r.get("split") == split
                 and (x is None or r["x"] == x) and (name != "letters" or (r["x"] > 0) == known)]
        assert "\n".join(texts) + "\n" in found, f"measure.py does not ask the items of {kind}"


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--check", action="store_true")
    args = ap.parse_args()
    rows = every()
    text = "".join(json.dumps(r) + "\n" for r in rows)
    check(rows)
    if not args.check:
        OUT.write_text(text)
    elif OUT.read_text() != text:
        raise SystemExit(f"{OUT.name} is not what write_items.py writes: run it, and commit")
    counts = {k: sum(r["kind"] == k for r in rows) for k in dict.fromkeys(r["kind"] for r in rows)}
    print(f"{len(text)} bytes: " + ", ".join(f"{n} {k}" for k, n in counts.items()))


if __name__ == "__main__":
    main()
