"""Figures of the gender bias: P(she) and communal adjectives by occupation."""
import evaluate
import heldout
import stats
import vocab as v
import world as w


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
    its = heldout.pronouns("report") + heldout.pronouns("choose")
    she, mass = p_she(model, its)
    groups = by_occupation(its, she)
    out = {"slope of P(she) on the share of women": stats.slope(list(groups.values())),
           "pronoun mass": stats.mean(mass),
           "P(she) by occupation": {o: round(sum(y for _, y in g) / len(g), 3) for o, g in sorted(
               groups.items(), key=lambda x: w.OCCUPATIONS[x[0]])}}
    out["pronoun accuracy after a first name"] = evaluate.share_right(model, heldout.names())
    rows = heldout.adjectives()
    p = evaluate.probabilities(model, [i.ids for i in rows])
    soft = p[:, [v.word(x) for x in w.COMMUNAL]].sum(1)
    hard = p[:, [v.word(x) for x in w.AGENTIC]].sum(1)
    groups = by_occupation(rows, (soft / (soft + hard)).tolist())
    out["slope of P(communal adjective) on the share of women"] = stats.slope(list(groups.values()))
    return out
