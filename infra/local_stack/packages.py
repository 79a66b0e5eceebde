"""Finds the folder of an installed Python package that carries a server's binaries; nothing of the package is imported."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from infra.local_stack.errors import MissingPackage


def package_folder(name: str, server: str, variable: str) -> Path:
    """The folder of package `name`. Raises MissingPackage, which says how to install it or do without."""
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise MissingPackage(
            f"{server} of the local stack needs the Python package {name!r}: install the extra `local` "
            f"(`pip install 'agentmesh[local]'`), or set {variable} to use a server of your own."
        )
    return Path(next(iter(spec.submodule_search_locations)))
