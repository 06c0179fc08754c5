"""The routes of the inspector's page, and what it asks beside the data of others. They must not know what it shows.

The page holds no data, so it needs no key; it asks the control routes, with the key in a header. Its policy lets a
browser take scripts, styles and answers from the emulator alone, and none that stand in a page or were made of a text.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp

from phi_client.contract.emulator import EMULATOR_KEY
from phi_client.contract.service.refusals import container_error
from phi_emulator.inspector.files import PAGE, page_files
from phi_emulator.inspector.formulas import draw, read_formulas
from phi_emulator.service.chat import ChatService
from phi_emulator.service.deviations import DEVIATIONS
from phi_emulator.service.errors import ServiceError
from phi_emulator.web.control_route import ControlRoute, place, read_posted
from phi_emulator.web.exchange import Exchange

__all__ = ["PageRoutes"]

_KEY_STANDS_HERE: Final = "KEY"
_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",  # asked for each time, and answered by 304 while nothing has changed
}


class PageRoutes:
    """Their handlers; `key` is the emulator's, and told if it is the public one."""

    def __init__(self, service: ChatService, key: str) -> None:
        self._service = service
        self._key = key if key == EMULATOR_KEY else None

    @property
    def table(self) -> Sequence[ControlRoute]:
        """All of them."""
        page, files = f"{place('')}?", place("page/") + "(?P<name>[^/]+)"
        return (
            ControlRoute(page, "GET", self.page),
            ControlRoute(page, "HEAD", self.page),
            ControlRoute(files, "GET", self.file),
            ControlRoute(files, "HEAD", self.file),
            ControlRoute(place("surface"), "GET", self.surface),
            ControlRoute(place("deviations"), "GET", self.deviations),
            ControlRoute(place("formulas"), "POST", self.formulas),
        )

    async def page(self, exchange: Exchange) -> ASGIApp:
        """The inspector, a page for browsers that shows what the other routes tell."""
        return _file(exchange, PAGE)

    async def file(self, exchange: Exchange) -> ASGIApp:
        """A file of the inspector's page: its styles and scripts."""
        return _file(exchange, exchange.place.parameters["name"])

    async def surface(self, exchange: Exchange) -> ASGIApp:
        """How the root is asked: its chat route, its header for the key, its model, and the key if it is public."""
        root = exchange.dialect
        header, value = root.write_key(_KEY_STANDS_HERE)
        query = "" if root.api_version is None else f"?api-version={root.api_version}"
        return JSONResponse(
            {
                "surface": root.name,
                "chat": root.chat_routes[0] + query,
                "model": self._service.status.model,
                "needs_model": root.needs_model,
                "key_header": header,
                "key_prefix": value.removesuffix(_KEY_STANDS_HERE),
                "key": self._key,
            }
        )

    async def deviations(self, exchange: Exchange) -> ASGIApp:  # noqa: ARG002 - a handler's signature
        """Where the emulator knowingly differs from Azure: what each does, and where the documentation says more."""
        return JSONResponse(
            {"deviations": [{"id": one.id, **one._asdict(), "link": one.link} for one in DEVIATIONS]}
        )

    async def formulas(self, exchange: Exchange) -> ASGIApp:
        """Formulas in LaTeX as trees of MathML, `null` for those that can't be drawn; nothing is kept."""
        formulas = await read_posted(exchange, read_formulas)
        drawn = await asyncio.to_thread(lambda: [draw(tex, display=display) for tex, display in formulas])
        return JSONResponse({"drawn": drawn})


def _file(exchange: Exchange, name: str) -> Response:
    found = page_files().get(name)
    if found is None:
        raise ServiceError(container_error(404, "The page has no such file."))
    headers = {**_HEADERS, "ETag": found.etag}
    known = exchange.headers.get("if-none-match", "")
    if found.etag in [one.strip().removeprefix("W/") for one in known.split(",")]:
        return Response(status_code=304, headers=headers)
    return Response(found.body, headers={**headers, "Content-Type": found.content_type})
