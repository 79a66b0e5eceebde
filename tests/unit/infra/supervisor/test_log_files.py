"""Log files of workers: set aside by size, followed across that, and their last words."""

import tracemalloc
from pathlib import Path

import pytest

from infra.supervisor.log_files import BLOCK_BYTES, READ_BYTES, LogFollower, last_words, lines_backwards, log_files, rotate


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


def test_the_file_of_a_running_process_is_set_aside_and_followed_without_a_gap(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    with log.open("ab", buffering=0) as file:
        file.write(b"one\n")
        follower = LogFollower({"x": log})
        file.write(b"two\nthr")
        assert list(follower.new_lines()) == [("x", "two")]
        file.write(b"ee\nfo")
        rotate(log, max_bytes=1, running=True)
        file.write(b"ur\n")
        assert log.read_text() == "ur\n"
        assert log.with_name("x.log.1").read_text() == "one\ntwo\nthree\nfo"
        assert list(follower.new_lines()) == [("x", "three"), ("x", "four")]
        file.write(b"five\n")
        assert list(follower.new_lines()) == [("x", "five")]


def test_the_file_of_a_running_process_is_emptied_where_there_is_no_room_for_a_copy(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_text("much")
    (tmp_path / "x.log.1").mkdir()
    with pytest.raises(OSError, match=r"x\.log\.1"):
        rotate(log, max_bytes=1, kept=1, running=True)
    assert log.read_text() == ""


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


def test_what_was_written_last_before_a_file_was_set_aside_is_handed_out(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_text("before\n")
    follower = LogFollower({"x": log})
    with log.open("a") as file:
        file.write("last words\nwithout an end")
    rotate(log, max_bytes=1)
    log.write_text("fresh\n")
    assert list(follower.new_lines()) == [("x", "last words"), ("x", "without an end"), ("x", "fresh")]
    assert list(follower.new_lines()) == []


def test_much_that_was_written_before_a_file_was_set_aside_is_handed_out_too(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_text("before\n")
    follower = LogFollower({"x": log})
    written = [f"{number:099d}" for number in range(3 * READ_BYTES // 100)]
    with log.open("a") as file:
        file.write("\n".join(written) + "\n")
    rotate(log, max_bytes=1)
    log.write_text("fresh\n")
    assert [line for _, line in follower.new_lines()] == [*written, "fresh"]


def test_a_file_that_was_made_shorter_is_begun_anew(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_text("a long line\n")
    follower = LogFollower({"x": log})
    log.write_text("short\n")
    assert list(follower.new_lines()) == [("x", "short")]


def test_a_file_that_comes_later_is_followed_from_its_beginning_and_one_that_goes_is_no_error(tmp_path: Path) -> None:
    first, second = tmp_path / "x.log", tmp_path / "y.log"
    first.write_text("before\n")
    follower = LogFollower({"x": first})
    second.write_text("new\n")
    follower.add({"x": first, "y": second})
    assert list(follower.new_lines()) == [("y", "new")]
    first.unlink()
    assert list(follower.new_lines()) == []
    first.write_text("back\n")
    assert list(follower.new_lines()) == [("x", "back")]


def test_a_line_that_has_not_ended_is_neither_history_nor_lost(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_text("one\ntw")
    follower = LogFollower({"x": log})
    assert list(lines_backwards(log, follower.ends())) == ["one"]
    with log.open("a") as file:
        file.write("o\n")
    assert list(follower.new_lines()) == [("x", "two")]
    assert list(lines_backwards(log, {})) == ["two", "one"]


def test_files_are_read_backwards_over_blocks_and_over_those_set_aside(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    written = [f"line {number} {'x' * (number % 300)}" for number in range(3_000)]
    for part in range(3):
        log.write_text("\n".join(written[part * 1000 : part * 1000 + 1000]) + "\n")
        if part < 2:
            rotate(log, max_bytes=1)
    assert log.stat().st_size > 2 * BLOCK_BYTES
    assert list(lines_backwards(log, {})) == written[::-1]
    assert list(lines_backwards(tmp_path / "none.log", {})) == []


def test_reading_the_last_lines_of_a_large_file_reads_its_end_only(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    with log.open("w") as file:
        for number in range(200_000):
            file.write(f"line {number} {'x' * 100}\n")
    tracemalloc.start()
    lines = lines_backwards(log, {})
    assert next(lines).startswith("line 199999")
    lines.close()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10 * BLOCK_BYTES


def test_log_files_are_known_by_their_worker(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    for name in ("requests-1.log", "requests-1.log.1", "relay-1.log"):
        (tmp_path / "logs" / name).touch()
    assert list(log_files(tmp_path)) == ["relay-1", "requests-1"]
    assert log_files(tmp_path / "nowhere") == {}
