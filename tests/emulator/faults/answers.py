"""Answers of each surface as they go on the wire, and what a fault makes of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from phi_emulator.faults.actions import Action, Bytes, Cut, End, Head, Refuse, Wait
from phi_emulator.faults.machine import machine_for
from phi_emulator.faults.rules import read_fault

from phi_client.contract.service import SURFACES, Surface
from phi_client.contract.service.chat import AssistantMessage, ChatCompletion, Choice, WireUsage

NOW = 1_700_000_000.0
WORDS = ("one ", "two\n", "drei", " vier", " fünf")
USAGE = WireUsage(prompt_tokens=3, completion_tokens=5, total_tokens=8)
SERVERLESS = SURFACES["serverless"]


def stream_of(surface: Surface, words: Sequence[str] = WORDS) -> bytes:
    """A stream whose first token is reasoning."""
    writer = surface.open_stream("c", 1, "m", asks_usage=True)
    pieces = [writer.begin(), writer.reasoning(words[0]), *map(writer.text, words[1:])]
    return b"".join([*pieces, writer.end("stop", USAGE), surface.write_done()])


def completion_of(surface: Surface, text: str = "<think>one two</think>drei vier") -> bytes:
    """A whole answer."""
    choice = Choice(message=AssistantMessage(content=text), finish_reason="stop")
    return surface.write_completion(
        ChatCompletion(id="c", created=1, model="m", choices=[choice], usage=USAGE)
    )


def stream_head() -> Head:
    return Head(200, (("Content-Type", "text/event-stream; charset=utf-8"), ("X-Request-ID", "r")))


def whole_head(body: bytes) -> Head:
    return Head(200, (("Content-Type", "application/json"), ("Content-Length", str(len(body)))))


def acts(
    effect: str, head: Head, pieces: Iterable[bytes], surface: Surface = SERVERLESS, **values: object
) -> list[Action]:
    """All that a fault makes of an answer, up to its end."""
    machine = machine_for(read_fault({"effect": effect, **values}), surface, lambda: NOW)
    done: list[Action] = []
    steps = [
        machine.begin,
        lambda: machine.head(head),
        *(lambda piece=piece: machine.body(piece) for piece in pieces),
        machine.end,
    ]
    for step in steps:
        for action in step():
            done.append(action)
            if isinstance(action, Cut | Refuse | End):
                return done
    raise AssertionError("the answer has no end")


def of_stream(effect: str, surface: Surface = SERVERLESS, **values: object) -> list[Action]:
    return acts(effect, stream_head(), [stream_of(surface)], surface, **values)


def of_whole(effect: str, surface: Surface = SERVERLESS, **values: object) -> list[Action]:
    body = completion_of(surface)
    return acts(effect, whole_head(body), [body], surface, **values)


def body_of(actions: Iterable[Action]) -> bytes:
    return b"".join(action.data for action in actions if isinstance(action, Bytes))


def head_of(actions: Iterable[Action]) -> Head:
    (head,) = (action for action in actions if isinstance(action, Head))
    return head


def joined(actions: Iterable[Action]) -> list[Action]:
    """The same actions with neighbouring bytes as one."""
    found: list[Action] = []
    for action in actions:
        if isinstance(action, Bytes) and not action.data:
            continue
        if isinstance(action, Bytes) and found and isinstance(found[-1], Bytes):
            found[-1] = Bytes(found[-1].data + action.data)
        else:
            found.append(action)
    return found


def waits_of(actions: Iterable[Action]) -> list[float]:
    return [action.seconds for action in actions if isinstance(action, Wait)]
