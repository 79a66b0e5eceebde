"""The errors of the local stack: raised by its servers and shown by whoever starts them; each says what to do next."""

from __future__ import annotations

from infra.errors import MeshError


class LocalStackError(MeshError):
    """A local server could not be started, stopped or found."""


class ServerFailedToStart(LocalStackError):
    """A server ended or did not answer in time; the message carries the last lines of its log."""


class MissingPackage(LocalStackError):
    """A package or download that the local stack needs cannot be had; the message says how to get it."""
