"""What `serve` says when it is ready: what answers, where, under which limits, and how to ask it.

It must not start or change anything.
"""

from __future__ import annotations

import json
import shlex
import sys
import textwrap
from typing import Final
from urllib.parse import urlencode

from phi_client.contract.dialects import DIALECTS
from phi_client.contract.emulator import EMULATOR_ALIAS, EMULATOR_ENDPOINT, EMULATOR_KEY, EMULATOR_PLACE
from phi_emulator.config import SETTINGS, EmulatorConfig
from phi_emulator.doctor.forecast import rate_phrase
from phi_emulator.emulator import Emulator
from phi_emulator.engine.machine.memory import memory_phrase
from phi_emulator.engine.protocol import EngineInfo
from phi_emulator.latency.language import write_line
from phi_emulator.latency.profile import Profile
from phi_emulator.models.printable import printable
from phi_emulator.platforms import environment_line, is_windows

__all__ = ["make_banner"]

_LABELS: Final = 12
_WORTH_SAYING: Final = 1_000_000_000
_EXTENDED: Final = "response_format and tools are taken; the hosted model has neither"
_EVERYWHERE: Final = ("0.0.0.0", "::")  # noqa: S104 - recognised, not bound
_QUESTION: Final = "What is 17 * 24?"


def make_banner(emulator: Emulator, width: int | None = None, platform: str = sys.platform) -> str:
    """The banner, wrapped to `width` where one is given; lines that are to be copied are never broken."""
    info, config = emulator.info, emulator.config
    said = [
        ("model", info.model + (f": {emulator.description}" if emulator.description else "")),
        ("from", info.source),
        ("runs on", f"{info.execution_provider} ({info.why}), {info.batching} batching"),
        ("context", _context(info, config)),
        *_sizes(info),
        *(("note", note) for note in info.notes),
        *_active(config),
    ]
    lines = [f"phi-emulator listens on {_listens_on(emulator)}"]
    if config.host in _EVERYWHERE:
        said.insert(0, ("address", f"every address of this machine; from here it is {emulator.root}"))
    for label, text in said:
        lines += _wrapped(label, printable(text), width)
    lines += [
        "Point a client at it:",
        *(f"  {line}" for line in _exports(emulator, platform)),
        "Or ask it at once:",
        f"  {_request(emulator, platform)}",
        "See what is asked and answered:",
        f"  {emulator.root}{EMULATOR_PLACE}/",
        "Ctrl-C stops it.",
    ]
    return "\n".join(lines)


def _wrapped(label: str, text: str, width: int | None) -> list[str]:
    head = f"  {label:{_LABELS - 2}}"
    if width is None or len(head) + len(text) <= width:
        return [head + text]
    return textwrap.wrap(
        text,
        max(width, _LABELS + 20),
        initial_indent=head,
        subsequent_indent=" " * _LABELS,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _listens_on(emulator: Emulator) -> str:
    """The address that is bound, which is not the one to connect to where it stands for all."""
    if emulator.config.host not in _EVERYWHERE:
        return emulator.root
    port = emulator.root.rpartition(":")[2]
    host = emulator.config.host
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _context(info: EngineInfo, config: EmulatorConfig) -> str:
    asked = config.context
    lowered = asked is not None and info.context_length < asked
    return f"{info.context_length} tokens" + (
        f", lowered from the {asked} that were asked for" if lowered else ""
    )


def _sizes(info: EngineInfo) -> list[tuple[str, str]]:
    """How many share the model, how fast, and in how much memory, as far as that is known."""
    said: list[tuple[str, str]] = []
    if info.rates:
        speeds = ", ".join(f"{rate_phrase(rate)} with {size}" for size, rate in sorted(info.rates.items()))
        text = f"by {info.max_running} at once; tokens a second of all together when measured: {speeds}"
        said.append(("shared", text))
    if info.cache_bytes and info.weights_bytes > _WORTH_SAYING:
        said.append(("memory", f"{memory_phrase(info.weights_bytes, info.cache_bytes)} (--cache-mb)"))
    return said


def _active(config: EmulatorConfig) -> list[tuple[str, str]]:
    """What answers otherwise than it would with the default settings."""
    limits = [
        f"{value:,} {what}"
        for value, what in (
            (config.requests_per_minute, "requests a minute"),
            (config.tokens_per_minute, "tokens a minute"),
            (config.max_concurrent, "requests at once"),
            (config.max_output_tokens, "tokens of answer at most"),
            (config.request_timeout_ms, "ms for an answer"),
            (config.queue_seconds, "s in the queue"),
        )
        if value is not None
    ]
    said: list[tuple[str, str]] = []
    if limits:
        said.append(("limits", ", ".join(limits)))
    if config.content_filter != "off":
        said.append(("filter", SETTINGS["content_filter"].kind.shown(config.content_filter)))
    if config.faults is not None:
        inline = SETTINGS["faults"].kind.shown(config.faults)
        said.append(("faults", f"rules of {config.faults}" if isinstance(config.faults, str) else inline))
    if config.script is not None:
        said.append(("script", f"rules of {config.script} answer before the model"))
    if config.latency_profile is not None:
        said.append(("latency", _latency(config.latency_profile)))
    if config.deployments:
        said.append(("deployed", ", ".join(config.deployments)))
    if config.deterministic:
        said.append(("seeds", "one request at a time, so that they repeat"))
    if config.loose:
        said.append(("loose", "any api-version is taken"))
    if config.extensions:
        said.append(("extended", _EXTENDED))
    return said


def _latency(profile: Profile) -> str:
    named = f"{profile.name}: " if profile.name else ""
    return f"{named}{write_line(profile)}"


def _exports(emulator: Emulator, platform: str) -> list[str]:
    if emulator.endpoint == EMULATOR_ENDPOINT and emulator.key == EMULATOR_KEY:
        note = f"    # {EMULATOR_ENDPOINT} with PHI_API_KEY={EMULATOR_KEY}"
        return [environment_line("PHI_ENDPOINT", EMULATOR_ALIAS, platform) + note]
    # A key of the user's own is a secret, and this text ends up in logs.
    key = EMULATOR_KEY if emulator.key == EMULATOR_KEY else "<the key you chose>"
    return [
        environment_line("PHI_ENDPOINT", emulator.endpoint, platform),
        environment_line("PHI_API_KEY", key, platform),
    ]


def _request(emulator: Emulator, platform: str) -> str:
    """A line for the shell that asks a question, as the dialect of the root writes it."""
    spoken = DIALECTS[emulator.config.dialect]
    body: dict[str, object] = {"messages": [{"role": "user", "content": _QUESTION}]}
    if spoken.needs_model:
        body["model"] = next(iter(emulator.config.deployments), emulator.info.model)
    request = spoken.write_chat_request(body)
    own = emulator.key != EMULATOR_KEY
    secret = ("$env:PHI_API_KEY" if is_windows(platform) else "$PHI_API_KEY") if own else EMULATOR_KEY
    name, value = spoken.key_header, spoken.key_prefix + secret
    url = (
        emulator.endpoint.removesuffix(spoken.root)
        + request.path
        + (f"?{urlencode(request.query)}" if request.query else "")
    )
    text = json.dumps(body, ensure_ascii=True)
    if is_windows(platform):
        quoted = text.replace("'", "''")
        return (
            f'Invoke-RestMethod "{url}" -Method Post -ContentType application/json '
            f"-Headers @{{ '{name}' = \"{value}\" }} -Body '{quoted}'"
        )
    return f'curl -s {shlex.quote(url)} -H "{name}: {value}" -H "Content-Type: application/json" -d {shlex.quote(text)}'
