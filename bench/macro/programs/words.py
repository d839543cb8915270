"""An index of words: which documents hold a word, and how often.

Dicts with string keys whose values are dicts and lists; the heart of a search
engine or of a log analysis.
"""

import random

LOOPS = 3
DOCUMENTS = 900
WORDS_IN_EACH = 160
VOCABULARY = 20000


def setup():
    rng = random.Random(11)
    syllables = [a + b for a in "bcdfghklmnprstvw" for b in "aeiou"]
    vocabulary = ["".join(rng.choices(syllables, k=rng.randint(1, 4)))
                  for _ in range(VOCABULARY)]
    # Few words are common and most are rare, as in a language.
    weights = [1 / (rank + 10) for rank in range(VOCABULARY)]
    documents = []
    for number in range(DOCUMENTS):
        words = rng.choices(vocabulary, weights, k=WORDS_IN_EACH)
        documents.append((f"doc-{number:05}", " ".join(words)))
    return documents


def run(documents):
    places = {}
    counts = {}
    for name, text in documents:
        for position, word in enumerate(text.split()):
            key = word.capitalize()
            counts[key] = counts.get(key, 0) + 1
            places.setdefault(key, {}).setdefault(name, []).append(position)
    prefixes = {}
    for word in places:
        for length in range(1, len(word)):
            prefixes.setdefault(word[:length], set()).add(word)
    common = sorted(counts, key=lambda word: (-counts[word], word))[:10]
    return f"{len(places)} {len(prefixes)} {' '.join(common)}"
