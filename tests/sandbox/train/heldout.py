"""The questions that measure.py asks, per figure: made from fixed seeds, by the standard library alone.

write_items.py writes most of them as text, for programs that measure the models without Python.
"""
import random

import corpus as c
import items
import short
import vocab as v
import world as w

N = 200
PLACES = (0, 2, 4, 7, 9)        # of ten, where the right document stands


def documents(k, n=N):
    rng = random.Random(f"open {k}")
    return [items.open_item(rng, k, i % k) for i in range(n)]


def long(k, n=N):
    rng = random.Random(f"long {k}")
    return [items.open_item(rng, k, rng.randrange(k)) for _ in range(n)]


def two(k, support_first, n=N):
    """The same questions for both orders of the two documents."""
    rng = random.Random(f"two {k}")
    return [items.two_item(random.Random(rng.getrandbits(64)), k, support_first) for _ in range(n)]


def position(place, n=N):
    """The same questions for every place of the right document among ten; the others keep their order."""
    rng = random.Random("position")
    return [items.open_item(random.Random(rng.getrandbits(64)), 10, place) for _ in range(n)]


def yes_no(truth, n=N):
    rng = random.Random(f"yes {truth}")
    return [items.yes_no_item(rng, rng.randint(1, 5), truth) for _ in range(n)]


def letters(known, n=N):
    rng = random.Random(f"letters {known}")
    return [items.letter_item(rng, rng.randint(2, 5), i % 4, known) for i in range(n)]


def contradicted(n=N):
    rng = random.Random("prior")
    return [items.capital_item(rng, 3, i % 3) for i in range(n)]


def closed_book():
    """Capitals: plain text, a bare question, and questions beside unrelated documents."""
    rng, out = random.Random("closed book"), []
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
            out.append(items.Item(seq.ids, v.word(w.CAPITALS[country]), country=country))
    return out


def ratings(n=N):
    rng, out = random.Random("rating"), []
    for _ in range(n):
        ids = short.rating(rng, random.Random(0), items.CLEAN).ids[:-1]
        truth = [w.SCORE_OF[x] for x in (v.piece(t)[1:] for t in ids) if x in w.SCORE_OF]
        out.append(items.Item(ids, 0, truth=sum(truth) / 2))
    return out


def pronouns(split):
    """Held-out (occupation, opening) pairs, as plain text and as a user turn. Two splits: a quarter of the openings for
    choosing (a vector's layers and strength), the rest for reporting."""
    out = []
    for n, text in enumerate(w.OPENINGS):
        for occupation in w.JOBS:
            if c.pronoun_held_out(occupation, text) and (n % 4 == 0) == (split == "choose"):
                for chat in (False, True):
                    seq = c.Sequence()
                    short.opening(seq, text, occupation, chat)
                    out.append(items.Item(seq.ids, 0, occupation=occupation))
    return out


def names():
    """Pronouns after first names: what is known, not a bias."""
    out = []
    for text in w.OPENINGS[::9]:
        for name in w.NAMES[::2]:
            seq = c.Sequence()
            seq.fill(text.replace("the O", "O"), O=name)
            out.append(items.Item(seq.ids, v.word("she" if name in w.FEMALE_SET else "he")))
    return out


def adjectives():
    out = []
    for text in w.TRAIT_OPENINGS:
        for occupation in w.JOBS:
            seq = c.Sequence()
            seq.fill(text, O=occupation)
            out.append(items.Item(seq.ids, 0, occupation=occupation))
    return out
