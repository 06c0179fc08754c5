"""An exchange as a test of pytest, with this package's plugin: it asks the same, is answered the same, and meets the
same fault. It must not know how the plugin does that.
"""

from __future__ import annotations

from typing import Any, Final

from phi_emulator.copies.copied import CopyError, copied
from phi_emulator.copies.programs import literal
from phi_emulator.journal.entry import JournalEntry

__all__ = ["as_test"]

_OK: Final = 200
_NOT_FOUND: Final = 404
_BY_SETTINGS: Final = {
    403: "whose settings or tokens refused it",
    _NOT_FOUND: "whose names of deployments refused it",
    408: "whose limit of time ended it",
    413: "whose limit of size refused it",
    429: "whose limits refused it",
}
_SERVERS: Final = 500
_FILTERED: Final = "content_filter"
_WRONG_KEY: Final = 401


def as_test(entry: JournalEntry, url: str) -> str:  # noqa: ARG001 - a test has an emulator of its own
    """As a file with one test.

    Raises:
        CopyError: it can't be: what became of it is not in the exchange alone.
    """
    _check(entry)
    asked = copied(entry)
    arranged = [*_answer(entry), *_fault(entry)]
    fixtures = [
        "phi_emulator",
        "phi_journal",
        *(["phi_script"] if _answer(entry) else []),
        *(["phi_faults"] if _fault(entry) else []),
    ]
    name, value = asked.surface.write_key("")
    key = '"not-the-key"' if entry.status == _WRONG_KEY else "phi_emulator.key"
    headers = {one: said for one, said in asked.headers.items() if not one.startswith("x-phi-")}
    sent = "".join(f"{literal(one)}: {literal(said)}, " for one, said in headers.items())
    path = asked.surface.emulator_prefix + asked.route
    query = "" if entry.api_version is None else f"?api-version={entry.api_version}"
    lines = [
        '"""Made of one exchange: put your own code in the place of the request."""',
        "",
        "import httpx",
        "",
        *([f"BODY = {literal(asked.text)}", ""] if asked.text else []),
        "",
        f"def test_the_exchange({', '.join(fixtures)}):",
        *(f"    {line}" for line in arranged),
        f"    headers = {{{sent}{literal(name)}: {literal(value) + ' + ' if value else ''}{key}}}",
        f"    url = phi_emulator.root + {literal(path + query)}",
        *_asks(entry, "content=BODY.encode(), " if asked.text else ""),
        "    [exchange] = phi_journal.wait_for(1)",
        f"    assert exchange.ending == {literal(entry.ending)}",
        f"    assert exchange.status == {literal(entry.status)}",
        f"    assert exchange.error_code == {literal(entry.error_code)}",
        *(
            [f"    assert exchange.fault == {literal(dict(entry.fault), 4)}"]
            if entry.fault is not None
            else []
        ),
        *(
            [f"    assert exchange.finish_reason == {literal(entry.finish_reason)}"]
            if entry.finish_reason
            else []
        ),
    ]
    return "\n".join(lines) + "\n"


def _check(entry: JournalEntry) -> None:
    if not entry.is_over:
        raise CopyError("it still runs: ask again when it has ended")
    if entry.ending == "hung up":
        raise CopyError("its client left before the end, which no test can repeat; copy it as a recording")
    if entry.fault is not None:
        return
    if entry.ending == "cut":
        raise CopyError("the emulator broke it off, without a fault")
    status = entry.status or 0
    is_of_settings = status in _BY_SETTINGS and (status != _NOT_FOUND or entry.deployment is not None)
    if status >= _SERVERS or is_of_settings:
        why = _BY_SETTINGS.get(status, "whose state at that time is not known any more")
        raise CopyError(f"{status} was the answer of an emulator {why}: add the fault that answers so")
    if _FILTERED in (entry.error_code, entry.finish_reason):
        raise CopyError(
            "the content filter of this emulator had a part in it: set `content_filter` in the test"
        )
    if entry.finish_reason == "tool_calls":
        raise CopyError("calls of tools need an emulator with `extensions`")


def _answer(entry: JournalEntry) -> list[str]:
    """What the model said, to be said again; nothing where it was not asked."""
    if entry.texts is None or entry.status != _OK or entry.method != "POST":
        return []
    texts = entry.texts
    if not (texts.answer or texts.reasoning) or entry.usage is None:
        return []
    given: dict[str, Any] = {"reasoning": texts.reasoning} if texts.reasoning else {}
    if entry.fault is None and entry.finish_reason in ("stop", "length"):
        given["finish_reason"] = entry.finish_reason
    named = "".join(f", {name}={literal(value)}" for name, value in given.items())
    return [f"phi_script.answer(None, {literal(texts.answer)}{named})"]


def _fault(entry: JournalEntry) -> list[str]:
    if entry.fault is None:
        return []
    effect, *parameters = entry.fault.items()
    named = "".join(f", {name}={literal(value)}" for name, value in parameters)
    return [f"phi_faults.add({literal(effect[1])}, times=1{named})"]


def _asks(entry: JournalEntry, content: str) -> list[str]:
    asks = f"httpx.request({literal(entry.method)}, url, headers=headers, {content}timeout=60)"
    if entry.fault is None and entry.ending != "cut":
        return [f"    response = {asks}", f"    assert response.status_code == {literal(entry.status)}"]
    # With a fault what comes may be no answer that any client can read.
    return [
        "    try:",
        f"        {asks}",
        "    except httpx.HTTPError:",
        "        pass  # your code: what becomes of it?",
    ]
