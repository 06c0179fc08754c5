"""Grammars, compiled in a process of their own before the engine has to: what they cost there, they cost the others.

    check() ──► known? ──► compile in the process ──► within the bounds of time and memory: taken
                                                  └─► beyond them, or the process is no more: refused

The native side compiles a grammar on the engine's thread and holds the interpreter meanwhile, so that nobody is
answered; some of a line take seconds and gigabytes, or end the process. What a grammar costs can't be told from its
text, only from compiling it. The process has the served model's tokens and a small model's graph, is started when it
is first needed, and is started anew when a grammar has ended it. Knows processes; must not import the native engine.
"""

from __future__ import annotations

import hashlib
import json
import logging
import sys
import tempfile
import threading
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, cast

from phi_emulator.engine.errors import EngineStoppedError, GuidanceError, SequenceError
from phi_emulator.engine.machine.devices import CPU
from phi_emulator.engine.native.asked_process import AskedProcess, AskingError, Budget
from phi_emulator.engine.native.generator_folder import HOST, link, load_host
from phi_emulator.engine.native.guidance_errors import guidance_error, too_costly
from phi_emulator.models import BUNDLED
from phi_emulator.models.genai_config import FILE, Settings, read_settings

__all__ = ["GrammarChecks"]

logger = logging.getLogger("phi_emulator.engine")

BEARABLE_S: Final = 0.1
"""Seconds of a processor that a grammar may take: so long the engine's thread lets nobody else go on."""
_BUDGET: Final = Budget(wall_s=10.0, cpu_s=0.5, memory_bytes=256 * 2**20)
"""Past which the process is ended. A bit more is waited for, because another process takes time to start."""
_ANY: Final = '%llguidance {"no_forcing": true}\nstart: %json {"type": "object"}\n'
"""A grammar for which all tables are built that a first one has to wait for."""
_MOST_KNOWN: Final = 256
_CONTEXT: Final = 64
_OF_A_TOKENIZER: Final = frozenset({".json", ".jinja", ".txt", ".model"})
_OF_THE_TOKENS: Final = ("vocab_size", "bos_token_id", "eos_token_id", "pad_token_id")


class GrammarChecks:
    """Checks grammars for the model in `folder`, whose `genai_config.json` holds `settings`. For any thread.

    `python` is the interpreter of the process.
    """

    def __init__(self, folder: Path, settings: Settings, *, python: str = sys.executable) -> None:
        self._folder, self._settings, self._python = folder, settings, python
        self._lock = threading.Lock()
        self._known: OrderedDict[bytes, str | None] = OrderedDict()
        self._process: AskedProcess | None = None
        self._view: tempfile.TemporaryDirectory[str] | None = None
        self._is_closed = False

    def check(self, grammar: str) -> None:
        """See whether a grammar can be compiled, at a cost that others can bear.

        Raises:
            GuidanceError: it can't.
            EngineStoppedError: `close` was called.
            SequenceError: the process can't be started.
        """
        key = hashlib.blake2b(grammar.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        with self._lock:
            if key not in self._known:
                refusal = self._compile(grammar)
                self._known[key] = None if refusal is None else str(refusal)
                if len(self._known) > _MOST_KNOWN:
                    self._known.popitem(last=False)
            self._known.move_to_end(key)
            said = self._known[key]
        if said is not None:
            raise GuidanceError(said)

    def close(self) -> None:
        """End the process; what is being checked is not waited for."""
        self._is_closed = True
        process = self._process
        if process is not None:
            process.kill()
        with self._lock:
            self._drop()

    def _compile(self, grammar: str) -> GuidanceError | None:
        process = self._started()
        try:
            took = process.ask("check_guidance", budget=_BUDGET, grammar=grammar)
        except AskingError as error:
            if not process.has_ended:
                return guidance_error(str(error))
            if self._is_closed:
                raise EngineStoppedError("the engine is stopping") from error
            # Not how it ended: its last words may be the grammar's.
            logger.warning("a grammar was refused: compiling it ended the process that checks grammars")
            self._drop()
            threading.Thread(target=self._warm, name="phi-emulator-grammars", daemon=True).start()
            return too_costly()
        return too_costly() if took > BEARABLE_S else None

    def _warm(self) -> None:
        """Have the process ready before it is needed again."""
        with self._lock, suppress(EngineStoppedError, SequenceError):
            self._started()

    def _started(self) -> AskedProcess:
        """The process, with the tables that a first grammar has to wait for; with the lock held."""
        if self._is_closed:
            raise EngineStoppedError("the engine is stopping")
        if self._process is not None and not self._process.has_ended:
            return self._process
        self._drop()
        try:
            self._view = tempfile.TemporaryDirectory(prefix="phi-emulator-")
            process = self._process = AskedProcess(HOST, self._python)
            if self._is_closed_now():
                process.kill()
            source, view = Path(self._view.name) / "source", Path(self._view.name) / "view"
            settings = self._write_source(source)
            view.mkdir()
            load_host(process, source, settings, view, device=CPU, context=_CONTEXT)
            process.ask("check_guidance", grammar=_ANY)
        except (AskingError, OSError) as error:
            self._drop()
            if self._is_closed_now():
                raise EngineStoppedError("the engine is stopping") from error
            raise SequenceError(f"the process that checks grammars can't be started: {error}") from error
        return process

    def _is_closed_now(self) -> bool:
        """Whether another thread has closed this meanwhile."""
        return self._is_closed

    def _drop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.close()
        if self._view is not None:
            self._view.cleanup()
            self._view = None

    def _write_source(self, source: Path) -> Settings:
        """A folder of links to the small model's graph and the served model's tokens; its settings."""
        source.mkdir()
        for file in BUNDLED.folder.iterdir() if BUNDLED.folder else ():
            if ".onnx" in file.name:
                link(file.resolve(), source / file.name)
        for file in self._folder.iterdir():
            if file.suffix in _OF_A_TOKENIZER and file.name != FILE:
                link(file.resolve(), source / file.name)
        settings = read_settings(BUNDLED.folder or self._folder)
        model = cast("dict[str, Any]", settings["model"])
        served = cast("dict[str, Any]", self._settings["model"])
        for name in _OF_THE_TOKENS:
            model.pop(name, None)
            if name in served:
                model[name] = served[name]
        (source / FILE).write_text(json.dumps(settings), encoding="utf-8")
        return settings
