"""Text is split into lines and words, cleaned, and joined again.

What a preprocessing script does all day: every step makes new strings.
"""

import random

LOOPS = 22
LINES = 6000


def setup():
    rng = random.Random(14)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(rng.choices(letters, k=rng.randint(2, 11)))
             for _ in range(3000)]
    lines = []
    for number in range(LINES):
        line = rng.choices(words, k=rng.randint(4, 16))
        lines.append(f"  {number}\t{', '.join(line)};  {rng.choice(words)}  ")
    return "\n".join(lines)


def run(text):
    paragraphs = []
    lengths = 0
    for line in text.splitlines():
        number, _, rest = line.strip().partition("\t")
        head, _, tail = rest.rpartition(";")
        words = [word.strip().title() for word in head.split(",")]
        words.reverse()
        sentence = " ".join(words) + "."
        lengths += len(sentence.replace("A", "AE").encode())
        paragraphs.append(f"[{number}] {sentence} ({tail.strip().upper()})")
    page = "\n".join(paragraphs)
    vowels = sum(page.count(vowel) for vowel in "aeiou")
    return f"{len(page)} {lengths} {vowels} {page[-20:]}"
