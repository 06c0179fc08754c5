"""A call is a generator: driven by hand here, without a socket, a client or a clock that runs."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phi_client import APIConnectionError, APITimeoutError, Completion, ConfigurationError, PhiError, Timeout
from phi_client._call.deadline import Deadline
from phi_client._call.exchange import Exchange, chat_exchange
from phi_client._call.flow import Call, Lane
from phi_client._call.options import CallOptions
from phi_client._call.retrying import is_retryable
from phi_client._call.secrets import Secrets
from phi_client._call.steps import AskToken, Receive, Send, Wait
from phi_client._call.targets import Target
from phi_client.contract.clock.base import Clock
from phi_client.contract.dialects import resolve_endpoint

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from phi_client._call.steps import Flow

GOOD = json.dumps({"choices": [{"message": {"content": "42"}, "finish_reason": "stop"}]}).encode()
LATE = "late"
DROPPED = "dropped"
# What may come of a request: a status, a dropped connection, silence until the limit.
OUTCOMES = [200, 400, 401, 404, 408, 422, 424, 429, 500, 503, DROPPED, LATE]


@dataclass
class Place:
    """Connections, of which a call asks no more than whether they were closed."""

    is_closed: bool


@dataclass
class Head:
    """The head of an answer."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    secrets: Secrets = Secrets()  # noqa: RUF009  # it is frozen


@dataclass
class Hand:
    """Takes the steps of a call; `script` says what comes of each request, `took_s` how long each takes."""

    script: Sequence[int | str]
    took_s: float = 0.0
    seconds: float = 0.0
    sent: list[str] = field(default_factory=list[str])
    waits: list[float] = field(default_factory=list[float])
    left: list[bytes] = field(default_factory=list[bytes])

    def carry(self, flow: Flow[Any]) -> Any:
        """What the flow comes to."""
        try:
            step = next(flow)
            while True:
                try:
                    outcome = self.take(step)
                except PhiError as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(outcome)
        except StopIteration as end:
            return end.value

    def take(self, step: object) -> object:
        """What comes of a step."""
        if isinstance(step, Wait):
            self.waits.append(step.seconds)
            self.seconds += step.seconds
            return None
        if isinstance(step, Receive):
            return self.left.pop() if self.left else None
        assert isinstance(step, Send)
        return self.send(step)

    def send(self, step: Send) -> Head:
        """The head that the script has for this request."""
        outcome = self.script[len(self.sent)] if len(self.sent) < len(self.script) else 200
        self.sent.append(step.url.split("/")[2])
        limit_s = step.limits.left_s("read")
        if outcome == LATE or (limit_s is not None and self.took_s > limit_s):
            self.seconds += limit_s or 0.0
            raise step.limits.reached("read", request_sent=True)
        self.seconds += self.took_s
        if outcome == DROPPED:
            raise APIConnectionError("dropped", request_sent=True)
        self.left = [GOOD if outcome == 200 else b'{"error": {"message": "no"}}']
        return Head(int(outcome))


def call_of(
    hand: Hand,
    lanes: int,
    *,
    max_retries: int = 3,
    deadline_s: float | None = None,
    fallback_on: frozenset[int | str] = frozenset(),
    endpoint: str = "https://e{}.eastus2.models.ai.azure.com",
    is_closed: bool = False,
) -> Call:
    """A call over so many endpoints."""
    targets = [Target(endpoint=resolve_endpoint(endpoint.format(n)), scope="a-scope") for n in range(lanes)]
    options = CallOptions(body={}, max_retries=max_retries, timeout=Timeout(read=20.0))
    clock = Clock(now=lambda: hand.seconds, random=lambda: 0.5)
    exchanges = [
        chat_exchange(target, options=options, messages="x", stream=False, call_id="c-1")
        for target in targets
    ]
    return Call(
        [Lane(target, Place(is_closed)) for target in targets],
        exchanges,
        clock=clock,
        deadline=Deadline.of(deadline_s, clock.now),
        fallback_on=fallback_on,
    )


@given(
    script=st.lists(st.sampled_from(OUTCOMES), max_size=12),
    lanes=st.integers(1, 3),
    max_retries=st.integers(0, 4),
    deadline_s=st.none() | st.floats(0.1, 60),
    took_s=st.floats(0, 30),
)
def test_a_call_ends_in_time_and_asks_no_more_than_it_may(
    script: list[int | str], lanes: int, max_retries: int, deadline_s: float | None, took_s: float
) -> None:
    hand = Hand(script, took_s)
    call = call_of(hand, lanes, max_retries=max_retries, deadline_s=deadline_s)
    try:
        done: Completion | PhiError = hand.carry(call.answer(Exchange.read_completion))
    except PhiError as error:
        done = error
    names = [f"e{n}.eastus2.models.ai.azure.com" for n in range(lanes)]
    # In order, each once, and the last as often as it may be retried.
    assert [hand.sent.index(name) for name in dict.fromkeys(hand.sent)] == sorted(
        hand.sent.index(name) for name in set(hand.sent)
    )
    assert all(hand.sent.count(name) == 1 for name in names[:-1] if name in hand.sent)
    assert hand.sent.count(names[-1]) <= max_retries + 1
    assert [hop.endpoint for hop in done.hops] == [f"https://{name}" for name in dict.fromkeys(hand.sent)][
        :-1
    ]
    if deadline_s is not None:
        assert hand.seconds <= deadline_s + 0.0011
    answered = [
        name for name, outcome in zip(hand.sent, [*script, *[200] * 20], strict=False) if outcome == 200
    ]
    if isinstance(done, Completion):
        assert done.content == "42"
        assert answered
    elif hand.sent and hand.sent[-1] == names[-1] and is_retryable(done):
        # Given up only when tries, time or the deadline were used up.
        assert hand.sent.count(names[-1]) == max_retries + 1 or done.note or deadline_s is not None


@pytest.mark.parametrize("chosen", [401, 404, 400, 422, "timeout"])
def test_which_failures_go_on_to_the_next_endpoint_can_be_chosen(chosen: int | str) -> None:
    script = [LATE if chosen == "timeout" else chosen, 200]
    hand = Hand(script)
    with pytest.raises(PhiError):
        hand.carry(call_of(hand, 2).answer(Exchange.read_completion))
    assert len(hand.sent) == 1
    hand = Hand(script)
    done = hand.carry(call_of(hand, 2, fallback_on=frozenset({chosen})).answer(Exchange.read_completion))
    assert (done.content, len(done.hops)) == ("42", 1)


def test_what_can_not_work_at_a_later_endpoint_is_said_before_anything_is_sent() -> None:
    score = Target(endpoint=resolve_endpoint("https://e.eastus.inference.ml.azure.com/score"))
    with pytest.raises(ConfigurationError, match="never streams"):
        chat_exchange(score, options=CallOptions(body={}), messages="x", stream=True, call_id="c")


@pytest.mark.parametrize("endless", [b"x" * 65_536, b"x"])
def test_the_body_of_a_failure_is_read_no_longer_than_is_looked_at(endless: bytes) -> None:
    hand = Hand([400])
    flow = call_of(hand, 1).answer(Exchange.read_completion)

    def drip() -> None:
        step = flow.send(hand.take(next(flow)))
        while True:
            assert isinstance(step, Receive)
            hand.seconds += 0.5
            step = flow.send(endless)

    with pytest.raises(PhiError, match="400"):
        drip()
    assert hand.seconds <= 10.5


def test_a_failure_whose_body_breaks_off_keeps_its_status() -> None:
    hand = Hand([404])
    flow = call_of(hand, 1).answer(Exchange.read_completion)
    flow.send(hand.take(next(flow)))
    with pytest.raises(PhiError, match="404"):
        flow.throw(APITimeoutError("silent", phase="read", limit_s=1, request_sent=True))


def test_an_interrupt_passes_through_a_call_at_any_step() -> None:
    for stop in range(3):
        hand = Hand([503, 503, 200])
        flow = call_of(hand, 1).answer(Exchange.read_completion)
        step = next(flow)
        for _ in range(stop):
            step = flow.send(hand.take(step))
        assert not isinstance(step, AskToken)
        with pytest.raises(KeyboardInterrupt):
            flow.throw(KeyboardInterrupt())


def test_a_call_whose_client_was_closed_says_so_and_is_not_tried_again() -> None:
    hand = Hand([DROPPED, 200])
    call = call_of(hand, 1, is_closed=True)
    with pytest.raises(APIConnectionError, match="the client was closed while the call ran"):
        hand.carry(call.answer(Exchange.read_completion))
    assert len(hand.sent) == 1


@pytest.mark.parametrize(
    ("endpoint", "tries", "says"),
    [
        ("emulator", 1, "nothing listens at http://127.0.0.1:16180: run `phi-emulator serve`"),
        ("http://127.0.0.1:16180", 1, "run `phi-emulator serve`"),
        ("http://127.0.0.1:8000", 4, "nobody"),
        ("https://e0.eastus2.models.ai.azure.com", 4, "nobody"),
    ],
)
def test_an_emulator_that_is_not_there_is_told_at_once(endpoint: str, tries: int, says: str) -> None:
    hand = Hand([])
    sent: list[Send] = []

    def refuse(step: Send) -> Head:
        sent.append(step)
        raise APIConnectionError("nobody", request_sent=False, is_refused=True)

    hand.send = refuse  # type: ignore[method-assign]
    with pytest.raises(APIConnectionError, match=says) as caught:
        hand.carry(call_of(hand, 1, endpoint=endpoint).answer(Exchange.read_completion))
    assert len(sent) == tries
    assert caught.value.is_refused
