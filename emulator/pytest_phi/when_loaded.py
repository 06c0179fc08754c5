"""Something to do with a module once it is loaded, now or later, without loading it. It must not know what is done."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.abc import MetaPathFinder
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from types import ModuleType

__all__ = ["WhenLoaded"]


class WhenLoaded(MetaPathFinder):
    """Calls `wanted[name]` with the module of that name: those that are loaded at `begin`, others when they are."""

    def __init__(self, wanted: Mapping[str, Callable[[ModuleType], None]]) -> None:
        self._wanted = wanted

    def begin(self) -> None:
        """From here on."""
        for name, act in self._wanted.items():
            if (module := sys.modules.get(name)) is not None:
                act(module)
        sys.meta_path.insert(0, self)

    def end(self) -> None:
        """Look at nothing more."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Where another finder finds the module, with the wish to hear of its end."""
        act = self._wanted.get(fullname)
        if act is None:
            return None
        others = [finder for finder in sys.meta_path if not isinstance(finder, WhenLoaded)]
        spec = next((found for finder in others if (found := finder.find_spec(fullname, path, target))), None)
        if spec is None or spec.loader is None:
            return spec
        loader = spec.loader
        run = loader.exec_module

        def run_and_act(module: ModuleType) -> None:
            # A loader may load others too: this is about one module of its.
            loader.exec_module = run  # type: ignore[method-assign]
            run(module)
            for finder in sys.meta_path:
                if isinstance(finder, WhenLoaded):
                    finder.heard(module)

        loader.exec_module = run_and_act  # type: ignore[method-assign]
        return spec

    def heard(self, module: ModuleType) -> None:
        """A module is loaded."""
        if (act := self._wanted.get(module.__name__)) is not None:
            act(module)
