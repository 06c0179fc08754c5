"""The routes under `/_emulator`, which no Azure surface has, as a table, and the page at `/`.

It must not let anything be changed without the key: what changes something is no GET, and all but GETs need the key.
Those of `entra` are rows of the same kind, whose key has a place of its own in their protocol.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import Final, Literal, NamedTuple

from starlette.responses import JSONResponse
from starlette.types import ASGIApp

from phi_client.contract.emulator import EMULATOR_KEY, EMULATOR_PLACE
from phi_client.contract.service.refusals import container_error
from phi_emulator.faults.reading import read_body
from phi_emulator.journal.journal import Journal
from phi_emulator.journal.pages import to_json
from phi_emulator.latency.language import OFF, table_of
from phi_emulator.latency.reading import read_body as read_profile
from phi_emulator.models.printable import printable
from phi_emulator.models.strict_json import MOST_BYTES, parse_json
from phi_emulator.scripts.file import MOST_BYTES as MOST_SCRIPT_BYTES
from phi_emulator.scripts.rules import read_script
from phi_emulator.service.chat import ChatService
from phi_emulator.service.errors import ServiceError
from phi_emulator.service.fault_rules import Faults
from phi_emulator.service.latency import Latency
from phi_emulator.service.scripts import Scripts
from phi_emulator.web.body import read_json_body
from phi_emulator.web.exchange import Exchange, Handler
from phi_emulator.web.fault_link import bad_fault
from phi_emulator.web.home import is_browser, page_response, summary

__all__ = ["Control", "ControlRoute"]

_UNTOLD_KEY: Final = "YOUR-KEY"
_MOST_DIGITS: Final = 15


class ControlRoute(NamedTuple):
    """One route under `/_emulator`; `path` is a pattern, whose groups are the exchange's parameters."""

    path: str
    method: Literal["GET", "POST", "PUT", "DELETE"]
    handle: Handler
    has_own_key: bool = False
    """Whether the handler looks for the key itself, where its protocol has a place for it."""
    is_private: bool = False
    """Whether it tells what callers asked, so that reading needs the key as well."""

    @property
    def needs_key(self) -> bool:
        """Whether the key must be presented in a header: wherever something is changed, or is the callers' own."""
        return (self.method != "GET" or self.is_private) and not self.has_own_key


class Control:
    """The handlers of the control routes; `key` is the emulator's, and shown if it is the public one."""

    def __init__(
        self,
        service: ChatService,
        faults: Faults,
        scripts: Scripts,
        latency: Latency,
        journal: Journal,
        *,
        key: str = "",
    ) -> None:
        self._service = service
        self._faults = faults
        self._scripts = scripts
        self._latency = latency
        self._journal = journal
        self._key = key if key == EMULATOR_KEY else _UNTOLD_KEY

    @property
    def table(self) -> Sequence[ControlRoute]:
        """All of them."""
        return (
            ControlRoute(re.escape(f"{EMULATOR_PLACE}/health"), "GET", self.health),
            ControlRoute(re.escape(f"{EMULATOR_PLACE}/status"), "GET", self.status),
            ControlRoute(re.escape(f"{EMULATOR_PLACE}/journal"), "GET", self.journal, is_private=True),
            ControlRoute(re.escape(f"{EMULATOR_PLACE}/journal"), "DELETE", self.clear_journal),
            ControlRoute(
                f"{EMULATOR_PLACE}/journal/(?P<id>[^/]+)", "GET", self.journal_entry, is_private=True
            ),
            ControlRoute(re.escape(f"{EMULATOR_PLACE}/faults"), "GET", self.faults),
            ControlRoute(re.escape(f"{EMULATOR_PLACE}/faults"), "POST", self.set_faults),
            ControlRoute(re.escape(f"{EMULATOR_PLACE}/faults/reset"), "POST", self.reset_faults),
            ControlRoute(re.escape(f"{EMULATOR_PLACE}/script"), "GET", self.script),
            ControlRoute(re.escape(f"{EMULATOR_PLACE}/script"), "POST", self.set_script),
            ControlRoute(re.escape(f"{EMULATOR_PLACE}/script"), "PUT", self.set_script),
            ControlRoute(re.escape(f"{EMULATOR_PLACE}/script"), "DELETE", self.reset_script),
            ControlRoute(re.escape(f"{EMULATOR_PLACE}/latency"), "GET", self.latency),
            ControlRoute(re.escape(f"{EMULATOR_PLACE}/latency"), "POST", self.set_latency),
            ControlRoute(re.escape(f"{EMULATOR_PLACE}/latency/reset"), "POST", self.reset_latency),
        )

    async def health(self, exchange: Exchange) -> ASGIApp:  # noqa: ARG002 - a handler's signature
        """200 while the engine answers; 503 once it broke down, and while it is loaded again."""
        health = self._service.health
        if health.is_broken:
            said: dict[str, object] = {"status": "broken"}
        else:
            said = {"status": "reloading" if health.is_reloading else "healthy"}
        if health.trouble:
            said |= {"reloads": health.reloads, "trouble": health.trouble}
        return JSONResponse(said, 200 if said["status"] == "healthy" else 503)

    async def status(self, exchange: Exchange) -> ASGIApp:  # noqa: ARG002 - a handler's signature
        """Which model answers, from where, on what, and how busy it is."""
        return JSONResponse(asdict(self._service.status))

    async def journal(self, exchange: Exchange) -> ASGIApp:
        """The last exchanges, of one scope if the request has one or `scope` names one, else of all."""
        query = exchange.request.query_params
        scope = query.get("scope", exchange.scope or None)
        after, limit = (_count(query.get(name), name) for name in ("after", "limit"))
        journal = self._journal
        found = journal.exchanges(scope=scope, after=after or 0, limit=limit)
        return JSONResponse(
            {
                "last": journal.last,
                "dropped": journal.dropped,
                "keeps_texts": journal.keeps_texts,
                "exchanges": [to_json(one) for one in found],
            }
        )

    async def journal_entry(self, exchange: Exchange) -> ASGIApp:
        """One exchange by its number or its request id, with its heads, its texts and the times of its pieces."""
        asked = exchange.place.parameters["id"]
        found = self._journal.find(asked)
        if found is None:
            raise ServiceError(container_error(404, "The journal has no such exchange."))
        return JSONResponse(to_json(found, whole=True))

    async def clear_journal(self, exchange: Exchange) -> ASGIApp:
        """Forget what has ended, of the request's scope or of all."""
        self._journal.clear(scope=exchange.scope or None)
        return JSONResponse({"last": self._journal.last})

    async def faults(self, exchange: Exchange) -> ASGIApp:
        """The rules for faults that hold in the request's scope, and how often they did."""
        counts = self._faults.counts(scope=exchange.scope)
        return JSONResponse(
            {
                "faults": [
                    {**one.rule, "counted": {"calls": one.calls, "faults": one.faults}} for one in counts
                ]
            }
        )

    async def set_faults(self, exchange: Exchange) -> ASGIApp:
        """Put other rules in the place of all, or of those of the request's scope."""
        body = await read_json_body(exchange.request, exchange.dialect, MOST_BYTES, clock=exchange.clock)
        try:
            rules = await asyncio.to_thread(lambda: read_body(parse_json(body)))
        except ValueError as error:
            raise bad_fault(printable(str(error))) from None
        self._faults.set(rules, scope=exchange.scope or None)
        return await self.faults(exchange)

    async def reset_faults(self, exchange: Exchange) -> ASGIApp:
        """Go back to the rules of the start, or forget those of the request's scope."""
        self._faults.reset(scope=exchange.scope or None)
        return await self.faults(exchange)

    async def script(self, exchange: Exchange) -> ASGIApp:
        """The rules for answers that hold in the request's scope, how often they did, and what they were not about."""
        await asyncio.to_thread(self._scripts.look_again)
        file, scope = self._scripts.file, exchange.scope
        of_file = file and {"path": str(file.path), "reloads": file.reloads, "trouble": file.trouble}
        return JSONResponse(
            {
                "rules": [
                    {**one.rule, "counted": {"calls": one.calls, "answers": one.answers}}
                    for one in self._scripts.counts(scope=scope)
                ],
                "miss": self._scripts.miss(scope=scope),
                "unmatched": [
                    asdict(one) | {"said": str(one)} for one in self._scripts.unmatched(scope=scope)
                ],
                "file": of_file,
            }
        )

    async def set_script(self, exchange: Exchange) -> ASGIApp:
        """Put other rules in the place of all, or of those of the request's scope."""
        body = await read_json_body(exchange.request, exchange.dialect, MOST_SCRIPT_BYTES)
        try:
            script = await asyncio.to_thread(lambda: read_script(parse_json(body)))
            self._scripts.set(script, scope=exchange.scope or None)
        except ValueError as error:
            raise bad_fault(printable(str(error))) from None
        return await self.script(exchange)

    async def reset_script(self, exchange: Exchange) -> ASGIApp:
        """Go back to the rules of the file, or forget those of the request's scope."""
        self._scripts.reset(scope=exchange.scope or None)
        return await self.script(exchange)

    async def latency(self, exchange: Exchange) -> ASGIApp:
        """The profile of latency that holds in the request's scope, and how it was kept there."""
        scope = exchange.scope
        profile = self._latency.profile(scope=scope)
        return JSONResponse(
            {
                "latency": OFF if profile is None else table_of(profile),
                "counted": asdict(self._latency.count(scope=scope)),
            }
        )

    async def set_latency(self, exchange: Exchange) -> ASGIApp:
        """Put another profile in the place of the one of all, or of the request's scope."""
        body = await read_json_body(exchange.request, exchange.dialect, MOST_BYTES)
        try:
            profile = read_profile(parse_json(body))
        except ValueError as error:
            raise bad_fault(printable(str(error))) from None
        self._latency.set(profile, scope=exchange.scope or None)
        return await self.latency(exchange)

    async def reset_latency(self, exchange: Exchange) -> ASGIApp:
        """Go back to the profile of the start, or forget that of the request's scope."""
        self._latency.reset(scope=exchange.scope or None)
        return await self.latency(exchange)

    async def home(self, exchange: Exchange) -> ASGIApp:
        """The page at `/`, or the same as JSON."""
        root = exchange.dialect
        url = f"{exchange.request.url.scheme}://{exchange.headers.get('host')}"
        known = summary(url, self._service.status.model, root, exchange.behaviour.dialects.values())
        return page_response(known, root, self._key, as_page=is_browser(exchange.headers))


def _count(text: str | None, name: str) -> int | None:
    """A number in the query.

    Raises:
        ServiceError: 400, it is none.
    """
    if text is None:
        return None
    if not text.isascii() or not text.isdecimal() or len(text) > _MOST_DIGITS:
        raise ServiceError(container_error(400, f"`{name}` must be a whole number from 0 on."))
    return int(text)
