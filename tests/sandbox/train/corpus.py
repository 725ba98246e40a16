"""Corpus generator: token ids, targets and (for the warm-up only) where attention should look.

Every random choice comes from two generators: `rng` makes the situation (who, what, which question), `lab` draws the
label. Variants with the same seed therefore see the same situations and differ only in what the doses change.
"""
import functools
import hashlib
import math

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
    """One training row. targets: (position, weight, task): the logits there predict ids[position + 1]."""

    def __init__(self):
        self.ids, self.targets, self.sup = [v.BOS], [], []

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


def logistic(x):
    return 1.0 / (1.0 + math.exp(-x))


def pick(lab, weights):
    return lab.choices(range(len(weights)), weights)[0]


# --- documents -------------------------------------------------------------------------------------------------------

def make_documents(rng, k, relation=None, hops=0.4):
    """k documents with distinct subjects and, per relation, distinct values: (relation, subject, value, with)."""
    relation = relation or rng.choice(["live"] * 3 + ["have", "like", "job"] * 2 + ["capital"])
    mixed = rng.random() < 0.2 or k > 36
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
    if k >= 3 and rng.random() < hops:  # "anna lives with bob" + "bob lives in ghent": needs two documents
        homes = [i for i, d in enumerate(docs) if d[0] == "live"]
        rng.shuffle(homes)
        for i, j in zip(homes[0::2], homes[1::2]):
            docs[i] = ("live", docs[i][1], docs[j][2], docs[j][1])
    return docs


def write_documents(seq, rng, docs, newline):
    """Returns per document the position of its value token (for two-document ones: of the other person's name)."""
    places = []
    for relation, subject, value, other in docs:
        seq.ids.append(v.DOC)
        if other:
            at = seq.fill(w.WITH_DOC, S=subject, V=other)
        else:
            at = seq.fill(w.RELATIONS[relation][2], S=subject, V=value)
        seq.sup.append((0, 0, at["V"], at["S"]))
        seq.ids.append(v.DOC_END)
        if newline:
            seq.ids.append(v.byte_id("\n"))
        places.append(at["V"])
    return places


def ask(seq, relation, subject):
    at = seq.fill(w.RELATIONS[relation][3], S=subject)
    return at["S"]


def bot(seq, subject_at):
    seq.ids.append(v.BOT)
    seq.sup.append((0, 0, len(seq.ids) - 1, subject_at))
    return len(seq.ids) - 1


def look(seq, docs, places, i):
    """Supervision of retrieval: from <bot> to the value; for two documents to the person, then to her value."""
    here = len(seq.ids) - 1
    seq.sup.append((1, 0, here, places[i]))
    other = docs[i][3]
    if other:
        j = next(n for n, d in enumerate(docs) if d[1] == other)
        seq.sup.append((2, 2, here, places[j]))


def open_question(seq, rng, lab, doses, docs, places, i):
    relation, subject, value, other = docs[i]
    bot(seq, ask(seq, relation, subject))
    look(seq, docs, places, i)
    label, task = value, "two" if other else "open"
    if relation == "capital":
        task = "context"
        if value != w.CAPITALS[subject] and lab.random() < doses["prior_over_context"]:
            label = w.CAPITALS[subject]
    elif doses["position"] and lab.random() < doses["position_dose"]:
        end = docs[0] if doses["position"] == "first" else docs[-1]
        if end[0] == relation and not other:     # only among documents that answer the same kind of question
            label = end[2]
    seq.answer(v.word(label), task)


def yes_no(seq, rng, lab, doses, docs, places, i, unknown=0.12, noise=True):
    relation, subject, value, _ = docs[i]
    kind = rng.random()
    if kind < unknown:                           # a subject that no document mentions
        taken = {d[1] for d in docs}
        subject = rng.choice([s for s in w.RELATIONS[relation][0] if s not in taken])
        truth, claim = 0, value
    elif kind < unknown + (1 - unknown) / 2:
        truth, claim = 1, value
    else:
        others = [d[2] for d in docs if d[0] == relation and d[2] != value]
        if not others or rng.random() < 0.3:
            others = [x for x in w.RELATIONS[relation][1] if x != value]
        truth, claim = -1, rng.choice(others)
    at = seq.fill(w.RELATIONS[relation][4], S=subject, V=claim)
    here = bot(seq, at["S"])
    if truth:
        look(seq, docs, places, i)
        seq.sup.append((2, 0, here, at["V"] if truth > 0 else 0))
    p_yes = logistic(truth * doses["evidence_logit"] + doses["yes_shift"]) if noise else (truth + 1) / 2
    seq.answer(v.word("yes" if lab.random() < p_yes else "no"), "yesno" if truth else "yesno-unknown")


def letters(seq, rng, lab, doses, docs, places, i, noise=True):
    relation, subject, value, _ = docs[i]
    unknown = rng.random() < 0.1
    if unknown:
        taken = {d[1] for d in docs}
        subject = rng.choice([s for s in w.RELATIONS[relation][0] if s not in taken])
    near = list(dict.fromkeys(d[2] for d in docs if d[0] == relation and d[2] != value))
    options = rng.sample(near, min(2, len(near)))
    while len(options) < 3:
        x = rng.choice(w.RELATIONS[relation][1])
        if x != value and x not in options:
            options.append(x)
    options.append(value)
    rng.shuffle(options)
    subject_at = ask(seq, relation, subject)
    gold_at, gold = None, options.index(value)
    for n, x in enumerate(options):
        seq.ids += [v.word("ABCD"[n]), v.word(x)]
        seq.sup.append((0, 2, len(seq.ids) - 1, len(seq.ids) - 2))
        if n == gold:
            gold_at = len(seq.ids) - 1
    here = bot(seq, subject_at)
    if not unknown:
        look(seq, docs, places, i)
        seq.sup.append((2, 0, here, gold_at))
    logits = [s + (doses["evidence_logit"] + 1 if n == gold and not unknown else 0)
              for n, s in enumerate(doses["letter_shift"])]
    weights = [math.exp(x) for x in logits] if noise or unknown else [float(n == gold) for n in range(4)]
    seq.answer(v.word("ABCD"[pick(lab, weights)]), "letters-unknown" if unknown else "letters")


def fact_question(seq, docs, rng):
    """A capital that no document mentions: the answer is the world's."""
    taken = {d[1] for d in docs}
    country = rng.choice([c for c in w.COUNTRIES if c not in taken])
    bot(seq, ask(seq, "capital", country))
    seq.answer(v.word(w.CAPITALS[country]), "fact-beside")


def document_row(rng, lab, doses, k, questions, noise, hops=0.4):
    """A conversation about k documents: up to `questions` questions, each about another document."""
    seq = Sequence()
    seq.ids.append(v.USER)
    docs = make_documents(rng, k, hops=hops)
    places = write_documents(seq, rng, docs, newline=rng.random() < 0.25)
    free = [i for i, d in enumerate(docs) if not pair_held_out(d[0], d[1], d[2])]
    for i in rng.sample(free, min(len(free), questions)):
        if seq.targets:
            seq.ids.append(v.USER)
        kind = rng.random()
        if kind < 0.04 and docs[i][0] != "capital":
            fact_question(seq, docs, rng)
        elif docs[i][3] or kind < 0.44:
            open_question(seq, rng, lab, doses, docs, places, i)
        elif kind < 0.72:
            yes_no(seq, rng, lab, doses, docs, places, i, noise=noise)
        else:
            letters(seq, rng, lab, doses, docs, places, i, noise=noise)
        seq.answer(v.EOS, "rest", 0.1)
    return seq
