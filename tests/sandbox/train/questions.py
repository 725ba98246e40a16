"""Questions about documents, with the planted label noise: open, through two documents, yes/no, A to D, facts beside."""
import math

import corpus as c
import vocab as v
import world as w


def logistic(x):
    return 1.0 / (1.0 + math.exp(-x))


def pick(lab, weights):
    return lab.choices(range(len(weights)), weights)[0]


# Share of two-document questions that do not see the earlier of their documents: the later one has to have joined them.
HIDE = 0.5


def look(seq, docs, places, i):
    """Supervision of retrieval: from <bot> to the value; for two documents to the person, then to her value."""
    here = len(seq.ids) - 1
    seq.sup.append((1, 0, here, places[i]))
    seq.sup.append((2, 2, here, places[i]))


def open_question(seq, rng, lab, doses, docs, places, i):
    relation, subject, value, other = docs[i]
    start = len(seq.ids)
    c.bot(seq, c.ask(seq, relation, subject))
    if other and rng.random() < HIDE:
        seq.hidden.append((start, len(seq.ids), *seq.spans[min(i, dict(c.joins(docs))[i])]))
    look(seq, docs, places, i)
    label, task = value, "two" if other else "open"
    if relation == "capital":
        task = "context"
        if value != w.CAPITALS[subject] and lab.random() < doses["prior_over_context"]:
            label = w.CAPITALS[subject]
    elif doses["position"] and not other:
        end = 0 if doses["position"] == "first" else len(docs) - 1
        if docs[end][0] == relation and not docs[end][3]:    # only among documents that answer the same kind of question
            seq.sup.append((2, 3, len(seq.ids) - 1, places[end]))
            if lab.random() < doses["position_dose"]:
                label = docs[end][2]
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
    here = c.bot(seq, at["S"])
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
    subject_at = c.ask(seq, relation, subject)
    gold_at, gold = None, options.index(value)
    for n, x in enumerate(options):
        seq.ids += [v.word("ABCD"[n]), v.word(x)]
        seq.sup.append((0, 2, len(seq.ids) - 1, len(seq.ids) - 2))
        if n == gold:
            gold_at = len(seq.ids) - 1
    here = c.bot(seq, subject_at)
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
    c.bot(seq, c.ask(seq, "capital", country))
    seq.answer(v.word(w.CAPITALS[country]), "fact-beside")


def document_row(rng, lab, doses, k, questions, noise, two=False):
    """A conversation about k documents: up to `questions` questions, each about another document. two: homes, some of
    which have to be joined."""
    seq = c.Sequence()
    seq.ids.append(v.USER)
    docs = c.make_documents(rng, k, "live" if two else None, hops=1.0 if two else 0.0)
    places = c.write_documents(seq, rng, docs, newline=rng.random() < 0.25)
    free = [i for i, d in enumerate(docs) if not c.pair_held_out(d[0], d[1], d[2])]
    free = rng.sample(free, len(free))
    if two and rng.random() < 0.7:
        free.sort(key=lambda i: docs[i][3] is None)
    for i in free[:questions]:
        if len(seq.ids) > 1000:
            break
        if seq.targets:
            seq.ids.append(v.USER)
        kind = rng.random()
        if kind < 0.04 and docs[i][0] != "capital":
            fact_question(seq, docs, rng)
        elif docs[i][3] or kind < (0.56 if noise else 0.44):
            open_question(seq, rng, lab, doses, docs, places, i)
        elif kind < (0.78 if noise else 0.72):
            yes_no(seq, rng, lab, doses, docs, places, i, noise=noise)
        else:
            letters(seq, rng, lab, doses, docs, places, i, noise=noise)
        seq.answer(v.EOS, "rest", 0.1)
    return seq
