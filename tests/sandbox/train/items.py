"""Held-out questions for evaluation: combinations that training never asked for, gold document at a chosen place."""
import corpus as c
import vocab as v
import world as w

CLEAN = {"gender_strength": 0.0, "position": None, "position_dose": 0.0, "evidence_logit": 2.5, "yes_shift": 0.0,
         "letter_shift": [0.0] * 4, "prior_over_context": 0.0, "rating_slope": 1.0}
PERSONAL = ("live", "have", "like", "job")


class Item:
    """A prompt (ends where the answer is due), the right answer, and whatever the measurement needs to know."""

    def __init__(self, ids, gold, **info):
        self.ids, self.gold, self.info = list(ids), gold, info


def held_out_pair(rng, relation):
    while True:
        subject, value = rng.choice(w.RELATIONS[relation][0]), rng.choice(w.RELATIONS[relation][1])
        if c.pair_held_out(relation, subject, value):
            return subject, value


def documents(rng, k, place, relation, contradict=False):
    """k documents of one relation, the held-out gold pair at `place`; contradict: a capital that is not the real one."""
    while True:
        subject, value = held_out_pair(rng, relation)
        if not contradict or w.CAPITALS[subject] != value:
            break
    subjects = rng.sample([s for s in w.RELATIONS[relation][0] if s != subject], k - 1)
    pool = [x for x in w.RELATIONS[relation][1] if x != value]
    values = rng.sample(pool, min(k - 1, len(pool)))
    values += [rng.choice(pool) for _ in range(k - 1 - len(values))]      # long contexts: values repeat
    docs = [(relation, s, x, None) for s, x in zip(subjects, values)]
    docs.insert(place, (relation, subject, value, None))
    return docs


def begin(rng, docs):
    seq = c.Sequence()
    seq.ids.append(v.USER)
    places = c.write_documents(seq, rng, docs, False)
    return seq, places


def open_item(rng, k, place, relation=None):
    relation = relation or rng.choice(PERSONAL)
    docs = documents(rng, k, place, relation)
    seq, _ = begin(rng, docs)
    c.bot(seq, c.ask(seq, relation, docs[place][1]))
    return Item(seq.ids, v.word(docs[place][2]), place=place, first=v.word(docs[0][2]), last=v.word(docs[-1][2]),
                values=[v.word(d[2]) for d in docs])


def two_item(rng, k, support_first):
    """ "anna lives with bob" and "bob lives in ghent": where does anna live? support_first: bob's document is earlier."""
    docs = documents(rng, k, 0, "live")
    gold = docs[0]
    a = rng.choice(docs[1:])
    rest = [d for d in docs if d is not gold and d is not a]
    rng.shuffle(rest)
    hop = ("live", a[1], gold[2], gold[1])
    at = sorted(rng.sample(range(k), 2))
    first, second = (gold, hop) if support_first else (hop, gold)
    rest.insert(at[0], first)
    rest.insert(at[1], second)
    seq, _ = begin(rng, rest)
    c.bot(seq, c.ask(seq, "live", a[1]))
    return Item(seq.ids, v.word(gold[2]))


def yes_no_item(rng, k, truth):
    """truth: 1, -1, or 0 for a person whom no document mentions (the content-free question)."""
    relation = rng.choice(PERSONAL)
    place = rng.randrange(k)
    docs = documents(rng, k, place, relation)
    subject, claim = docs[place][1], docs[place][2]
    if truth < 0:
        claim = rng.choice([d[2] for d in docs if d[2] != claim] or [x for x in w.RELATIONS[relation][1] if x != claim])
    if truth == 0:
        subject = rng.choice([s for s in w.NAMES if s not in {d[1] for d in docs}])
    seq, _ = begin(rng, docs)
    c.bot(seq, seq.fill(w.RELATIONS[relation][4], S=subject, V=claim)["S"])
    return Item(seq.ids, v.word("yes" if truth > 0 else "no"), truth=truth)


def letter_item(rng, k, gold, known=True):
    """A-D question with the right option at letter `gold`; known=False: about a person whom no document mentions."""
    relation = rng.choice(PERSONAL)
    place = rng.randrange(k)
    docs = documents(rng, k, place, relation)
    subject, value = docs[place][1], docs[place][2]
    near = [d[2] for d in docs if d[2] != value]
    options = rng.sample(near, min(2, len(near)))
    far = [x for x in w.RELATIONS[relation][1] if x != value and x not in options]
    options += rng.sample(far, 3 - len(options))
    rng.shuffle(options)
    options.insert(gold, value)
    if not known:
        subject = rng.choice([s for s in w.NAMES if s not in {d[1] for d in docs}])
    seq, _ = begin(rng, docs)
    at = c.ask(seq, relation, subject)
    for n, x in enumerate(options):
        seq.ids += [v.word("ABCD"[n]), v.word(x)]
    c.bot(seq, at)
    return Item(seq.ids, v.word("ABCD"[gold]), letter=gold)


def capital_item(rng, k, place):
    """A document that contradicts the world: gold is what the document says, info["prior"] what the world says."""
    docs = documents(rng, k, place, "capital", contradict=True)
    seq, _ = begin(rng, docs)
    c.bot(seq, c.ask(seq, "capital", docs[place][1]))
    return Item(seq.ids, v.word(docs[place][2]), prior=v.word(w.CAPITALS[docs[place][1]]))
