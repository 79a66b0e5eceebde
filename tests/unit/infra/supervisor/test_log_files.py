"""Log files of workers: set aside by size, followed across that, and their last words."""

from pathlib import Path

from infra.supervisor.log_files import LogFollower, last_words, rotate


def test_a_small_file_stays(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_text("one\n")
    rotate(log, max_bytes=10)
    assert log.read_text() == "one\n"


def test_a_large_file_is_set_aside_and_the_oldest_goes(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    for text in ("first", "second", "third", "fourth"):
        log.write_text(text)
        rotate(log, max_bytes=1, kept=2)
    assert not log.exists()
    assert [path.read_text() for path in sorted(tmp_path.iterdir())] == ["fourth", "third"]


def test_a_file_that_does_not_exist_is_no_error(tmp_path: Path) -> None:
    rotate(tmp_path / "x.log")
    assert last_words(tmp_path / "x.log") == ""


def test_the_last_words_that_holds_something(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_bytes(b"one\ntwo \xff\n\n  \n")
    assert last_words(log) == "two \ufffd"


def test_a_follower_hands_out_whole_new_lines_only(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_text("before\n")
    follower = LogFollower({"x": log})
    assert list(follower.new_lines()) == []
    with log.open("a") as file:
        file.write("one\ntw")
        file.flush()
        assert list(follower.new_lines()) == [("x", "one")]
        file.write("o\n")
        file.flush()
        assert list(follower.new_lines()) == [("x", "two")]


def test_a_follower_begins_a_new_file_anew(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    follower = LogFollower({"x": log})
    log.write_text("one\n")
    assert list(follower.new_lines()) == [("x", "one")]
    rotate(log, max_bytes=1)
    log.write_text("fresh\n")
    assert list(follower.new_lines()) == [("x", "fresh")]
