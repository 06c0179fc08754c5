"""Writes `docs/reference/control.md`: the routes under `/_emulator/`, from the table that serves them.

python docs/control_reference.py            write the page
python docs/control_reference.py --check    exit 1 when the page is not what would be written
"""

import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

from pages import said_of_fields, table, write_or_check
from phi_emulator.config import EmulatorConfig
from phi_emulator.config.table import SETTINGS, SettingsTable
from phi_emulator.engine.scripted import ScriptedEngine
from phi_emulator.engine.serving.worker import Worker
from phi_emulator.journal.entry import JournalEntry
from phi_emulator.journal.spent import Spent
from phi_emulator.service.chat import ChatService
from phi_emulator.web.app import App
from phi_emulator.web.control_route import ControlRoute

PAGE: Final = Path(__file__).parent / "reference" / "control.md"

HEAD: Final = """\
# Control of a running emulator

<!-- written by `python docs/control_reference.py`; change the routes, not this page -->

No surface of Azure has a path under `/_emulator/`. What changes something is a `POST`, `PUT` or `DELETE`, and needs the key, as any
question on the root does: `Authorization: Bearer KEY`, or `api-key: KEY` where the root speaks `/openai/v1` or `/models`. Reading needs
none, but where it tells what callers asked. Bodies are JSON. What can't be is a 400 that names the place, and changes nothing.

## Scopes

With the header `x-phi-scope` a route is about that scope alone: what it sets holds for requests with the same header, and what it
tells is theirs. Rules and counts of faults and scripts, latency, limits and their windows, and the journal are kept for each scope
apart, so tests that run side by side don't meet. Without the header, what is set holds for all, and what was set for a scope stands
over it. The same from Python: `emulator.settings.set(requests_per_minute=2, scope="mine")`.

## Routes
"""

SETTINGS_HEAD: Final = """\
## Settings

Those that may change while it runs have the names of the [configuration](settings.md). A `POST` sets those that
are in its body, all or none of them; it is answered with how they stand. What runs goes on as it began. A `DELETE` goes back to the
start, or forgets what the request's scope has; of limits also what was counted.

```console
curl -X POST http://127.0.0.1:16180/_emulator/limits -H "Authorization: Bearer $PHI_API_KEY" \\
  -H "Content-Type: application/json" -H "x-phi-scope: mine" -d '{"requests_per_minute": 2}'
```

One limit that is set for a scope makes all three its own.
"""

JOURNAL: Final = """\
## The journal

The last exchanges: of each scope a thousand (`--journal-size`), of all together as many as fit into 64 MB; where that is full, the
scope that has most loses its oldest. Everything is noted that was asked of a surface, refusals too, and requests that never came to
their end. Routes under `/_emulator/` are not, nor is what is no HTTP. Texts are kept only with `--journal-texts yes`. Credentials are
taken out of heads, paths and texts: those of the emulator, and what a request brings in its headers.

`GET /_emulator/journal` takes `scope`, `after` (a number: only what ended since) and `limit` (the last so many). Exchanges come in the
order of their ends; behind them are those that still run, without a number, as far as they have come. Numbers only grow, and `last`
is the highest one: ask for `after` that next time. `GET /_emulator/journal/ID` tells one exchange whole, by its request id.

An exchange is in the journal before its last bytes go out. In a stream the text ends a moment before the answer does, so wait
for the end where the ending matters:

```python
from phi_client import PhiClient
from phi_emulator import Emulator

with (
    Emulator() as emulator,
    PhiClient(emulator.endpoint, emulator.key, headers={"x-phi-scope": "mine"}) as client,
):
    client.complete("What is 6 * 7?", max_tokens=200)
    [exchange] = emulator.journal.wait_for(1, scope="mine")
    print(exchange.describe())
    assert exchange.ending == "answered"
    assert exchange.spent.total_ms > 0
```

"""

TIMES: Final = """\
### Where the time went

Milliseconds; the five parts add up to the whole, whichever way the exchange ended. A request that never reached the engine has all of
its time in `web_ms` and `client_ms`. What an engine still does when its client has left is no time of the exchange. While tokens are computed, a
client that doesn't read costs nothing; what it is waited for after that is in `client_ms`.

`why_slow` is the same as a sentence, `text`, and as `parts`, each with its `name`, `ms` and `share` of the whole, from 0 to 1.
"""

TOKENS: Final = """\
### Token by token

`tokens`, of one exchange, is a list of `{"ms", "kind", "text", "events"}` in their order; `ms` is since the request came in. What came in one
piece has one time. `text` is `null` where there is none or texts are not kept, and from where on an answer repeats a credential.

| Kind | What it is |
| --- | --- |
| `role` | who speaks |
| `reasoning`, `content` | a token of the thoughts or the answer; of an answer that is not streamed the whole |
| `tool` | a part of a call of a tool |
| `end` | why it ends, `[DONE]`, or the event with the usage |
| `error` | an error, with its message |
| `broken` | what no client can read |
| `event` | so many `events`, whose text is not known |
| `fault` | here the fault struck, whose name is in `text` |
"""

FEEDS: Final = """\
## Looking on

Two routes are [server-sent events](https://html.spec.whatwg.org/multipage/server-sent-events.html) for as long as somebody listens. Nothing is
computed for nobody. `GET /_emulator/events` takes `scope` and `after`, and goes on where `Last-Event-ID` says.

| Event | Of | Its data |
| --- | --- | --- |
| `exchanges` | `/_emulator/events` | `last`, `dropped`, `keeps_texts` and `exchanges`, as in the journal: what ended since, what begins, and each second those that run, which have no number. Its `id:` is `last`. At most ten a second, of 200 exchanges. |
| `engine` | `/_emulator/events` | once a second what `GET /_emulator/engine` tells |
| `token` | `/_emulator/journal/ID/events` | a list of [tokens](#token-by-token), from the first one on; at most twenty a second |
| `end` | `/_emulator/journal/ID/events` | the exchange whole; `null` where the journal has let it go |

At most 32 are open. One whose client reads nothing for 30 seconds is cut off, and a log says so; it holds no more than its place. What is told takes at most a
hundredth of the time of the thread that serves: under load the pauses grow. Feeds go by real time, and virtual time does not wait for
them. They are no exchanges of the journal. What they cost the engine is [measured](../explanation/speed.md#looking-on).

`GET /_emulator/engine` tells `state`; `running` and `waiting`, each with `id`, `prompt_tokens`, `completion_tokens`, `max_tokens`, and the `blocks` that it has and shares;
`cache` with `block_tokens`, `total`, `in_use` and `shared`; `steps` and `tokens` so far, and both a second since it was last asked. Blocks are counted
from prompts and tokens as the engine lays them, and those that it keeps of ended requests are not in use.

`GET /_emulator/journal/ID/as/FORM` is text to copy: `curl`, `python`, `openai`, `recording` (for `phi-emulator replay`) or `test` (for the [plugin](../how-to/test-with-the-emulator.md)).
The key is `PHI_API_KEY` in all of them. What can't be is a 409 that says why: texts were not kept, or it depends on what is not in the exchange.
The same for agents is [`phi-emulator mcp`](../how-to/mcp.md).
"""

FIELDS: Final = """\
### What is told

In JSON as in Python; heads, texts, timeline, `tokens` and `why_slow` are in `GET /_emulator/journal/ID` alone. `timeline` is a list of
`[ms, bytes, events]`, one for each piece that was handed to the connection: tokens that came together are one piece with several events.
An answer of very many pieces is told in fewer: neighbours become one.
"""


def page() -> str:
    """The whole page."""
    parts = [
        HEAD,
        table(["Route", "Method", "Key", "What it does"], _routes()),
        SETTINGS_HEAD,
        table(["Setting", "What it is"], _settings()),
        JOURNAL.rstrip() + "\n",
        FIELDS,
        table(["Field", "What it is"], _fields(JournalEntry)),
        TIMES,
        table(["Part", "What it is"], _fields(Spent)),
        TOKENS,
        FEEDS,
    ]
    return "\n".join(parts)


def control_routes() -> Iterable[ControlRoute]:
    """The table, as an application has it that nobody asks."""
    service = ChatService(Worker(lambda: ScriptedEngine(lambda _: "")))
    return App(service, EmulatorConfig()).control_routes


def path_of(route: ControlRoute) -> str:
    """A pattern as people write it: `/_emulator/journal/{id}`."""
    named = re.sub(r"\(\?P<(\w+)>[^()]*\)", r"{\1}", route.path)
    without_what_may_be_missing = re.sub(r"\([^()]*\)\?", "", named).removesuffix("?")
    return re.sub(r"\\(.)", r"\1", without_what_may_be_missing)


def _routes() -> Iterator[list[str]]:
    for route in control_routes():
        said = (route.handle.__doc__ or "").strip().partition("\n\n")[0]
        key = "in its own place" if route.has_own_key else "yes" if route.needs_key else ""
        yield [f"`{path_of(route)}`", route.method, key, " ".join(said.split())]


def _fields(kind: type[Any]) -> Iterator[list[str]]:
    """The fields of a dataclass, and how long it all took."""
    names = {field.name for field in fields(kind)} | {"total_ms"}
    yield from ([f"`{name}`", said] for name, said in said_of_fields(kind) if name in names)


def _settings() -> Iterator[list[str]]:
    said = dict(said_of_fields(SettingsTable))
    for one in SETTINGS.values():
        if one.part is not None:
            yield [f"`{one.name}`", said.get(one.name) or one.text]


if __name__ == "__main__":
    sys.exit(write_or_check(PAGE, page()))
