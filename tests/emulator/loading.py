"""Loads models as the emulator does, from nothing but a folder and what differs from the defaults."""

from pathlib import Path
from typing import Any

from phi_emulator.engine import loading
from phi_emulator.engine.native.ort_generator import OrtGeneratorEngine
from phi_emulator.engine.options import ModelOptions
from phi_emulator.engine.protocol import Engine
from phi_emulator.models.genai_config import read_settings
from phi_emulator.models.graph import prepare
from phi_emulator.models.graph.prepare import PreparedModel


def load_engine(folder: Path, *, model: str = "x", **options: Any) -> Engine:
    return loading.load_engine(folder, read_settings(folder), ModelOptions(model, **options))


def load_generator(folder: Path, *, model: str = "x", **options: Any) -> OrtGeneratorEngine:
    return OrtGeneratorEngine(folder, read_settings(folder), ModelOptions(model, **options))


def prepare_model(folder: Path, **sizes: Any) -> PreparedModel:
    return prepare.prepare_model(folder, read_settings(folder), **sizes)


def load_scripted(folder: Path, *, source: str = "answers.toml", **options: Any) -> Engine:
    return loading.load_scripted(folder, read_settings(folder), ModelOptions("x", **options), source=source)
