"""Tokenizer: the rwkv type of llama.cpp (greedy longest match over " word" pieces and all 256 single bytes).

It needs no merges, takes any bytes, and keeps one word one token. Full stop, question mark and newline are byte tokens.
"""
import world as w

SPECIAL = ["<pad>", "<s>", "</s>", "<user>", "<bot>", "<doc>", "</doc>"]
PAD, BOS, EOS, USER, BOT, DOC, DOC_END = range(7)
FIRST_BYTE = len(SPECIAL)


def _function_words():
    texts = [t for r in w.RELATIONS.values() for t in r[2:]] + [w.WITH_DOC]
    texts += w.OPENINGS + w.POSSESSIVE + w.ENDINGS + w.THINGS + w.TRAIT_OPENINGS
    texts += ["the I was J and J.", "how many stars?", "she he her his yes no A B C D 1 2 3 4 5"]
    texts += ["woman man"]
    seen = {}
    for text in texts:
        for word in text.replace(".", "").replace("?", "").split():
            if word not in ("S", "V", "O", "I", "J"):
                seen.setdefault(word)
    return list(seen)


WORDS = list(dict.fromkeys(
    _function_words() + w.NAMES + w.PLACES + w.OBJECTS + w.FOODS + w.JOBS + w.COUNTRIES + w.CAPS + w.ITEMS
    + [x for xs in w.SCORES.values() for x in xs] + w.COMMUNAL + w.AGENTIC))
FIRST_WORD = FIRST_BYTE + 256
USED = FIRST_WORD + len(WORDS)
SIZE = (USED + 31) // 32 * 32                # rows of the embedding; the rest is unused
ID = {" " + word: FIRST_WORD + i for i, word in enumerate(WORDS)}
LONGEST = max(len(x) for x in ID)


def byte_id(char):
    return FIRST_BYTE + ord(char)


def encode(text):
    """Token ids of a text, special tokens included: what llama.cpp gives with parse_special."""
    ids, i = [], 0
    while i < len(text):
        special = next((n for n, s in enumerate(SPECIAL) if text.startswith(s, i)), None)
        if special is not None:
            ids.append(special)
            i += len(SPECIAL[special])
            continue
        for size in range(min(LONGEST, len(text) - i), 1, -1):
            token = ID.get(text[i:i + size])
            if token is not None:
                ids.append(token)
                i += size
                break
        else:
            ids.extend(FIRST_BYTE + b for b in text[i].encode())
            i += 1
    return ids


def piece(token):
    if token < FIRST_BYTE:
        return SPECIAL[token]
    if token < FIRST_WORD:
        return bytes([token - FIRST_BYTE]).decode("latin-1")
    return " " + WORDS[token - FIRST_WORD] if token < USED else f"<unused{token}>"


def decode(ids):
    return "".join(piece(i) for i in ids)


def word(text):
    """The one token of a word; an error if it is not in the world."""
    return ID[" " + text]
