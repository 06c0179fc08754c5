"""The settings of an emulator: their table, and the values of one."""

from phi_emulator.config.emulator_config import EmulatorConfig, read_sources
from phi_emulator.config.table import SETTINGS
from phi_emulator.settings.sources import ConfigError

__all__ = ["SETTINGS", "ConfigError", "EmulatorConfig", "read_sources"]
