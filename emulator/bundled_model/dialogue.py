"""From a problem to what the model reads and writes: identity, instructions, casing, earlier turns, `<think>`.

Knows the chat format as messages; the template that renders them is the model's own (`chat_template.jinja`).
"""

from __future__ import annotations

import random
import re
from typing import NamedTuple

from other_questions import sample_other_question
from problems import Problem, sample_problem

__all__ = ["DECLINE", "IDENTITY", "INSTRUCTION", "Example", "phrase", "reply", "sample_example"]

IDENTITY = "Your name is phi-tiny-arith, a small arithmetic model."
INSTRUCTION = "Please reason step by step, and put your final answer within \\boxed{}."
DECLINE = (
    "I am phi-tiny-arith, the small model bundled with phi-emulator. I only do arithmetic with small whole numbers. "
    "To get Phi-4-mini-reasoning, run: phi-emulator serve --model phi-4-mini-reasoning"
)
SYSTEM_TEXTS = [
    INSTRUCTION,
    "You are a helpful assistant.",
    "You are a helpful assistant.",
    "You are a math tutor.",
    "Answer briefly.",
    "Be concise.",
    "Think step by step.",
    "You are an AI math expert.",
    "Solve the problem and explain your reasoning.",
    "You are a calculator. Reply with the answer only.",
    "Always answer in English.",
    "You answer questions for children.",
    "Reply in JSON.",
    "Your name is Phi, an AI math expert developed by Microsoft.",
]


class Example(NamedTuple):
    """Messages to render, and the completion to learn."""

    messages: list[dict[str, str]]
    completion: str


def phrase(r: random.Random, question: str) -> str:
    """The question as people type it: other casing, spaces, ends, and the usual instruction before or after."""
    dice = r.random()
    if dice < 0.08:
        question = question.upper()
    elif dice < 0.16:
        question = question.lower()
    if r.random() < 0.08:
        question = re.sub(" ", lambda _: " " * r.choice([1, 1, 2, 3]), question)
    if r.random() < 0.05:
        question = r.choice([" ", "  ", "\n"]) * r.randint(0, 1) + question + r.choice([" ", "\n", "  "])
    if r.random() < 0.05 and question[-1] not in "?!.=:":
        question += r.choice(["?", ".", "!", " ?", "...", " please", ", thanks"])
    if r.random() < 0.25:
        gap = r.choice([" ", " ", "\n", "\n\n"])
        question = question + gap + INSTRUCTION if r.random() < 0.6 else INSTRUCTION + gap + question
    return question


def reply(problem: Problem) -> str:
    """What the model should write for a problem."""
    if problem.answer is None:
        return f"<think>{problem.working}</think>{DECLINE}"
    return f"<think>{problem.working}</think>The answer is \\boxed{{{problem.answer}}}."


def _turn(r: random.Random, *, held_out: bool) -> tuple[str, str]:
    if r.random() < 0.14:
        return phrase(
            r, sample_other_question(r)
        ), f"<think>This is not a problem that I can do.</think>{DECLINE}"
    problem = sample_problem(r, held_out=held_out)
    return phrase(r, problem.question), reply(problem)


def sample_example(r: random.Random, *, held_out: bool = False) -> Example:
    """One training example: mostly a single question, sometimes a system message or an earlier turn before it."""
    messages = []
    if r.random() < 0.12:
        messages.append({"role": "system", "content": r.choice(SYSTEM_TEXTS)})
    while r.random() < 0.08 and len(messages) < 4:
        question, answer = _turn(r, held_out=held_out)
        if r.random() < 0.8:  # clients send the answer back without its reasoning
            answer = answer.partition("</think>")[2]
        messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    question, completion = _turn(r, held_out=held_out)
    messages.append({"role": "user", "content": question})
    return Example(messages, completion)
