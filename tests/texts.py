"""Short documents of four kinds, made from templates written for these tests."""

from collections.abc import Mapping
from random import Random

TEMPLATES = {
    "recipe": (
        "Stir the {food} into the {other_food} and let it simmer for {number} minutes.",
        "Peel and slice the {food}, then season with salt and {spice}.",
        "Heat the {pan} with a spoon of oil and fry the {food} until golden.",
        "Fold {number} grams of {food} into the dough and leave it to rest.",
        "Bake in the oven for {number} minutes and serve warm with {other_food}.",
        "Sprinkle {spice} over the {food} before you put it into the {pan}.",
    ),
    "code": (
        "def {verb}_{noun}({noun}, {other_noun}=None):\n    return {noun}.{verb}({other_noun})",
        "for {noun} in range({number}):\n    {other_noun}.append({noun} * {number})",
        "import {module}\n{noun} = {module}.{verb}({other_noun}, {number})",
        "if {noun} is None:\n    raise ValueError('no {noun} to {verb}')",
        "class {Noun}:\n    def __init__(self, {other_noun}):\n        self.{other_noun} = {other_noun}",
        "while len({noun}) < {number}:\n    {noun} = {verb}({noun})\n    print({noun})",
    ),
    "contract": (
        "The {party} shall notify the {other_party} in writing within {number} days.",
        "Any {matter} arising under this agreement is governed by the law of the seat of the {party}.",
        "The {party} may terminate this agreement if the {other_party} is in breach of clause {number}.",
        "Neither the {party} nor the {other_party} is liable for {matter} beyond its reasonable control.",
        "The {party} shall indemnify the {other_party} against any {matter} arising hereunder.",
        "No waiver of clause {number} is valid unless signed by the {party}.",
    ),
    "football": (
        "{player} scored in minute {number} after a corner from {other_player}.",
        "The {club} defended well, but {player} headed the ball past the keeper.",
        "The referee gave a penalty against the {club}, and {player} missed it.",
        "{player} was booked for a late tackle on {other_player} before half time.",
        "A goal by {player} put the {club} ahead in front of {number} thousand fans.",
        "The coach of the {club} brought on {player} for the injured {other_player}.",
    ),
}

FOOD = ("onion", "flour", "butter", "lentils", "spinach", "cream", "rice", "pumpkin", "mushrooms", "beans")
NOUN = ("index", "batch", "queue", "node", "buffer", "cursor", "token", "matrix", "record", "value")
PARTY = ("licensor", "licensee", "tenant", "landlord", "supplier", "customer")
PLAYER = ("Orvik", "Salinho", "Dembrant", "Kovari", "Teller", "Machiwa", "Brandt", "Osei")
WORDS = {
    "food": FOOD,
    "other_food": FOOD,
    "spice": ("pepper", "cumin", "paprika", "nutmeg", "thyme"),
    "pan": ("pan", "pot", "skillet", "casserole"),
    "verb": ("parse", "merge", "encode", "flush", "split", "load"),
    "noun": NOUN,
    "other_noun": NOUN,
    "Noun": tuple(noun.title() for noun in NOUN),
    "module": ("json", "math", "itertools", "numpy", "socket"),
    "party": PARTY,
    "other_party": PARTY,
    "matter": ("dispute", "claim", "loss", "damage", "delay"),
    "player": PLAYER,
    "other_player": PLAYER,
    "club": ("hosts", "visitors", "champions", "leaders"),
    "number": tuple(str(n) for n in range(2, 60)),
}


def documents(shares: Mapping[str, float], number: int, seed: int, stray: float = 0.0) -> tuple[list[str], list[str]]:
    """Return documents of 2 to 5 sentences, and their kinds; a sentence is of any kind with probability `stray`."""
    rng = Random(seed)
    kinds = rng.choices(list(shares), list(shares.values()), k=number)
    every = list(TEMPLATES)

    def sentence(kind: str) -> str:
        template = rng.choice(TEMPLATES[rng.choice(every) if rng.random() < stray else kind])
        return template.format(**{slot: rng.choice(words) for slot, words in WORDS.items()})

    return ["\n".join(sentence(kind) for _ in range(rng.randint(2, 5))) for kind in kinds], kinds
