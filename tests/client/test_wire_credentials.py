"""Asking credentials: once for all who wait, never beyond the deadline, and each failure an error of ours."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from phi_client import APITimeoutError, ConfigurationError, CredentialError, Timeout
from phi_client._call.deadline import Deadline, Limits
from phi_client._call.steps import AskToken
from phi_client._call.tokens import USUAL, Tokens, Way
from phi_client._wire.credentials import AsyncCredentials, Credentials, check_credential
from tests.wire import LATE_S, LIMIT_S, SOON_S

BOTH = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
NOW = 1_000_000.0
PAST_THE_CACHE = Way({}, "raise")


@dataclass
class Token:
    token: str = "a-token"
    expires_on: int = int(NOW) + 3600


class Credential:
    """Gives what `give` gives, and counts how often it is asked."""

    def __init__(self, give: Callable[[int], Token]) -> None:
        self._give = give
        self.asked = 0
        self.arguments: list[dict[str, Any]] = []

    def get_token(self, *scopes: str, **arguments: Any) -> Token:
        self.asked += 1
        self.arguments.append(arguments)
        return self._give(self.asked)


class AsyncCredential:
    """As `Credential`; `until` is waited for first."""

    def __init__(self, give: Callable[[int], Token], until: asyncio.Event | None = None) -> None:
        self._give = give
        self._until = until
        self.asked = 0

    async def get_token(self, *scopes: str, **arguments: Any) -> Token:
        self.asked += 1
        if self._until is not None:
            await self._until.wait()
        return self._give(self.asked)


class Clock:
    """Unix time that stands still until it is set."""

    def __init__(self) -> None:
        self.time = NOW

    def __call__(self) -> float:
        return self.time


def ask_for(credentials: object, way: Way = USUAL, deadline: float | None = None) -> AskToken:
    return AskToken(credentials, way, Limits(Timeout(), Deadline.of(deadline, time.monotonic)))


def asked(credential: Any, clock: Clock, *, is_async: bool) -> tuple[Any, Callable[..., Any]]:
    """Credentials of either kind, and what asks them."""
    tokens = Tokens("a-scope", now=clock)
    if not is_async:
        made = Credentials(tokens, credential)
        return made, lambda *arguments, **options: made.ask(ask_for(made, *arguments, **options))
    waiting = AsyncCredentials(tokens, credential)
    return waiting, lambda *arguments, **options: asyncio.run(
        waiting.ask(ask_for(waiting, *arguments, **options))
    )


def of_kind(give: Callable[[int], Token], *, is_async: bool) -> Any:
    return AsyncCredential(give) if is_async else Credential(give)


@BOTH
def test_a_token_is_kept_until_it_is_due(is_async: bool) -> None:
    clock = Clock()
    credential = of_kind(lambda number: Token(f"token-{number}", int(clock.time) + 3600), is_async=is_async)
    _, ask = asked(credential, clock, is_async=is_async)
    assert [ask().token for _ in range(3)] == ["token-1"] * 3
    clock.time += 3600 - 200
    assert [ask().token for _ in range(2)] == ["token-2"] * 2


@BOTH
def test_another_way_asks_whatever_is_kept(is_async: bool) -> None:
    credential = of_kind(lambda number: Token(f"token-{number}"), is_async=is_async)
    _, ask = asked(credential, Clock(), is_async=is_async)
    assert ask().token == "token-1"
    assert ask(PAST_THE_CACHE).token == "token-2"


FAILURES: list[BaseException] = [ValueError("no luck"), OSError(5, "broken"), asyncio.CancelledError()]


@BOTH
@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
def test_whatever_a_credential_raises_is_an_error_of_ours(is_async: bool, failure: BaseException) -> None:
    def fail(number: int) -> Token:
        raise failure

    _, ask = asked(of_kind(fail, is_async=is_async), Clock(), is_async=is_async)
    with pytest.raises(CredentialError, match=type(failure).__name__):
        ask()


@BOTH
def test_a_credential_that_ends_its_program_is_an_error_of_ours(is_async: bool) -> None:
    def leave(number: int) -> Token:
        sys.exit(3)

    _, ask = asked(of_kind(leave, is_async=is_async), Clock(), is_async=is_async)
    with pytest.raises(CredentialError, match="SystemExit"):
        ask()


@BOTH
def test_a_failure_keeps_a_token_that_is_still_good(is_async: bool) -> None:
    clock = Clock()

    def fail_later(number: int) -> Token:
        if number > 1:
            raise OSError("no network")
        return Token()

    _, ask = asked(of_kind(fail_later, is_async=is_async), clock, is_async=is_async)
    ask()
    clock.time += 3600 - 200
    assert ask().token == "a-token"
    clock.time += 300
    with pytest.raises(CredentialError, match="no network"):
        ask()


def test_one_ask_serves_all_threads_that_wait_and_each_has_its_own_error() -> None:
    asking, may_end = threading.Event(), threading.Event()

    def fail_slowly(number: int) -> Token:
        asking.set()
        may_end.wait(LIMIT_S)
        raise OSError("no network")

    credential = Credential(fail_slowly)
    credentials, _ = asked(credential, Clock(), is_async=False)
    errors: list[CredentialError] = []

    def ask() -> None:
        with pytest.raises(CredentialError) as caught:
            credentials.ask(ask_for(credentials))
        errors.append(caught.value)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    threads[0].start()
    asking.wait(LIMIT_S)
    for thread in threads[1:]:
        thread.start()
    # One of them gives up; that is nothing to the others.
    with pytest.raises(APITimeoutError) as caught:
        credentials.ask(ask_for(credentials, deadline=SOON_S))
    assert (caught.value.phase, caught.value.request_sent) == ("deadline", False)
    may_end.set()
    for thread in threads:
        thread.join(LIMIT_S)
    assert credential.asked == 1
    assert len({id(error) for error in errors}) == 8
    assert all(isinstance(error.__cause__, OSError) for error in errors)


def test_one_ask_serves_all_tasks_that_wait_whoever_of_them_is_cancelled() -> None:
    async def run() -> None:
        until = asyncio.Event()
        credential = AsyncCredential(lambda number: Token(f"token-{number}"), until)
        credentials = AsyncCredentials(Tokens("a-scope", now=Clock()), credential)
        tasks = [asyncio.create_task(credentials.ask(ask_for(credentials))) for _ in range(5)]
        await asyncio.sleep(0)
        tasks[0].cancel()  # the one that began it
        with pytest.raises(asyncio.CancelledError):
            await tasks[0]
        with pytest.raises(APITimeoutError):
            await credentials.ask(ask_for(credentials, deadline=SOON_S))
        until.set()
        assert [(await task).token for task in tasks[1:]] == ["token-1"] * 4
        assert credential.asked == 1
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(run())


def test_a_refresh_that_was_cancelled_within_the_credential_cancels_nobody() -> None:
    class Shared:
        async def get_token(self, *scopes: str, **arguments: Any) -> Token:
            future: asyncio.Future[Token] = asyncio.get_running_loop().create_future()
            future.cancel()
            return await future

    async def run() -> None:
        credentials = AsyncCredentials(Tokens("a-scope", now=Clock()), Shared())
        tasks = [asyncio.create_task(credentials.ask(ask_for(credentials))) for _ in range(3)]
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [CredentialError] * 3

    asyncio.run(run())


@BOTH
def test_while_one_renews_the_others_use_the_token_that_is_still_good(is_async: bool) -> None:
    clock = Clock()
    renewing, may_end = threading.Event(), threading.Event()

    def renew_slowly(number: int) -> Token:
        if number > 1:
            renewing.set()
            may_end.wait(LIMIT_S)
        return Token(f"token-{number}", int(clock.time) + 3600)

    if is_async:

        async def run() -> None:
            until = asyncio.Event()
            until.set()
            credential = AsyncCredential(
                lambda number: Token(f"token-{number}", int(clock.time) + 3600), until
            )
            credentials = AsyncCredentials(Tokens("a-scope", now=clock), credential)
            await credentials.ask(ask_for(credentials))
            clock.time += 3600 - 200
            until.clear()
            task = asyncio.create_task(credentials.ask(ask_for(credentials)))
            await asyncio.sleep(0)
            assert (await credentials.ask(ask_for(credentials))).token == "token-1"
            until.set()
            assert (await task).token == "token-2"

        asyncio.run(run())
        return
    _, ask = asked(Credential(renew_slowly), clock, is_async=False)
    ask()
    clock.time += 3600 - 200
    thread = threading.Thread(target=ask)
    thread.start()
    renewing.wait(LIMIT_S)
    assert ask().token == "token-1"
    may_end.set()
    thread.join()
    assert ask().token == "token-2"


def test_who_wants_another_way_waits_and_takes_a_newer_token() -> None:
    asking, may_end = threading.Event(), threading.Event()

    def give_slowly(number: int) -> Token:
        if number == 2:
            asking.set()
            may_end.wait(LIMIT_S)
        return Token(f"token-{number}")

    credential = Credential(give_slowly)
    _, ask = asked(credential, Clock(), is_async=False)
    ask()
    thread = threading.Thread(target=ask, args=(PAST_THE_CACHE,))
    thread.start()
    asking.wait(LIMIT_S)
    got: list[str] = []
    other = threading.Thread(target=lambda: got.append(ask(Way({"claims": "{}"}, "raise")).token))
    other.start()
    may_end.set()
    thread.join(LIMIT_S)
    other.join(LIMIT_S)
    assert credential.asked in (2, 3)
    assert got[0] in ("token-2", "token-3")


@BOTH
def test_a_slow_credential_is_bounded_by_the_deadline_and_by_no_loops_end(
    is_async: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = threading.Event()

    def never(number: int) -> Token:
        over.wait(LIMIT_S)
        return Token()

    # The async client's default credential is a sync one, on a thread.
    monkeypatch.setattr("phi_client._wire.credentials.default_credential", lambda: Credential(never))
    _, ask = asked(None, Clock(), is_async=is_async)
    began = time.monotonic()
    with pytest.raises(APITimeoutError) as caught:
        ask(deadline=SOON_S)
    assert time.monotonic() - began < SOON_S + LATE_S
    assert caught.value.phase == "deadline"
    over.set()


@BOTH
def test_where_no_thread_can_be_started_the_credential_is_asked_in_place(
    is_async: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(
        "phi_client._wire.credentials.default_credential", lambda: Credential(lambda number: Token())
    )
    monkeypatch.setattr(threading.Thread, "start", refuse)
    _, ask = asked(None, Clock(), is_async=is_async)
    assert ask(deadline=LIMIT_S).token == "a-token"


def test_an_async_client_may_ask_on_several_loops_at_once() -> None:
    async def ask(credentials: AsyncCredentials) -> str:
        return (await credentials.ask(ask_for(credentials, PAST_THE_CACHE))).token

    credential = AsyncCredential(lambda number: Token(f"token-{number}"))
    credentials = AsyncCredentials(Tokens("a-scope", now=Clock()), credential)
    got: list[str] = []
    threads = [threading.Thread(target=lambda: got.append(asyncio.run(ask(credentials)))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT_S)
    assert len(got) == 6


def test_the_next_ask_after_a_loop_that_ended_in_the_middle_works() -> None:
    async def leave(credentials: AsyncCredentials) -> None:
        asking = asyncio.ensure_future(credentials.ask(ask_for(credentials)))
        await asyncio.sleep(0)
        assert not asking.done()

    credential = AsyncCredential(lambda number: Token(f"token-{number}"))
    credentials = AsyncCredentials(Tokens("a-scope", now=Clock()), credential)

    class Waiting:
        async def get_token(self, *scopes: str, **arguments: Any) -> Token:
            await asyncio.Event().wait()
            raise AssertionError

    stuck = AsyncCredentials(Tokens("a-scope", now=Clock()), Waiting())
    asyncio.run(leave(stuck))
    asyncio.run(leave(stuck))
    assert asyncio.run(credentials.ask(ask_for(credentials))).token == "token-1"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_child_of_a_parent_that_was_asking_asks_for_itself() -> None:
    script = f"""
import os, sys, threading, time
sys.path.insert(0, {str(Path.cwd())!r})
from phi_client import Timeout
from phi_client._call.deadline import Deadline, Limits
from phi_client._call.steps import AskToken
from phi_client._call.tokens import USUAL, Tokens
from phi_client._wire.credentials import Credentials

class Token:
    token, expires_on = "a-token", int(time.time()) + 3600

class Credential:
    asked = 0
    def get_token(self, *scopes, **arguments):
        Credential.asked += 1
        if Credential.asked == 1:
            began.set()
            may_end.wait(20)
        return Token

began, may_end = threading.Event(), threading.Event()
credentials = Credentials(Tokens("a-scope"), Credential())
step = AskToken(credentials, USUAL, Limits(Timeout(), Deadline.of(10, time.monotonic)))
thread = threading.Thread(target=credentials.ask, args=(step,))
thread.start()
began.wait(20)
child = os.fork()
if child == 0:
    os._exit(0 if credentials.ask(step).token == "a-token" else 1)
status = os.waitpid(child, 0)[1]
may_end.set()
thread.join()
sys.exit(bool(status))
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore:This process:DeprecationWarning", "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_an_interrupt_while_a_credential_is_asked_leaves_nobody_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    credential = Credential(lambda number: Token())
    credentials, ask = asked(credential, Clock(), is_async=False)

    def interrupted(self: threading.Thread) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", interrupted)
        with pytest.raises(KeyboardInterrupt):
            credentials.ask(ask_for(credentials))
    assert ask(deadline=LIMIT_S).token == "a-token"


def test_a_credential_of_the_other_kind_is_refused() -> None:
    check_credential(Credential(lambda number: Token()), is_async=False)
    check_credential(AsyncCredential(lambda number: Token()), is_async=True)
    with pytest.raises(ConfigurationError, match=r"needs a credential of `azure\.identity\.aio`"):
        check_credential(Credential(lambda number: Token()), is_async=True)
    with pytest.raises(ConfigurationError, match=r"needs a credential of `azure\.identity`"):
        check_credential(AsyncCredential(lambda number: Token()), is_async=False)
    with pytest.raises(ConfigurationError, match="no `get_token`"):
        check_credential(object(), is_async=False)
