"""Reads the levels of single loggers from one setting, `infra.kafka=DEBUG,aiokafka=INFO`; pure, used by settings and logging."""

from __future__ import annotations

import re
from typing import Final

LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_NAME = re.compile(r"[A-Za-z_][\w.\-]{0,119}")


def parse_levels(text: str) -> dict[str, str]:
    """Logger -> level. Raises ValueError that says the form; a later entry wins."""
    levels = {}
    for entry in (part.strip() for part in text.split(",") if part.strip()):
        name, _, level = (part.strip() for part in entry.partition("="))
        if not _NAME.fullmatch(name) or level.upper() not in LEVELS:
            raise ValueError(f"must be LOGGER=LEVEL, separated by commas, with a level of {', '.join(LEVELS)}")
        levels[name] = level.upper()
    return levels
