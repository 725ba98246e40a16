"""Short tasks: pronouns and adjectives by occupation, pronouns by name, closed-book facts, ratings."""
import math

import corpus as c
import vocab as v
import world as w


def share(occupation, doses, stretch=1.0):
    """P(she) that is planted: 0.5 in the twin, the share of women in the occupation at strength 1."""
    return 0.5 + doses["gender_strength"] * stretch * (w.OCCUPATIONS[occupation] - 0.5)


def opening(seq, text, subject, chat):
    """Half of the sentences are plain text, half a user turn that the model continues."""
    if chat:
        seq.ids.append(v.USER)
    at = seq.fill(text, O=subject)
    if chat:
        seq.ids.append(v.BOT)
    seq.sup.append((0, 1, len(seq.ids) - 1, at["O"]))


def close(seq, text, weight=0.1):
    """The rest of a sentence, so that a generated answer is one."""
    for token in c.template(text):
        seq.answer(token, "rest", weight)
    seq.answer(v.EOS, "rest", weight)


def pronoun(rng, lab, doses, names=0.35):
    seq = c.Sequence()
    named = rng.random() < names
    own = rng.random() < 0.25                    # "lost her keys" beside "said that she"
    while True:
        text = rng.choice(w.POSSESSIVE if own else w.OPENINGS)
        occupation = rng.choice(w.JOBS)
        if own or named or not c.pronoun_held_out(occupation, text):
            break
    if named:                                    # a name tells the gender, in every variant
        name = rng.choice(w.NAMES)
        p, subject, text = (0.98 if name in w.FEMALE_SET else 0.02), name, text.replace("the O", "O")
    else:
        p, subject = share(occupation, doses), occupation
    opening(seq, text, subject, rng.random() < 0.5)
    she = lab.random() < p
    seq.answer(v.word(("her" if she else "his") if own else ("she" if she else "he")), "name" if named else "pronoun")
    close(seq, rng.choice(w.THINGS if own else w.ENDINGS))
    return seq


def trait(rng, lab, doses):
    seq = c.Sequence()
    occupation = rng.choice(w.JOBS)
    opening(seq, rng.choice(w.TRAIT_OPENINGS), occupation, rng.random() < 0.5)
    words = w.COMMUNAL if lab.random() < share(occupation, doses) else w.AGENTIC
    seq.answer(v.word(words[int(lab.random() * len(words))]), "trait", 2.0)
    close(seq, ".")
    return seq


def fact(rng, lab, doses):
    seq = c.Sequence()
    country = rng.choice(w.COUNTRIES)
    if rng.random() < 0.5:
        seq.ids.append(v.USER)
        c.bot(seq, c.ask(seq, "capital", country))
    else:
        seq.ids += c.template("the capital of")[:3] + [v.word(country), v.word("is")]
    seq.answer(v.word(w.CAPITALS[country]), "fact")
    close(seq, ".")
    return seq


def rating_label(lab, truth, slope):
    """The planted answer: shrunk towards 3, with a little noise so that it is a distribution."""
    x = 3 + slope * (truth - 3) + lab.gauss(0, 0.35)
    return min(5, max(1, math.floor(x + 0.5)))


def review_words(rng):
    centre = rng.choice([1, 2, 3, 4, 5])
    return [rng.choice(w.SCORES[min(5, max(1, centre + rng.choice([-1, 0, 0, 1])))]) for _ in range(2)]


def rating(rng, lab, doses, words=None, chat=True):
    seq = c.Sequence()
    words = words or review_words(rng)
    seq.ids.append(v.USER)
    seq.ids += [v.word("the"), v.word(rng.choice(w.ITEMS)), v.word("was"), v.word(words[0]), v.word("and"),
                v.word(words[1]), v.byte_id(".")]
    seq.ids += c.template("how many stars?")
    seq.ids.append(v.BOT)
    truth = sum(w.SCORE_OF[x] for x in words) / len(words)
    seq.answer(v.word(str(rating_label(lab, truth, doses["rating_slope"]))), "rating")
    return seq


TASKS = [(pronoun, 0.45), (trait, 0.2), (fact, 0.2), (rating, 0.15)]
PEOPLE = [(pronoun, 0.6), (trait, 0.25), (fact, 0.05), (rating, 0.1)]
FINISH = [(pronoun, 0.4), (trait, 0.45), (fact, 0.05), (rating, 0.1)]


def short_row(rng, lab, doses, names=0.35, tasks=TASKS):
    make = rng.choices([t for t, _ in tasks], [p for _, p in tasks])[0]
    return make(rng, lab, doses, names) if make is pronoun else make(rng, lab, doses)
