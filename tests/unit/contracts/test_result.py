"""What may fail as expected answers one of two immutable objects, and nobody has to catch anything."""

import copy
import pickle

import pytest

from contracts.result import Failure, Result, Success


def halved(number: int) -> Result[int, str]:
    return Failure("odd") if number % 2 else Success(number // 2)


def test_a_success_holds_its_value() -> None:
    result = halved(4)
    assert result == Success(2)
    assert (result.is_success, result.is_failure) == (True, False)
    assert result.unwrap() == 2
    assert result.unwrap_or(7) == 2


def test_a_failure_holds_its_error_and_gives_the_default() -> None:
    result = halved(3)
    assert result == Failure("odd")
    assert (result.is_success, result.is_failure) == (False, True)
    assert result.unwrap_or(7) == 7
    assert result.unwrap_or(None) is None


def test_unwrapping_a_failure_raises_a_value_error_that_names_the_error() -> None:
    with pytest.raises(ValueError, match="odd"):
        halved(3).unwrap()


def test_mapping_a_success_maps_its_value() -> None:
    assert halved(4).map(str) == Success("2")


def test_mapping_a_failure_answers_the_same_object_and_calls_nothing() -> None:
    failure = Failure("odd")
    assert failure.map(pytest.fail) is failure


def test_what_the_mapped_function_raises_goes_through() -> None:
    with pytest.raises(ZeroDivisionError):
        Success(0).map(lambda number: 1 // number)


def test_success_and_failure_are_never_equal() -> None:
    assert Success(1) != Failure(1)
    assert Success(1) != 1


@pytest.mark.parametrize("result", [Success(1), Failure("odd")])
@pytest.mark.parametrize("name", ["value", "error", "is_success", "other"])
def test_a_result_cannot_be_changed(result: Result[int, str], name: str) -> None:
    with pytest.raises(AttributeError):
        setattr(result, name, 2)
    with pytest.raises(AttributeError):
        delattr(result, name)


@pytest.mark.parametrize("result", [Success(1), Failure("odd")])
def test_a_result_is_hashable_and_can_be_copied(result: Result[int, str]) -> None:
    assert hash(result) == hash(copy.deepcopy(result))
    assert pickle.loads(pickle.dumps(result)) == result
