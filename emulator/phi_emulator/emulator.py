"""A running emulator: a source of answers, and a server on a thread of its own.

It must not know command lines. Signals and exit statuses are the business of whoever starts it.

    new ──start()──► listening ──► loading ──► serving ──stop()──► draining ──► stopped
                         └─ port in use ─┴─ model can't be loaded ─► stopped, start() raises
"""

from __future__ import annotations

import asyncio
import logging
import math
import socket
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, Self

from phi_client.contract.clock.base import Clock
from phi_client.contract.dialects import DIALECTS, SERVERLESS
from phi_client.contract.emulator import EMULATOR_ENTRA
from phi_emulator.config import EmulatorConfig
from phi_emulator.config.script import open_script
from phi_emulator.engine.errors import EngineError, ModelLoadError
from phi_emulator.engine.protocol import Engine, EngineInfo, Marks
from phi_emulator.engine.scripted import Reciting
from phi_emulator.engine.serving.source import AnswerSource
from phi_emulator.engine.serving.worker import Worker
from phi_emulator.forms.grammar import ANY_OBJECT, write_grammar
from phi_emulator.scripts.errors import ScriptError
from phi_emulator.web.emulators_clock import clock_of
from phi_emulator.web.listening import ListenError, listen, root_url

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

    from phi_emulator.journal.journal import Journal
    from phi_emulator.service.fault_rules import Faults
    from phi_emulator.service.latency import Latency
    from phi_emulator.service.scopes import Scopes
    from phi_emulator.service.scripts import Scripts
    from phi_emulator.settings.running import Settings
    from phi_emulator.web.app import App
    from phi_emulator.web.chain import Link
    from phi_emulator.web.health import Opening
    from phi_emulator.web.server import HttpServer

__all__ = ["Emulator", "EmulatorError", "find_model"]

logger = logging.getLogger("phi_emulator")

_GRACE_S: Final = 2.0
"""How long requests whose generation was stopped may take to say so."""


class EmulatorError(Exception):
    """The emulator can't be started; the message says what to do."""


def find_model(config: EmulatorConfig) -> tuple[str, Callable[[], Engine]]:
    """A phrase that describes the model of `config`, or the script in its place, and a function that loads it.

    Raises:
        EmulatorError: there is no such model.
    """
    from phi_emulator.models import Store, StoreError, resolve_model  # noqa: PLC0415 - see `make_engine`

    try:
        store = Store(config.home)
        found = resolve_model(config.model if config.has_model else None, store)
    except StoreError as error:
        raise EmulatorError(str(error)) from error

    def make_engine() -> Engine:
        # Imported on the worker's thread, while the server's own modules are being imported on another.
        from phi_emulator.engine.loading import load_engine, load_scripted  # noqa: PLC0415
        from phi_emulator.engine.options import ModelOptions  # noqa: PLC0415

        options = ModelOptions(
            found.name,
            device=config.device,
            context_length=config.context,
            cache_bytes=config.cache_mb * 2**20,
            cache_bits=config.cache_bits,
            deterministic=config.deterministic,
            max_running=config.max_running,
            threads=config.threads,
            calibrations=store.home / "calibrations",
        )
        if not config.has_model:
            script = config.script_source
            name = script if isinstance(script, str) else "the settings" if script else ""
            return load_scripted(found.folder, found.settings, options, source=name)
        return load_engine(found.folder, found.settings, options)

    return found.description if config.has_model else "a script answers, no model", make_engine


def _warm(make_engine: Callable[[], Engine]) -> Callable[[], Engine]:
    """`make_engine`, with the tables that guidance needs built at once: the first grammar takes up to two seconds."""

    def make_warm() -> Engine:
        engine = make_engine()
        started = time.perf_counter()
        try:
            engine.prepare_guidance(write_grammar(engine.info.marks or Marks(), ANY_OBJECT))
        except EngineError as error:
            engine.close()
            raise ModelLoadError(
                f"`extensions` needs an engine with guidance ({error}): install a current onnxruntime-genai "
                "(`pip install -U onnxruntime-genai`), or start without `--extensions`"
            ) from error
        logger.info("guidance is ready after %.1f s", time.perf_counter() - started)
        return engine

    return make_warm


class Emulator:
    """An emulator in this process; a context manager that starts and stops it.

    Without `config` it takes the defaults and a free port. `make_engine` is called on the engine's thread and stands
    for the model or script that `config` names. `clock` tells the time and is what every wait goes through: of faults,
    of latency, for a limit's window, for a place in the queue, until an answer has taken too long, until a token
    expires. With a `phi_client.testing.VirtualClock` none of them takes time; without a clock it is as the
    settings say. `links` see all bytes of each exchange, outside of all else. All three are meant for tests. Spans
    go to `tracer_provider`, without it to the one of the application, if it has set one.
    """

    def __init__(
        self,
        config: EmulatorConfig | None = None,
        *,
        make_engine: Callable[[], Engine] | None = None,
        clock: Clock | None = None,
        links: Sequence[Link] = (),
        tracer_provider: TracerProvider | None = None,
    ) -> None:
        self.config = EmulatorConfig(port=0) if config is None else config
        self.description = ""
        """A phrase on the model that answers; empty until started, and for an engine of your own."""
        self._make_engine = make_engine
        self._clock = clock or clock_of(self.config)
        self._links = links
        self._tracer_provider = tracer_provider
        self._socket: socket.socket | None = None
        self._bound_port = 0
        self._source: AnswerSource | None = None
        self._opening: Opening | None = None
        self._server: HttpServer | None = None
        self._app: App | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> Self:
        """Listen, load the model, serve; return when it is ready.

        Raises:
            EmulatorError: the port is taken, or the model can't be loaded.
        """
        if self._socket is not None:
            raise EmulatorError("the emulator was started before: make a new one")
        try:
            script_file, script = open_script(self.config)
        except ScriptError as error:
            raise EmulatorError(f"the script can't be used: {error}") from error
        make_engine = self._make_engine
        if make_engine is None:
            self.description, make_engine = find_model(self.config)
        if self.config.extensions:
            make_engine = _warm(make_engine)
        try:
            self._socket = listen(self.config.host, self.config.port)
        except ListenError as error:
            raise EmulatorError(str(error)) from error
        self._bound_port = self._socket.getsockname()[1]
        source: AnswerSource = Worker(
            lambda: Reciting(make_engine()),
            queue_size=self.config.queue_size,
            queue_seconds=self.config.queue_seconds,
            clock=self._clock.now,
        )
        try:
            # The model loads on the worker's thread while the server's modules are imported on this one, and then while
            # whoever asks is told that it loads.
            with ThreadPoolExecutor(1) as pool:
                loading = pool.submit(source.start)
                self._open()
                from phi_emulator.service.chat import ChatService  # noqa: PLC0415
                from phi_emulator.service.entra import Authority  # noqa: PLC0415
                from phi_emulator.web.app import App  # noqa: PLC0415

                loading.result()
        except ModelLoadError as error:
            self._give_up()
            raise EmulatorError(f"the model can't be loaded: {error}") from error
        except BaseException:
            self._give_up()
            raise
        self._source = source
        clock, config = self._clock, self.config
        service = ChatService(source, has_extensions=config.extensions, clock=clock)
        authority = Authority(config.tenant, lifetime_s=config.token_seconds, clock=clock.unix)
        self._app = app = App(
            service,
            config,
            authority=authority,
            clock=clock,
            outer=self._links,
            tracer_provider=self._tracer_provider,
            script_file=script_file,
            script=script,
            has_model=config.has_model or self._make_engine is not None,
        )
        assert self._opening is not None  # noqa: S101 - opened above
        self._opening.decide(app, self.event_loop)
        return self

    def _open(self) -> None:
        """Serve from now on: whether it lives and is ready, and the rest once that is decided."""
        from phi_emulator.web.health import Opening  # noqa: PLC0415 - the server's modules are slow to import
        from phi_emulator.web.server import HttpServer  # noqa: PLC0415

        self._opening = Opening()
        self._server = HttpServer(self._opening, self._clock)
        self._thread = threading.Thread(
            target=self._server.serve_until_stopped,
            args=(self._socket,),
            name="phi-emulator-web",
            daemon=True,
        )
        self._thread.start()
        self._server.ready.wait()

    def _give_up(self) -> None:
        """Refuse whoever waited for a model that does not come, and free the port."""
        if self._opening is not None and self._server is not None and self._thread is not None:
            if self._server.event_loop is not None:
                self._opening.decide(None, self._server.event_loop)
            self._server.config.timeout_graceful_shutdown = math.ceil(_GRACE_S)
            self._server.should_exit = True
            self._thread.join()
        if self._socket is not None:
            self._socket.close()

    def stop(self, *, drain_seconds: float | None = None) -> None:
        """Refuse new connections, let running requests go on for `drain_seconds`, then end them. Blocks.

        Does no harm before the start and after the end. `drain_seconds` defaults to the configuration's.
        """
        server, thread, source = self._server, self._thread, self._source
        if server is None or thread is None or source is None:
            return
        patience = self.config.drain_seconds if drain_seconds is None else drain_seconds
        # The server's own limit is for connections that neither end nor ever ask anything.
        server.config.timeout_graceful_shutdown = math.ceil(patience + _GRACE_S)
        server.should_exit = True
        self._started.feeds.close()
        thread.join(patience)
        source.stop()
        thread.join()

    @property
    def is_running(self) -> bool:
        """True from the start to the end."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def info(self) -> EngineInfo:
        """What answers."""
        if self._source is None:
            raise EmulatorError("the emulator was not started: call `start()` first")
        return self._source.info

    @property
    def event_loop(self) -> asyncio.AbstractEventLoop:
        """The loop that serves, for those who measure its delay."""
        if self._server is None or self._server.event_loop is None:
            raise EmulatorError("the emulator was not started: call `start()` first")
        return self._server.event_loop

    @property
    def faults(self) -> Faults:
        """What goes wrong with answers: rules that can be added, replaced and counted while it runs."""
        return self._started.faults

    @property
    def settings(self) -> Settings:
        """Limits, content filter and what else may be set by name while it runs, for all or for a scope."""
        return self._started.settings

    def reset(self, *, scope: str | None = None) -> None:
        """Put all back to the start: settings, faults, scripts, latency, counts, the journal; or what is a scope's own.

        From any thread. What runs goes on as it began.
        """
        self._started.reset(scope)

    @property
    def script(self) -> Scripts:
        """What is answered in the place of the model: rules that can be added, replaced and counted while it runs."""
        return self._started.script

    @property
    def latency(self) -> Latency:
        """How fast answers come: a profile that can be put in the place of another, and how it was kept."""
        return self._started.latency

    @property
    def scopes(self) -> Scopes:
        """Whose requests are: keys that stand for scopes, so that tests that run side by side don't meet."""
        return self._started.scopes

    @property
    def journal(self) -> Journal:
        """The last exchanges: what was asked, what became of it, and where the time went."""
        return self._started.journal

    @property
    def key(self) -> str:
        """What callers of `endpoint` must present."""
        return self.config.key_of(self.config.dialect)

    def key_of(self, dialect: str) -> str:
        """What callers of `endpoint_of(dialect)` must present."""
        return self.config.key_of(dialect)

    @property
    def endpoint(self) -> str:
        """The URL for a client: of the root, or of the configured dialect's own path, which names the dialect."""
        return self.endpoint_of(self.config.dialect)

    def endpoint_of(self, dialect: str) -> str:
        """The URL at which `dialect` is spoken, as a client recognises it."""
        if dialect == SERVERLESS.name and self.config.dialect == dialect:
            return self.root
        spoken = DIALECTS[dialect]
        return self.root + spoken.emulator_prefix + spoken.root

    @property
    def entra_url(self) -> str:
        """The URL for `AZURE_POD_IDENTITY_AUTHORITY_HOST`, where azure-identity gets tokens for this emulator."""
        return self.root + EMULATOR_ENTRA

    @property
    def root(self) -> str:
        """The URL of the root."""
        return root_url(self.config.host, self._port)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.stop()

    @property
    def _started(self) -> App:
        if self._app is None:
            raise EmulatorError("the emulator was not started: call `start()` first")
        return self._app

    @property
    def _port(self) -> int:
        if not self._bound_port:
            raise EmulatorError("the emulator was not started: call `start()` first")
        return self._bound_port
