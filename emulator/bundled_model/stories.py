"""Word problems of one and two steps: question, working and answer.

Half come from whole patterns, half are put together from clauses (what one has, what changes, what is asked), in either
tense and with a name or a pronoun, so that the model learns the clauses rather than a list of sentences. Knows nothing
of tags, templates, tokens or training.
"""

from __future__ import annotations

import random
import re
from typing import NamedTuple

from words import name, number, place, things
from working import calculate

__all__ = ["Story", "one_step", "two_steps"]


class Story(NamedTuple):
    """The question in words, the working, and the answer."""

    question: str
    working: str
    answer: int


STORY_STEP = {"+": "We add", "-": "We subtract", "*": "We multiply", "/": "We divide"}

# Clauses. `[buys|bought]` is the present and the past; {s} is the name or a pronoun, {S} the same at a sentence's start.
HAVE = [
    "{n} [has|had] {a} {t}",
    "{n} [has|had] {a} {t} in a {p}",
    "{n} [starts|started] with {a} {t}",
    "{n} [owns|owned] {a} {t}",
    "{n} [counts|counted] {a} {t}",
    "{n} [keeps|kept] {a} {t} at home",
    "{n} [begins|began] the day with {a} {t}",
    "There [are|were] {a} {t} in the {p} of {n}",
    "In the morning {n} [has|had] {a} {t}",
    "{n} [finds|found] {a} {t}",
    "{n} [makes|made] {a} {t}",
    "{n} [buys|bought] {a} {t}",
    "{n} [picks|picked] {a} {t}",
    "{n} [collects|collected] {a} {t}",
    "{n}'s {p} [holds|held] {a} {t}",
    "At first {n} [has|had] {a} {t}",
    "On Monday {n} [has|had] {a} {t}",
]
GAIN = [
    "{S} [buys|bought] {x} more",
    "{S} [gets|got] {x} more {t}",
    "{S} [finds|found] another {x}",
    "{S} [wins|won] {x} more",
    "{m} [gives|gave] {n} {x} more",
    "{m} [hands|handed] over {x} {t} to {n}",
    "{S} [receives|received] {x} {t} from {m}",
    "{S} [picks|picked] up {x} more {t}",
    "{S} [makes|made] {x} more",
    "{S} [collects|collected] {x} more {t}",
    "{m} [brings|brought] {x} more {t}",
    "Another {x} {t} [are|were] added",
    "{x} more {t} [arrive|arrived]",
    "{S} [is|was] given {x} {t} by a friend",
    "{S} [adds|added] {x}",
    "{S} [borrows|borrowed] {x} from {m}",
    "The next day {s} [gets|got] {x} {t} more",
    "Later {s} [buys|bought] another {x} {t}",
    "{S} [takes|took] {x} more from {m}",
]
LOSE = [
    "{S} [gives|gave] {x} to {m}",
    "{S} [loses|lost] {x}",
    "{S} [sells|sold] {x} of them",
    "{S} [eats|ate] {x}",
    "{S} [throws|threw] {x} away",
    "{S} [gives|gave] away {x} {t}",
    "{S} [drops|dropped] {x} of the {t}",
    "{x} of them [break|broke]",
    "{S} [donates|donated] {x} {t}",
    "{S} [uses|used] {x} of the {t}",
    "{S} [lends|lent] {x} to {m}",
    "{m} [takes|took] {x} of them",
    "{x} [are|were] stolen",
    "{S} [returns|returned] {x}",
    "{x} of the {t} [are|were] lost",
    "{S} [removes|removed] {x} {t}",
    "{S} [hands|handed] {x} of them to {m}",
    "{S} [trades|traded] away {x}",
    "The next day {s} [sells|sold] {x} {t}",
    "Later {s} [gives|gave] {x} of the {t} to a friend",
    "{x} {t} [fall|fell] out",
    "{m} [borrows|borrowed] {x} {t}",
    "{S} [hides|hid] {x} of them from {m} and [forgets|forgot] where",
]
NOW = [
    "How many {t} does {n} have now?",
    "How many {t} does {s} have now?",
    "How many {t} are there now?",
    "How many {t} is that?",
    "How many {t} does {n} have in the end?",
    "How many does {s} have now?",
    "Find the number of {t} that {n} has now.",
    "What is the number of {t} now?",
    "How many {t} does {n} end up with?",
    "Now how many {t} does {s} have?",
]
IN_ALL = [
    "How many {t} does {n} have in total?",
    "How many {t} does {s} have altogether?",
    "How many {t} are there in all?",
    "What is the total number of {t}?",
    "How many {t} in total?",
]
LEFT = [
    "How many {t} does {n} have left?",
    "How many {t} are left?",
    "How many are left?",
    "How many {t} remain?",
    "How many does {s} still have?",
    "How many {t} does {s} have left?",
    "How many {t} stay with {n}?",
]
# A container, singular and plural; a group of people; something done at a steady rate: verb, what, period.
CONTAINERS = [
    ("box", "boxes"),
    ("bag", "bags"),
    ("pack", "packs"),
    ("basket", "baskets"),
    ("jar", "jars"),
    ("crate", "crates"),
    ("shelf", "shelves"),
    ("drawer", "drawers"),
    ("tray", "trays"),
    ("carton", "cartons"),
    ("pile", "piles"),
    ("row", "rows"),
    ("packet", "packets"),
    ("bucket", "buckets"),
    ("case", "cases"),
    ("table", "tables"),
    ("room", "rooms"),
    ("bowl", "bowls"),
]
PEOPLE = [
    "friends",
    "children",
    "students",
    "people",
    "kids",
    "cousins",
    "workers",
    "players",
    "girls",
    "boys",
    "neighbors",
]
RATES = [
    ("[reads|read]", "pages", "day"),
    ("[runs|ran]", "miles", "week"),
    ("[writes|wrote]", "letters", "day"),
    ("[bakes|baked]", "loaves", "day"),
    ("[saves|saved]", "dollars", "week"),
    ("[earns|earned]", "dollars", "hour"),
    ("[walks|walked]", "kilometers", "day"),
    ("[drives|drove]", "miles", "hour"),
    ("[types|typed]", "words", "minute"),
    ("[plants|planted]", "trees", "day"),
    ("[makes|made]", "toys", "hour"),
    ("[draws|drew]", "pictures", "week"),
    ("[solves|solved]", "problems", "day"),
    ("[drinks|drank]", "cups", "day"),
    ("[swims|swam]", "laps", "week"),
    ("[sells|sold]", "{t}", "month"),
    ("[makes|made]", "{t}", "day"),
    ("[earns|earned]", "points", "game"),
    ("[uses|used]", "liters", "day"),
    ("[picks|picked]", "{t}", "hour"),
    ("[washes|washed]", "cars", "day"),
]
GROUPS = [
    "There [are|were] {b} {cs} with {a} {t} in each",
    "{n} [has|had] {b} {cs} of {a} {t}",
    "{n} [buys|bought] {b} {cs} of {a} {t} each",
    "{n} [has|had] {b} {cs}, and each {c} [holds|held] {a} {t}",
    "Each {c} [has|had] {a} {t}, and {n} [has|had] {b} {cs}",
    "{n} [fills|filled] {b} {cs} with {a} {t} each",
    "A {c} [holds|held] {a} {t}, and there [are|were] {b} {cs}",
    "{n} [buys|bought] {b} {cs} of {t}. Each {c} [contains|contained] {a} {t}",
    "{b} {cs} [hold|held] {a} {t} each",
    "There [are|were] {a} {t} in each {c} and {n} [has|had] {b} {cs}",
    "{b} {q} each [have|had] {a} {t}",
    "{b} {q} [bring|brought] {a} {t} each",
    "{n} [gives|gave] {a} {t} to each of {b} {q}",
]
ONE_TIMES = [
    "{n} {verb} {a} {what} {every}. How many {what} is that in {b} {period}s?",
    "{n} {verb} {a} {what} {every} for {b} {period}s. How many {what} in total?",
    "If {n} {verb} {a} {what} {every}, how many {what} is that after {b} {period}s?",
    "For {b} {period}s, {n} {verb} {a} {what} {every}. What is the total number of {what}?",
    "{t} cost ${a} each. How much do {b} {t} cost?",
    "One of the {t} costs {a} dollars. {n} buys {b} {t}. How much does {n} pay?",
    "The price of a {c} is ${a}. What do {b} {cs} cost?",
    "{n} buys {b} {cs} at ${a} each. What is the total cost?",
    "{m} has {a} {t}. {n} has {b} times as many. How many {t} does {n} have?",
    "{n} has {b} times as many {t} as {m}, who has {a}. How many {t} does {n} have?",
]
ONE_TWICE = [
    "{m} has {a} {t}. {n} has twice as many. How many {t} does {n} have?",
    "{n} [has|had] {a} {t} and {m} [has|had] twice as many as {n}. How many {t} does {m} have?",
    "{n} doubles {a} {t}. How many {t} is that?",
]
ONE_HALF = [
    "{n} [has|had] {a} {t} and [gives|gave] half of them to {m}. How many {t} does {m} get?",
    "{n} has {a} {t}. {m} has half as many. How many {t} does {m} have?",
    "Half of the {a} {t} are red. How many {t} are red?",
]
ONE_SHARE = [
    "{n} [splits|split] {a} {t} evenly among {b} {q}. How many {t} does each one get?",
    "{n} [has|had] {a} {t} to share equally between {b} {q}. How many {t} does each get?",
    "{b} {q} [share|shared] {a} {t} equally. How many {t} does each one get?",
    "{n} [packs|packed] {a} {t} into {cs} of {b}. How many {cs} does {n} need?",
    "{a} {t} [go|went] into {b} {cs}, the same number in each. How many {t} are in each {c}?",
    "Each {c} holds {b} {t}. How many {cs} are needed for {a} {t}?",
    "{n} [puts|put] {a} {t} equally into {b} {cs}. How many {t} are in one {c}?",
    "{n} [has|had] {a} {t} and [places|placed] {b} in every {c}. How many {cs} are filled?",
    "{n} {verb} {a} {what} in {b} {period}s, the same number every {period}. How many {what} is that {each}?",
    "{n} {verb} {b} {what} {every}. How many {period}s does it take for {a} {what}?",
    "{b} {cs} cost ${a} in all. What is the price of one {c}?",
    "{b} identical {cs} hold {a} {t} altogether. How many {t} are in each {c}?",
    "A team of {a} {q} is divided into {b} equal groups. How many {q} are in each group?",
    "{n} spends ${a} on {t} that cost ${b} each. How many {t} does {n} buy?",
]
ONE_PLUS = [
    "{n} has {a} {t}. {m} has {b} more than {n}. How many {t} does {m} have?",
    "{m} has {b} more {t} than {n}, who has {a}. How many {t} does {m} have?",
    "{n} is {a} years old. {m} is {b} years older. How old is {m}?",
    "{n} is {a} years old now. How old will {n} be in {b} years?",
    "{n} [paints|painted] {a} {t} and {m} [paints|painted] {b}. How many {t} is that together?",
    "One {p} has {a} {t} and another {p} has {b}. How many {t} do they have in total?",
    "There are {a} {q} in one bus and {b} in another. How many {q} are there in all?",
    "{n} paid ${a} for {t} and ${b} for lunch. What was the total?",
    "A shirt costs ${a} and a hat costs ${b}. How much do both cost together?",
    "The temperature was {a} degrees and rose by {b} degrees. What is it now?",
]
ONE_MINUS = [
    "{n} has {a} {t}. {m} has {b} fewer than {n}. How many {t} does {m} have?",
    "{n} is {a} years old. {m} is {b} years younger. How old is {m}?",
    "{n} is {a} years old. How old was {n} {b} years ago?",
    "{n} and {m} have {a} {t} together. {n} has {b} of them. How many {t} does {m} have?",
    "There are {a} {q}, and {b} of them are at home. How many {q} are not at home?",
    "{n} [wants|wanted] to buy something for ${a} and has ${b}. How much more money does {n} need?",
    "A rope is {a} meters long. {n} cuts off {b} meters. How long is the rope now?",
    "{n} pays for {t} that cost ${b} with ${a}. How much change does {n} get?",
    "{n} scored {a} points and {m} scored {b}. By how many points did {n} win?",
    "The trip is {a} kilometers long. {n} has driven {b} kilometers. How far is it still?",
    "A tank holds {a} liters and {b} liters are used. How many liters remain?",
]
REST = [
    "{n} [has|had] ${d} and [buys|bought] {b} {t} for ${a} each. How much money does {n} have left?",
    "{n} [pays|paid] ${d} for {b} {t} at ${a} each. How much change does {n} get?",
    "{n} needs {d} {t} and has {b} {cs} of {a}. How many more {t} does {n} need?",
    "{n} [has|had] {d} {t} and [fills|filled] {b} {cs} with {a} {t} each. How many {t} are left over?",
    "{n} [has|had] {d} {t} and [gives|gave] {a} {t} to each of {b} {q}. How many {t} does {n} have left?",
    "A book has {d} pages. {n} [reads|read] {a} pages a day for {b} days. How many pages are left?",
]
BOTH = [
    "{n} has {a} {t}. {m} has {b} more than {n}. How many {t} do they have together?",
    "{n} [picks|picked] {a} {t}, and {m} [picks|picked] {b} more than {n}. How many {t} is that in total?",
    "{n} is {a} years old and {m} is {b} years older. What is the sum of their ages?",
]
BOTH_FEWER = [
    "{n} has {a} {t}. {m} has {b} fewer than {n}. How many {t} do they have together?",
    "{n} [sells|sold] {a} {t} on Monday and {b} fewer on Tuesday. How many {t} is that in total?",
]
BOTH_TIMES = [
    "{n} has {a} {t}. {m} has {b} times as many. How many {t} do they have together?",
]

# Whole patterns.
WORDS_ONE = {
    "+": [
        "{n} has {a} {t} and buys {b} more. How many {t} does {n} have now?",
        "{n} had {a} {t}. {m} gives {n} {b} more {t}. How many {t} does {n} have?",
        "{n} has {a} {t} and {m} has {b} {t}. How many {t} do they have together?",
        "There are {a} {t} on the table and {b} {t} in the {p}. How many {t} are there in total?",
        "{n} collected {a} {t} on Monday and {b} {t} on Tuesday. How many {t} did {n} collect altogether?",
        "A {p} sold {a} {t} in the morning and {b} in the afternoon. How many {t} were sold that day?",
        "{n} found {a} {t}, then found {b} more. How many {t} did {n} find in all?",
        "{n} read {a} pages yesterday and {b} pages today. How many pages did {n} read?",
        "{n} bought a book for ${a} and a bag for ${b}. How much did {n} spend in total?",
        "A farmer has {a} {t} and gets {b} more. How many {t} does the farmer have in all?",
        "If {n} has {a} {t} and receives {b} more, how many {t} does {n} have?",
        "There were {a} people on a train. Then {b} more got on. How many people are on the train now?",
        "A class has {a} girls and {b} boys. How many students are in the class?",
        "{n} walked {a} meters and then {b} meters more. How far did {n} walk in total?",
        "{n} scored {a} points in the first game and {b} points in the second. What is the total score of {n}?",
        "{a} {t} are in the {p}. {n} puts {b} more {t} into it. How many {t} are in the {p} now?",
    ],
    "-": [
        "{n} has {a} {t} and gives away {b}. How many {t} are left?",
        "{n} had {a} {t} and lost {b} of them. How many {t} does {n} have now?",
        "There are {a} {t} in the {p}. {n} takes {b}. How many {t} remain?",
        "{n} has {a} {t}. {m} has {b} fewer. How many {t} does {m} have?",
        "A {p} had {a} {t} and sold {b} of them. How many {t} are left in the {p}?",
        "{n} baked {a} {t} and ate {b}. How many {t} are left?",
        "{n} had {a} dollars and spent {b} dollars. How much money does {n} have left?",
        "{n} has {a} {t} and {m} has {b} {t}. How many more {t} does {n} have than {m}?",
        "{n} has ${a} and buys a toy for ${b}. How much money is left?",
        "There were {a} people on a bus and {b} got off. How many people are still on the bus?",
        "A book has {a} pages. {n} has read {b} pages. How many pages are left to read?",
        "If you have {a} {t} and give {b} to {n}, how many {t} do you have left?",
        "{n} needs {a} {t} and already has {b}. How many more {t} does {n} need?",
        "A farmer had {a} {t} and sold {b}. How many {t} does the farmer have now?",
        "Out of {a} {t}, {b} are broken. How many {t} are not broken?",
    ],
    "*": [
        "There are {b} boxes with {a} {t} in each. How many {t} are there altogether?",
        "{n} buys {b} bags of {t}. Each bag has {a} {t}. How many {t} does {n} have?",
        "Each of {b} children has {a} {t}. How many {t} do they have in total?",
        "A {p} has {b} rows with {a} {t} in each row. How many {t} are there?",
        "{n} saves {a} dollars every week. How much does {n} save in {b} weeks?",
        "One ticket costs {a} dollars. How much do {b} tickets cost?",
        "{n} packs {a} {t} into each box and fills {b} boxes. How many {t} did {n} pack?",
        "A ticket costs ${a}. How much do {b} tickets cost?",
        "{n} buys {b} {t} for ${a} each. How much does {n} pay in total?",
        "If one box holds {a} {t}, how many {t} do {b} boxes hold?",
        "There are {b} tables with {a} chairs each. How many chairs are there in all?",
        "{n} runs {a} minutes every day. How many minutes does {n} run in {b} days?",
        "A car drives {a} miles in an hour. How many miles does it drive in {b} hours?",
        "Each {p} has {a} {t}. How many {t} are in {b} of them?",
        "{n} works {b} hours and earns {a} dollars an hour. How much does {n} earn?",
    ],
    "/": [
        "{n} shares {a} {t} equally among {b} friends. How many {t} does each friend get?",
        "{a} {t} are packed into boxes of {b}. How many boxes are needed?",
        "{n} puts {a} {t} into {b} equal groups. How many {t} are in each group?",
        "A {p} has {a} {t} in {b} equal rows. How many {t} are in each row?",
        "{b} tickets cost {a} dollars in total. How much does one ticket cost?",
        "{n} reads {b} pages a day. How many days does {n} need for {a} pages?",
        "{a} {t} are divided equally among {b} children. How many {t} does each child get?",
        "If {b} boxes hold {a} {t} in total, how many {t} are in each box?",
        "{n} has {a} {t} and puts {b} in each bag. How many bags does {n} need?",
        "{b} friends split a bill of ${a} equally. How much does each friend pay?",
        "{n} earns ${a} in {b} days, the same every day. How much does {n} earn a day?",
        "A teacher divides {a} students into groups of {b}. How many groups are there?",
    ],
}
WORDS_TWO = {
    "+-": [
        "{n} has {a} {t}, buys {b} more and gives {d} to {m}. How many {t} does {n} have now?",
        "There were {a} {t} in the {p}. {n} added {b} and {m} took {d}. How many {t} are there now?",
        "{n} had {a} dollars, earned {b} dollars and spent {d} dollars. How many dollars does {n} have?",
        "A bus had {a} people. {b} got on and {d} got off. How many people are on the bus now?",
        "{n} had ${a}, got ${b} for a birthday and bought {t} for ${d}. How much money does {n} have now?",
        "{n} picked {a} {t} and {m} picked {b}. They ate {d} of them. How many {t} are left?",
    ],
    "--": [
        "{n} has {a} {t}. {n} gives {b} to {m} and loses {d}. How many {t} are left?",
        "A {p} had {a} {t}. It sold {b} on Monday and {d} on Tuesday. How many {t} are left?",
        "{n} had {a} {t}, ate {b} of them and gave {d} away. How many {t} remain?",
        "{n} had ${a}. {n} spent ${b} on food and ${d} on {t}. How much money is left?",
        "A book has {a} pages. {n} read {b} pages on Monday and {d} on Tuesday. How many pages are left?",
    ],
    "++": [
        "{n} has {a} {t}, {m} has {b} and their friend has {d}. How many {t} do they have together?",
        "{n} picked {a} {t} on Friday, {b} on Saturday and {d} on Sunday. How many {t} is that in all?",
        "{n} spent ${a} on food, ${b} on {t} and ${d} on a ticket. How much did {n} spend in total?",
        "There are {a} red, {b} blue and {d} green {t}. How many {t} are there altogether?",
    ],
    "*+": [
        "{n} has {b} boxes with {a} {t} in each and {d} more {t}. How many {t} does {n} have in total?",
        "{n} buys {b} packs of {a} {t} and finds {d} {t} at home. How many {t} does {n} have?",
        "{n} earns {a} dollars an hour and works {b} hours, then gets a bonus of {d} dollars. How much is that?",
        "{n} buys {b} {t} for ${a} each and a bag for ${d}. How much does {n} pay in total?",
        "There are {b} rows of {a} {t} and {d} extra {t}. How many {t} are there?",
        "{n} has {d} {t} and buys {b} boxes with {a} {t} in each. How many {t} does {n} have now?",
    ],
    "*-": [
        "{n} has {b} boxes with {a} {t} in each and gives away {d} {t}. How many {t} are left?",
        "A {p} has {b} shelves with {a} {t} on each. {d} {t} are sold. How many {t} remain?",
        "{n} bought {b} bags of {a} {t} and lost {d} {t}. How many {t} does {n} still have?",
        "{n} buys {b} packs of {a} {t}. {n} gives {d} of the {t} to {m}. How many {t} does {n} have left?",
        "A farmer fills {b} baskets with {a} {t} each, but {d} {t} are bad. How many good {t} are there?",
    ],
    "/+": [
        "{n} shares {a} {t} equally among {b} friends. {m} is one of them and already had {d} {t}. "
        "How many {t} does {m} have now?",
        "{a} {t} are put into {b} equal bags, and then {d} more {t} go into each bag. How many {t} are in each bag?",
    ],
    "+/": [
        "{n} has {a} {t} and {m} has {b} {t}. They put them together and share them equally among {d} children. "
        "How many {t} does each child get?",
        "{n} picks {a} {t} and {m} picks {b}. They pack all of them into {d} equal boxes. How many {t} are in each box?",
    ],
}  # fmt: skip


def fill(r: random.Random, template: str, **numbers: int) -> str:
    """Put in the names, things and numbers; choose the tense; begin each sentence with a capital."""
    first, second = name(r), name(r)
    while second == first:
        second = name(r)
    container, containers = r.choice(CONTAINERS)
    verb, what, period = r.choice(RATES)
    # The pronoun must not fall on the other person, so a text uses one kind of mention throughout.
    subject = r.choice([first, "he", "she", "they"]) if "{s}" in template.lower() else first
    text = template.replace("{verb}", verb).replace("{what}", what)
    text = re.sub(r"\[(.*?)\|(.*?)\]", rf"\{r.choice('12')}", text) if "[" in text else text
    if subject == "they":
        text = (
            text.replace("does {s}", "do {s}").replace("{S} is ", "{S} are ").replace("{s} is ", "{s} are ")
        )
        text = text.replace("{S} was ", "{S} were ")
    text = text.format(
        n=first, m=second, t=things(r), p=place(r), s=subject, S=subject[0].upper() + subject[1:], q=r.choice(PEOPLE),
        every=r.choice(["a {}", "per {}", "every {}", "each {}", "in one {}"]).format(period).replace("a hour", "an hour"),
        each=r.choice(["a {}", "per {}", "each {}", "every {}"]).format(period).replace("a hour", "an hour"), period=period,
        **{"c": container, "cs": containers} | numbers,
    )  # fmt: skip
    return text[0].upper() + text[1:]


def _lowered(clause: str) -> str:
    """A clause that goes on with a sentence."""
    text = clause.replace("{S}", "{s}")
    return text[0].lower() + text[1:]


def _chain(r: random.Random, start: str, changes: list[str], end: str) -> str:
    """A start and its changes as one sentence or several, then the question."""
    text = start
    for change in changes:
        link = r.choice(
            [
                ". {}",
                ". {}",
                ". Then {}",
                " and {}",
                ", and then {}",
                ", then {}",
                ". After that, {}",
                " and then {}",
            ]
        )
        clause = change if link.startswith(". {") else _lowered(change)
        text += link.replace("{}", clause)
    if r.random() < 0.08:
        return f"If {text.replace('. ', ', ')}, {end[0].lower()}{end[1:]}"
    return f"{text}. {end}"


def _ask_after(r: random.Random, last: str) -> str:
    return r.choice(r.choice([NOW, IN_ALL] if last == "+" else [NOW, LEFT, LEFT]))


def _changes(r: random.Random, ops: str) -> list[str]:
    return [
        r.choice(GAIN if op == "+" else LOSE).replace("{x}", "{" + slot + "}")
        for op, slot in zip(ops, "bd", strict=False)
    ]


def _one_template(r: random.Random, op: str) -> str:
    if r.random() < 0.4:
        return r.choice(WORDS_ONE[op])
    if op in "+-":
        if r.random() < 0.35:
            return r.choice(ONE_PLUS if op == "+" else ONE_MINUS)
        return _chain(r, r.choice(HAVE), _changes(r, op), _ask_after(r, op))
    if op == "/":
        return r.choice(ONE_SHARE)
    if r.random() < 0.5:
        return r.choice(ONE_TIMES)
    return f"{r.choice(GROUPS)}. {r.choice(IN_ALL)}"


def _size(r: random.Random) -> int:
    return r.choice([1, 2, 2, 3, 3, 4])


def one_step(r: random.Random) -> Story:
    """A word problem of one step."""
    op = r.choice("+-*/")
    if op in "+-":
        size = _size(r)
        a, b = number(r, size), number(r, size)
        if op == "-" and a < b:
            a, b = b, a
    elif op == "*":
        a, b = r.randrange(2, 100), r.randrange(2, 100 if r.random() < 0.3 else 13)
    else:
        b = r.randrange(2, 13) if r.random() < 0.8 else r.randrange(13, 60)
        a = b * r.randint(1, 99)
    template = _one_template(r, op)
    if op in "*/" and r.random() < 0.04:
        b, template = 2, r.choice(ONE_TWICE if op == "*" else ONE_HALF)
        a += a % 2 if op == "/" else 0
        a = min(a, 98) if op == "*" else a
    working, result = calculate(a, op, b)
    return Story(fill(r, template, a=a, b=b), f"{STORY_STEP[op]}. {working}", result)


def _two_template(r: random.Random, ops: str) -> str:
    whole = WORDS_TWO.get(ops, [])
    if ops[0] == "*":
        if whole and r.random() < 0.4:
            return r.choice(whole)
        change = _changes(r, ops[1])[0].replace("{b}", "{d}")
        groups = r.choice([g for g in GROUPS if "{n}" in g and "{q}" not in g])
        return _chain(r, groups, [change], _ask_after(r, ops[1]))
    if ops[0] == "/" or ops == "+/" or (whole and r.random() < 0.4):
        return r.choice(whole)
    return _chain(r, r.choice(HAVE), _changes(r, ops), _ask_after(r, ops[1]))


def _backwards(r: random.Random) -> Story:
    """Two steps whose second takes the first result as its right side: what is left of ${c}, or both together."""
    kind = r.choice(["rest", "rest", "both", "fewer", "times"])
    if kind == "rest":
        a, b = r.randrange(2, 60), r.randrange(2, 13)
        c = a * b + number(r, 2)
        first = calculate(a, "*", b)
        second = calculate(c, "-", first.result)
        question = fill(r, r.choice(REST), a=a, b=b, d=c)
        return Story(question, f"We multiply. {first.text} We subtract. {second.text}", second.result)
    op, templates = {"both": ("+", BOTH), "fewer": ("-", BOTH_FEWER), "times": ("*", BOTH_TIMES)}[kind]
    a, b = number(r, r.choice([2, 2, 3])), number(r, 2)
    if op == "*":
        a, b = r.randrange(2, 60), r.randrange(2, 10)
    if op == "-":
        a, b = max(a, b), min(a, b)
    first = calculate(a, op, b)
    second = calculate(a, "+", first.result)
    text = f"{STORY_STEP[op]}. {first.text} We add. {second.text}"
    return Story(fill(r, r.choice(templates), a=a, b=b), text, second.result)


def two_steps(r: random.Random) -> Story:
    """A word problem of two steps."""
    if r.random() < 0.15:
        return _backwards(r)
    ops = r.choice(["+-", "-+", "--", "++", "*+", "*-", "*+", "*-", "/+", "+/"])
    while True:
        if ops[0] == "*":
            a, b, c = r.randrange(2, 100 if r.random() < 0.5 else 13), r.randrange(2, 13), number(r, 2)
        elif ops[0] == "/":
            b = r.randrange(2, 13)
            a, c = b * r.randint(1, 60), number(r, 2)
        elif ops == "+/":
            c = r.randrange(2, 13)
            total = c * r.randint(1, 60)
            a = r.randint(0, total)
            b = total - a
        else:
            size = r.choice([2, 2, 3])
            a, b, c = number(r, size), number(r, size), number(r, size)
        first = calculate(a, ops[0], b)
        second = calculate(first.result, ops[1], c)
        if first.result >= 0 and second.result >= 0:
            break
    question = fill(r, _two_template(r, ops), a=a, b=b, d=c)
    working = f"{STORY_STEP[ops[0]]}. {first.text} {STORY_STEP[ops[1]]}. {second.text}"
    return Story(question, working, second.result)
