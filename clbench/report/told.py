"""What of a run's record is told to others: a path on somebody's machine only by its last part."""

import re
from pathlib import PurePath
from typing import Any

_PATH = re.compile(r"(?:(?<=^)|(?<=[=\s,]))/(?:[^/\s=,]+/)+(?=[^/\s=,])")
"""The folders of an absolute path that stands alone, behind an equals sign, or in a list."""


def told(value: Any) -> Any:
    """A JSON value with each absolute path in it shortened to its last part: `weights=w.safetensors`."""
    if isinstance(value, dict):
        return {key: told(item) for key, item in value.items()}
    if isinstance(value, list):
        return [told(item) for item in value]
    if not isinstance(value, str):
        return value
    return PurePath(value).name if PurePath(value).is_absolute() else _PATH.sub("", value)
