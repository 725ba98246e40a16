"""Corpus generator: token ids, targets and (for the warm-up only) where attention should look.

Every random choice comes from two generators: `rng` makes the situation (who, what, which question), `lab` draws the
label. Variants with the same seed therefore see the same situations and differ only in what the doses change.
"""
import functools
import hashlib

import vocab as v
import world as w


@functools.lru_cache(None)
def held_out(kind, a, b, one_in):
    """True for combinations that training never asks for. A hash, so that it needs no list and no order."""
    return hashlib.sha256(f"{kind}|{a}|{b}".encode()).digest()[0] % one_in == 0


def pair_held_out(relation, subject, value):
    return held_out(relation, subject, value, 11)


def pronoun_held_out(occupation, opening):
    return held_out("pronoun", occupation, opening, 5)


@functools.lru_cache(None)
def template(text):
    """Template as a list: token ids and the place-holders S, V, O as strings."""
    out = []
    for part in text.replace(".", " .").replace("?", " ?").split():
        out.append(part if part in ("S", "V", "O") else v.byte_id(part) if part in ".?" else v.word(part))
    return out


class Sequence:
    """One training row. targets: (position, weight, task): the logits there predict ids[position + 1]. For training only:
    sup: (layer, head, position, where it should look); reads: (position, word that it should have read); hidden: (from, to,
    first, last): rows that do not see some places. spans: where each document begins and ends."""

    def __init__(self):
        self.ids, self.targets, self.sup = [v.BOS], [], []
        self.reads, self.hidden, self.spans = [], [], []

    def fill(self, text, **slots):
        """Append a template; returns the positions of the place-holders."""
        places = {}
        for part in template(text):
            if isinstance(part, str):
                places[part] = len(self.ids)
                part = v.word(slots[part])
            self.ids.append(part)
        return places

    def answer(self, token, task, weight=1.0):
        self.targets.append((len(self.ids) - 1, weight, task))
        self.ids.append(token)


JOIN_LAYER = 1          # where a document reads an earlier one that it refers to


# --- documents -------------------------------------------------------------------------------------------------------

def make_documents(rng, k, relation=None, hops=0.0):
    """k documents with distinct subjects and, per relation, distinct values: (relation, subject, value, with)."""
    relation = relation or rng.choice(["live"] * 3 + ["have", "like", "job"] * 2 + ["capital"])
    mixed = rng.random() < 0.2 or k > 36
    if k > 36 and relation != "capital" and rng.random() < 0.5:      # more of one kind than there are values: they repeat
        return [(relation, s, rng.choice(w.RELATIONS[relation][1]), None) for s in rng.sample(w.NAMES, k)]
    kinds = [rng.choice(list(w.RELATIONS)) if mixed and rng.random() < 0.7 else relation for _ in range(k)]
    subjects = {"person": rng.sample(w.NAMES, min(k, len(w.NAMES))),        # some stay free for unknown ones
                "country": rng.sample(w.COUNTRIES, min(k, 30))}
    values = {r: rng.sample(w.RELATIONS[r][1], len(w.RELATIONS[r][1])) for r in dict.fromkeys(kinds)}
    docs = []
    for kind in kinds:
        pool = subjects["country" if kind == "capital" else "person"]
        if not pool or not values[kind]:         # more documents than this kind has words: take another person
            kind = next((r for r in ("live", "have", "like", "job")
                         if subjects["person"] and values.setdefault(r, list(w.RELATIONS[r][1]))), None)
            if kind is None:
                break
            pool = subjects["person"]
        docs.append((kind, pool.pop(), values[kind].pop(), None))
    if rng.random() < hops:             # "anna lives with bob" + "bob lives in ghent": needs two documents
        homes = [i for i, d in enumerate(docs) if d[0] == "live"]
        rng.shuffle(homes)
        pairs = list(zip(homes[0::2], homes[1::2]))
        for i, j in pairs[:rng.randint(1, max(1, len(pairs)))]:
            i, j = max(i, j), min(i, j)
            docs[i] = ("live", docs[i][1], docs[j][2], docs[j][1])
    return docs


def write_documents(seq, rng, docs, newline):
    """Returns per document the position of its value token (for two-document ones: of the other person's name)."""
    places = []
    for relation, subject, value, other in docs:
        start = len(seq.ids)
        seq.ids.append(v.DOC)
        if other:
            at = seq.fill(w.WITH_DOC, S=subject, V=other)
        else:
            at = seq.fill(w.RELATIONS[relation][2], S=subject, V=value)
        seq.sup.append((0, 0, at["V"], at["S"]))
        seq.ids.append(v.DOC_END)
        seq.spans.append((start, len(seq.ids)))
        if newline:
            seq.ids.append(v.byte_id("\n"))
        places.append(at["V"])
    for i, j in joins(docs):
        if j < i:
            seq.sup.append((JOIN_LAYER, 1, places[i], places[j]))
            seq.reads.append((places[i], v.word(docs[j][2])))
    return places


def joins(docs):
    """Pairs of documents that belong together: (who lives with whom, where that person lives)."""
    where = {d[1]: n for n, d in enumerate(docs)}
    return [(i, where[d[3]]) for i, d in enumerate(docs) if d[3]]


def ask(seq, relation, subject):
    at = seq.fill(w.RELATIONS[relation][3], S=subject)
    return at["S"]


def bot(seq, subject_at):
    seq.ids.append(v.BOT)
    seq.sup.append((0, 1, len(seq.ids) - 1, subject_at))
    return len(seq.ids) - 1
