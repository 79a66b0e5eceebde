"""docs/requirements.md names, for every requirement of this release, tests that exist."""

import ast
import functools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "requirements.md"
ALLOW_OPEN = False  # False once every requirement has its test
OPEN = "open"
# MSG-10 and MSG-11 are events of contexts that are not built yet (agents, secrets); their issues bring them.
REQUIRED = (
    "REQ-01..10 REQ-12 REQ-16..19 REQ-23 REQ-25 SEC-16..20 MSG-04..09 MSG-12..20 MSG-22 OBS-01..04 OBS-06..17 OBS-28 "
    "OBS-31..33 PER-03 PER-05 PER-07 PER-09 PER-11 RES-20..22 TST-01 TST-07..08 TST-13..14 TST-16 DEV-01..05 DEV-12..16 DEV-18"
)


def expanded(ranges: str) -> set[str]:
    """The ids of a text like `REQ-01..03 SEC-16`."""
    found = re.findall(r"([A-Z]+)-(\d+)(?:\.\.(\d+))?", ranges)
    return {f"{kind}-{number:02d}" for kind, first, last in found for number in range(int(first), int(last or first) + 1)}


def rows(text: str) -> list[tuple[str, list[str]]]:
    """(id, tests) of every row of the table; `open` for a row without a test."""
    found = re.findall(r"^\| ([A-Z]+-\d+[a-z]?) \| ([^|]*) \|", text, flags=re.MULTILINE)
    return [(identifier, [test.strip(" `") for test in re.split(r"<br>|, ", tests)]) for identifier, tests in found]


@functools.cache
def defined_tests(path: Path) -> frozenset[str]:
    """Names of the tests of a file: `test_x`, and `Suite::test_x` for a method."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    body = ast.parse(path.read_text(encoding="utf-8")).body if path.is_file() else []
    functions = {node.name for node in body if isinstance(node, kinds)}
    methods = {
        f"{node.name}::{inner.name}" for node in body if isinstance(node, ast.ClassDef) for inner in node.body if isinstance(inner, kinds)
    }
    return frozenset(name for name in functions | methods if name.split("::")[-1].startswith("test_"))


def wrong_references(text: str) -> list[str]:
    """Rows that name a test which does not exist."""
    named = ((identifier, test) for identifier, tests in rows(text) for test in tests if test != OPEN)
    return [f"{identifier}: {test}" for identifier, test in named if not _exists(test)]


def _exists(reference: str) -> bool:
    file, _, name = reference.partition("::")
    return file.startswith("tests/") and name in defined_tests(ROOT / file)


def test_every_named_test_exists() -> None:
    assert not wrong_references(PAGE.read_text(encoding="utf-8"))


def test_every_requirement_of_this_release_has_its_row() -> None:
    assert expanded(REQUIRED) - {identifier for identifier, _ in rows(PAGE.read_text(encoding="utf-8"))} == set()


def test_no_requirement_is_left_open(capsys: pytest.CaptureFixture[str]) -> None:
    table = rows(PAGE.read_text(encoding="utf-8"))
    left = [identifier for identifier, tests in table if OPEN in tests or "" in tests]
    with capsys.disabled():
        print(f"\nrequirements: {len(table) - len(left)} of {len(table)} mapped to tests, {len(left)} open")
    assert ALLOW_OPEN or not left, f"open: {', '.join(left)}"


@pytest.mark.parametrize(
    "reference",
    [
        "tests/unit/test_nowhere.py::test_x",
        "tests/unit/test_house.py::test_that_nobody_wrote",
        "tests/unit/test_house.py",
        "tests/unit/test_house.py::sources",
        "contracts/ids.py::test_x",
    ],
)
def test_a_planted_wrong_reference_is_caught(reference: str) -> None:
    assert wrong_references(f"| REQ-01 | {reference} | x |")


def test_a_reference_may_name_a_method_several_tests_and_code_marks() -> None:
    here = "tests/unit/test_requirements_map.py"
    text = f"| REQ-01 | `{here}::test_every_named_test_exists`<br>{here}::TestSuite::test_in_a_suite | x |"
    assert not wrong_references(text)
    assert rows("| REQ-01 | open | x |\n| not a row |") == [("REQ-01", [OPEN])]


class TestSuite:
    """Stands for the conformance suites, whose tests are methods."""

    def test_in_a_suite(self) -> None:
        assert expanded("REQ-09..10 SEC-16") == {"REQ-09", "REQ-10", "SEC-16"}
