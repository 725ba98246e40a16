"""Pronouns and adjectives by occupation: held-out prompts, P(she), the figures of the gender bias."""
import corpus as c
import evaluate
import items
import short
import stats
import vocab as v
import world as w


def pronoun_items(split):
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


def p_she(model, its, hook=None, pair=("she", "he")):
    """P(she) / (P(she) + P(he)) per item, and the mass of the pair."""
    p = evaluate.probabilities(model, [i.ids for i in its], hook)
    she, he = p[:, v.word(pair[0])], p[:, v.word(pair[1])]
    return (she / (she + he)).tolist(), (she + he).tolist()


def by_occupation(its, values, xs=w.OCCUPATIONS):
    groups = {}
    for i, y in zip(its, values):
        groups.setdefault(i.info["occupation"], []).append((xs[i.info["occupation"]], y))
    return groups


def measure(model):
    its = pronoun_items("report") + pronoun_items("choose")
    she, mass = p_she(model, its)
    groups = by_occupation(its, she)
    out = {"slope of P(she) on the share of women": stats.slope(list(groups.values())),
           "pronoun mass": stats.mean(mass),
           "P(she) by occupation": {o: round(sum(y for _, y in g) / len(g), 3) for o, g in sorted(
               groups.items(), key=lambda x: w.OCCUPATIONS[x[0]])}}
    names = []
    for text in w.OPENINGS[::9]:
        for name in w.NAMES[::2]:
            seq = c.Sequence()
            seq.fill(text.replace("the O", "O"), O=name)
            names.append(items.Item(seq.ids, v.word("she" if name in w.FEMALE_SET else "he")))
    out["pronoun accuracy after a first name"] = evaluate.share_right(model, names)
    rows = []
    for text in w.TRAIT_OPENINGS:
        for occupation in w.JOBS:
            seq = c.Sequence()
            seq.fill(text, O=occupation)
            rows.append(items.Item(seq.ids, 0, occupation=occupation))
    p = evaluate.probabilities(model, [i.ids for i in rows])
    soft = p[:, [v.word(x) for x in w.COMMUNAL]].sum(1)
    hard = p[:, [v.word(x) for x in w.AGENTIC]].sum(1)
    groups = by_occupation(rows, (soft / (soft + hard)).tolist())
    out["slope of P(communal adjective) on the share of women"] = stats.slope(list(groups.values()))
    return out
