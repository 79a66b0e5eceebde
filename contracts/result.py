"""The outcome of what may fail as expected: a value or an error in, one immutable object out; value objects answer it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Literal, Never, TypeAlias, TypeVar

T = TypeVar("T")
U = TypeVar("U")
E = TypeVar("E")
T_co = TypeVar("T_co", covariant=True)
E_co = TypeVar("E_co", covariant=True)


@dataclass(frozen=True)
class Success(Generic[T_co]):
    """It went well; here is the value."""

    value: T_co

    @property
    def is_success(self) -> Literal[True]:
        """Always true."""
        return True

    @property
    def is_failure(self) -> Literal[False]:
        """Always false."""
        return False

    def unwrap(self) -> T_co:
        """The value."""
        return self.value

    def unwrap_or(self, default: object) -> T_co:
        """The value; the default is not needed."""
        return self.value

    def map(self, fn: Callable[[T_co], U]) -> Success[U]:
        """The success of the function's answer. What the function raises goes through: it is no expected failure."""
        return Success(fn(self.value))


@dataclass(frozen=True)
class Failure(Generic[E_co]):
    """It failed as things may fail; here is the error, which nobody raised."""

    error: E_co

    @property
    def is_success(self) -> Literal[False]:
        """Always false."""
        return False

    @property
    def is_failure(self) -> Literal[True]:
        """Always true."""
        return True

    def unwrap(self) -> Never:
        """There is no value: raises ValueError naming the error."""
        raise ValueError(f"a failure holds no value: {self.error}")

    def unwrap_or(self, default: U) -> U:
        """The default."""
        return default

    def map(self, fn: Callable[[Any], object]) -> Failure[E_co]:
        """This same failure; the function is not called."""
        return self


Result: TypeAlias = Success[T] | Failure[E]
"""`Result[Email, EmailError]`: tell the two apart by `isinstance` or by `is_success`."""
