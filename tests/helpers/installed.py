"""Plugins for tests over all of them: one whose packages are not installed is left out, or skipped with its reason."""

from typing import Any

import pytest

from clbench import plugins
from clbench.plugins import Kind


def installed(kind: Kind) -> list[str]:
    """Names of those that can be loaded here."""
    return [name for name, plugin in plugins.available(kind).items() if not plugin.missing]


def all_of(kind: Kind) -> list[Any]:
    """All of them as parameters of a test, which is skipped for those that cannot be loaded here."""
    return [
        pytest.param(name, marks=pytest.mark.skipif(bool(plugin.missing), reason=f"{name} needs: {plugin.missing}"))
        for name, plugin in plugins.available(kind).items()
    ]
