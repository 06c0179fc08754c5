"""The recording of one test: replayed, or made from a real endpoint. It must not know pytest.

mode    a file is there              there is none
none    replayed                     an error that says how to record
once    replayed                     recorded
new     replayed; more is recorded   recorded
all     recorded anew                recorded
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self, cast

from phi_emulator.recordings.exchanges import RecordedExchange, RecordedRequest
from phi_emulator.recordings.file import RecordingError, RecordingFile, read_recording
from phi_emulator.recordings.local import AnswerStep, LocalApp, LocalServer
from phi_emulator.recordings.places import root_for
from phi_emulator.recordings.recording import Recorder, Upstream, entra_token
from phi_emulator.recordings.replaying import Replayer
from phi_emulator.recordings.shelf import AfterLast, Shelf
from phi_emulator.web.exchange import Exchange
from starlette.types import Receive, Scope, Send

from phi_client.contract.dialects import EndpointError, resolve_endpoint
from phi_client.contract.emulator import EMULATOR_KEY
from phi_client.contract.service import SERVERLESS, SURFACES, Surface

__all__ = ["MODES", "Mode", "RecordingOfTest", "RecordingOptions", "Stage"]

Mode = Literal["none", "once", "new", "all"]
MODES: Final[tuple[Mode, ...]] = ("none", "once", "new", "all")
_DRAIN_S: Final = 5.0
_DEPLOYMENT: Final = "azureml-model-deployment"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingOptions:
    """Which file, and how it is replayed: `speed` 0 waits for nothing, 1 as long as it took."""

    file: Path
    mode: Mode = "none"
    speed: float = 0.0
    after_last: AfterLast = "repeat"


class Stage(LocalApp):
    """A server on which recordings are replayed, one after the other: to start and stop one takes a tenth of a second.

    A context manager that starts and stops it.
    """

    def __init__(self) -> None:
        super().__init__(_Nobody(), root=SERVERLESS, key=secrets.token_hex(20))
        self.replayed: LocalApp | None = None
        """What answers now; requests with the key of what did before are refused."""
        self.server = LocalServer(self)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if self.replayed is None:
            await super().__call__(scope, receive, send)
        else:
            await self.replayed(scope, receive, send)

    def __enter__(self) -> Self:
        self.server.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.stop()


class _Nobody:
    """Has nothing to say."""

    async def answer(self, asked: RecordedRequest, exchange: Exchange, receive: Receive, send: Send) -> None:
        raise NotImplementedError("there is no recording")


class RecordingOfTest:
    """What answers one test from a file, or forwards to a real endpoint and writes the file; to be closed.

    `environ` is where the real endpoint is named, by `PHI_ENDPOINT`, `PHI_API_KEY` and their sisters. On `stage` it is
    replayed; to record it has a server of its own, so that all is written when that has stopped.

    Raises:
        RecordingError: there is no recording, it can't be used, or none can be made.
    """

    def __init__(self, options: RecordingOptions, environ: Mapping[str, str], stage: Stage) -> None:
        self.file = options.file
        self.key = secrets.token_hex(20)
        """What clients must present."""
        self.variables: dict[str, str] = {}
        """What clients need to ask as it was asked."""
        self._recorder: Recorder | None = None
        self._replayer: Replayer | None = None
        self._written = options.file
        self._cleanup = ExitStack()
        try:
            step, surface = self._step(options, environ)
            root = root_for(surface)
            app, server = LocalApp(step, root=root, key=self.key), stage.server
            if not self.is_recorded:
                stage.replayed = app
                self._cleanup.callback(setattr, stage, "replayed", None)
            else:
                server = self._cleanup.enter_context(LocalServer(app, drain_seconds=_DRAIN_S))
        except BaseException:
            self._cleanup.close()
            raise
        self.endpoint = server.root if surface is root is SERVERLESS else server.endpoint_of(surface)
        """The URL for a client."""

    @property
    def is_recorded(self) -> bool:
        """Whether a real endpoint is asked."""
        return self._recorder is not None

    @property
    def unanswered(self) -> tuple[str, ...]:
        """Why requests got no answer: what was recorded that is nearest, and where it differs."""
        return () if self._replayer is None else tuple(self._replayer.misses)

    def close(self) -> None:
        """Let what is under way end, and the file be whole.

        Raises:
            RecordingError: something could not be recorded; the log says why.
        """
        self._cleanup.close()
        recorder = self._recorder
        if recorder is None:
            return
        if not any(one.head for one in read_recording(self._written).exchanges):
            # Nobody answered, which is no recording.
            self._written.unlink()
        elif self._written != self.file:
            self._written.replace(self.file)
        if recorder.lost:
            raise RecordingError(
                f"{recorder.lost} exchanges could not be recorded in {self.file}: the log says why"
            )

    def _step(self, options: RecordingOptions, environ: Mapping[str, str]) -> tuple[AnswerStep, Surface]:
        is_there = self.file.exists()
        if options.mode == "none" and not is_there:
            raise RecordingError(
                f"there is no recording {self.file}: make it with `pytest --phi-record=once`, with PHI_ENDPOINT and "
                "PHI_API_KEY those of the real endpoint"
            )
        if options.mode == "all" or not is_there:
            return self._recording(environ, anew=is_there)
        recording = read_recording(self.file)
        shelf = Shelf({self.file.name: recording}, after_last=options.after_last)
        surface = shelf.surface
        otherwise: AnswerStep | None = None
        if options.mode == "new" and "PHI_ENDPOINT" in environ:
            otherwise, surface = self._recording(environ, anew=False)
        elif recording.exchanges:
            self.variables = _variables_of(recording.exchanges[0])
        self._replayer = Replayer(shelf, speed=options.speed, otherwise=otherwise)
        return self._replayer, surface

    def _recording(self, environ: Mapping[str, str], *, anew: bool) -> tuple[AnswerStep, Surface]:
        """Forward to the endpoint that the environment names."""
        upstream, surface = _upstream_of(environ)
        names = ("PHI_MODEL", "PHI_DEPLOYMENT", "PHI_API_VERSION")
        self.variables = {name: environ[name] for name in names if environ.get(name)}
        self.file.parent.mkdir(parents=True, exist_ok=True)
        if anew:
            # What is there stays until the new one is whole.
            self._written = self.file.with_name(f"{self.file.name}.new")
            self._written.unlink(missing_ok=True)
        written = self._cleanup.enter_context(RecordingFile(self._written, append=True))
        self._recorder = Recorder(upstream, written)
        return self._recorder, surface


def _upstream_of(environ: Mapping[str, str]) -> tuple[Upstream, Surface]:
    url = environ.get("PHI_ENDPOINT", "").strip()
    if not url:
        raise RecordingError(
            "to record, the real endpoint is wanted in PHI_ENDPOINT, and its key in PHI_API_KEY (without a key your "
            "Entra ID sign-in asks it)"
        )
    try:
        endpoint = resolve_endpoint(
            url, environ.get("PHI_DIALECT") or None, allow_http=environ.get("PHI_ALLOW_HTTP") in ("1", "true")
        )
    except EndpointError as error:
        raise RecordingError(f"PHI_ENDPOINT: {error}") from error
    key = environ.get("PHI_API_KEY") or (EMULATOR_KEY if endpoint.is_loopback else "")
    credential = (lambda: key) if key else entra_token(endpoint.dialect.token_scope)
    return Upstream(endpoint, credential, is_token=not key), SURFACES[endpoint.dialect.name]


def _variables_of(exchange: RecordedExchange) -> dict[str, str]:
    """What a client was told beside its endpoint, by what it asked."""
    request = exchange.request
    found: dict[str, str] = {}
    body: object = None
    with suppress(ValueError):
        body = json.loads(request.body)
    model = cast("dict[str, Any]", body).get("model") if isinstance(body, dict) else None
    if isinstance(model, str) and model:
        found["PHI_MODEL"] = model
    if _DEPLOYMENT in request.headers:
        found["PHI_DEPLOYMENT"] = request.headers[_DEPLOYMENT]
    if request.api_version:
        found["PHI_API_VERSION"] = request.api_version
    return found
