"""What somebody sees who opens the emulator's address: the model, the endpoints, and how to ask one of them.

It must not show a key but the public one. Browsers get a page, all others JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any, Final

from starlette.responses import HTMLResponse, JSONResponse, Response

from phi_client.contract.emulator import EMULATOR_PLACE
from phi_client.contract.service import Surface

__all__ = ["is_browser", "page_response", "summary"]

_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Vary": "Accept",
}
_STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem}"
    "pre{background:#f3f3f3;padding:.8rem;overflow:auto}table{border-spacing:0 .2rem}td{padding-right:1.5rem}"
)


def is_browser(headers: Mapping[str, str]) -> bool:
    """Whether a page is asked for."""
    return "text/html" in headers.get("accept", "").lower()


def summary(url: str, model: str, root: Surface, dialects: Iterable[Surface]) -> dict[str, Any]:
    """What the page says, as data; `url` is the address by which the emulator was asked."""
    return {
        "name": "phi-emulator",
        "model": model,
        "endpoint": url,
        "surface": root.name,
        "endpoints": {dialect.name: url + dialect.emulator_prefix + dialect.root for dialect in dialects},
        "inspector": f"{url}{EMULATOR_PLACE}/",
        "health": f"{url}/_emulator/health",
        "status": f"{url}/_emulator/status",
    }


def page_response(known: Mapping[str, Any], root: Surface, key: str, *, as_page: bool) -> Response:
    """`known` as JSON, or as a page with snippets; `key` is what these show."""
    if not as_page:
        return JSONResponse(dict(known), headers=_HEADERS)
    return HTMLResponse(_page(known, root, key), headers=_HEADERS)


def _page(known: Mapping[str, Any], root: Surface, key: str) -> str:
    url = str(known["endpoint"])
    rows = "".join(
        f"<tr><td>{escape(name)}<td><code>{escape(place)}</code>"
        for name, place in known["endpoints"].items()
    )
    header, value = root.write_key(key)
    query = "" if root.api_version is None else f"?api-version={root.api_version}"
    body = {"messages": [{"role": "user", "content": "What is 6 * 7?"}], "max_tokens": 200}
    if root.needs_model:
        body = {"model": known["model"], **body}
    curl = (
        f'curl "{url}{root.chat_routes[0]}{query}" \\\n  -H "{header}: {value}" '
        f"-H \"Content-Type: application/json\" \\\n  -d '{json.dumps(body)}'"
    )
    python = (
        "from phi_client import PhiClient\n\n"
        f'with PhiClient("{url}{root.root}", "{key}") as client:\n    print(client.complete("What is 6 * 7?").content)'
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>phi-emulator</title><style>{_STYLE}</style><h1>phi-emulator</h1>"
        f"<p>The model <code>{escape(str(known['model']))}</code> answers here as on Azure. The root speaks "
        f'<code>{escape(root.name)}</code>. <a href="{EMULATOR_PLACE}/">The inspector</a> shows what is asked.'
        f"<table>{rows}</table>"
        f"<h2>curl</h2><pre>{escape(curl)}</pre><h2>Python</h2><pre>{escape(python)}</pre>"
        '<p><a href="/_emulator/status">Status</a> and <a href="/_emulator/health">health</a></html>'
    )
