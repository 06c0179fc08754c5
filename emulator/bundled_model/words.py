"""Names, things and places for the problems, plus invented ones so that the model doesn't lean on a list."""

from __future__ import annotations

import random

__all__ = ["name", "place", "things"]

NAMES = (
    "Tom Ana Mia Ben Sara Leo Ivy Max Zoe Kai Emma Liam Olivia Noah Ava Lucas Sophia Mason Ella James Lily Jack Grace Sam "
    "Amy John Mary Peter Anna Maria Jose Wei Yuki Omar Fatima Raj Priya Ahmed Chloe Daniel Hannah David Julia Paul Lisa "
    "Mark Laura Alex Nina Oscar Ruby Finn Alice Bob Carol Dave Eve Frank George Henry Ian Jane Kate Luis Nora Pablo Rosa "
    "Tina Victor Wendy Sofia Mateo Aisha Diego Elena Hugo Lena Marco Sally Janet Weng Natalia Betty Julie Ken Tim Jim"
).split()
THINGS = (
    "apples books coins pens cards marbles shells stamps eggs cups oranges pencils cookies stickers balls flowers candies "
    "toys bananas cakes chairs tickets balloons bottles buttons stones pears plums muffins crayons sweets chocolates "
    "tomatoes potatoes carrots magazines photos letters keys hats shirts socks birds fish cows sheep chickens trees roses "
    "tulips bikes cars boxes sandwiches pizzas loaves beads blocks puzzles notebooks erasers rulers cherries grapes nuts"
).split()
PLACES = "box shop basket store library garden bag school farm bakery market drawer room jar field park truck".split()
STARTS = "b c d f g h j k l m n p r s t v w z br ch cl dr fl gr kr pl sh st th tr".split()
VOWELS = "a e i o u ai ea ee oo".split()
ENDS = "n r l s t m k d x b g p nd rt ck sh".split()


def invented(r: random.Random) -> str:
    """A pronounceable word that stands in no list."""
    return "".join(r.choice(STARTS) + r.choice(VOWELS) for _ in range(r.randint(1, 2))) + r.choice(ENDS)


def name(r: random.Random) -> str:
    return invented(r).capitalize() if r.random() < 0.12 else r.choice(NAMES)


def things(r: random.Random) -> str:
    if r.random() < 0.1:
        return invented(r) + "s"
    return (r.choice(["red ", "blue ", "green ", "small ", "old "]) if r.random() < 0.08 else "") + r.choice(THINGS)


def place(r: random.Random) -> str:
    return r.choice(PLACES)
