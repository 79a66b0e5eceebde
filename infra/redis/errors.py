"""Turns the errors of the Redis driver into those of `infra.errors`; every call of an adapter on Redis runs in here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from redis.exceptions import AuthenticationError, AuthorizationError, NoPermissionError, RedisError

from infra.errors import ConfigurationError, TransientError


@contextmanager
def translated() -> Iterator[None]:
    """Raises ConfigurationError where Redis refuses who we are, TransientError for all else that the driver or the network raises."""
    try:
        yield
    except (AuthenticationError, AuthorizationError, NoPermissionError) as error:
        raise ConfigurationError(f"Redis refuses this user or a command of it: check REDIS_URL and the user's rights ({error})") from error
    except (RedisError, OSError, TimeoutError) as error:
        raise TransientError(f"Redis: {type(error).__name__}: {error}") from error
