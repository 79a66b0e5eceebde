"""No secret and no personal data passes the scrubber, in whatever form it comes; what operators need does."""

import json
import time
import uuid
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr, ValidationError

from infra.identity.api_keys import new_api_key
from infra.identity.passwords import new_client_secret
from infra.telemetry.known_secrets import secrets_of
from infra.telemetry.scrub import MOST_CHARACTERS, READ_CHARACTERS, Scrubber, cut_middle, known_secrets, scrub_text
from infra.telemetry.sensitive_names import PERSONAL, SECRET, kind_of_name

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJ1c2VyX2lkIjoidS0xIn0.c2lnbmF0dXJlLW9mLXRoZS10b2tlbg"
WORDS = "my cat broke the blue vase"
SLASH = "/"

# text -> what must not be left of it
CORPUS = [
    (f"Authorization: Bearer {JWT}", JWT),
    (f"authorization: bearer {JWT[:40]}", JWT[:30]),
    ("Proxy-Authorization=Basic dXNlcjpodW50ZXIy", "dXNlcjpodW50ZXIy"),
    ("{'authorization': 'Digest response=\"hunter2hunter2\"'}", "hunter2"),
    ("headers [('authorization', 'Token hunter2hunter2'), ('host', 'x')]", "hunter2"),
    ("headers [(b'authorization', b'Bearer hunter2hunter2')]", "hunter2"),
    (f"GET /events?access_token={JWT}&x=1", JWT),
    (f"GET /events?token={JWT[:25]}&x=1", JWT[:25]),
    ("Cookie: session=hunter2; theme=dark", "hunter2"),
    ("Set-Cookie: sid=hunter2; HttpOnly; Path=/", "hunter2"),
    ("key sk-live0123456789abcdefghij was refused", "sk-live0123456789abcdefghij"),
    ("postgresql://agentmesh:hunter2@db:5432/mesh", "hunter2"),
    ("postgresql://agentmesh:hun%40ter2@db:5432/mesh?sslmode=require", "hun%40ter2"),
    ("postgresql://agentmesh:hun@ter:2" + SLASH + "x@db:5432/mesh", "ter:2"),
    ("redis://:hunter2@cache:6379/0 is away", "hunter2"),
    ("conninfo host=db user=mesh password=hunter2 dbname=mesh", "hunter2"),
    ("conninfo host=db password='hun ter2' dbname=mesh", "ter2"),
    ('{"password": "hun\\"ter2", "user": "ann"}', "ter2"),
    ('body was {\\"client_secret\\": \\"hunter2\\", \\"a\\": 1}', "hunter2"),
    ("AGENTMESH_MODEL_KEY=hunter2", "hunter2"),
    ("x-api-key: hunter2", "hunter2"),
    ("apiKey: 'hunter2'", "hunter2"),
    ("grant_type=password&username=ann@acme&password=hunter2", "hunter2"),
    ("-----BEGIN PRIVATE KEY-----\nMIIhunter2\n-----END PRIVATE KEY-----", "MIIhunter2"),
    ("from john.doe+x@mail.example.com to", "john.doe"),
    ("?login=john.doe%40example.com", "john.doe"),
    ("von jörg@bücher.example an", "jörg"),
    ("<john@example.com>,(mary@example.org)", "mary"),
    ("call +49 170 1234567 today", "1234567"),
    ("call +1 (555) 123-4567", "123-4567"),
    ("call 0049-170-1234567", "1234567"),
    ("ruf 0170/123 45 67 an", "123 45"),
    ("ruf 01701234567 an", "01701234567"),
    ("call (030) 123 456 78", "123 456"),
    ("call 555-123-4567.", "123-4567"),
    ("card 4111 1111 1111 1111 12/29", "1111 1111"),
    ("card 4111111111111111", "4111111111111111"),
    ("card 5500-0000-0000-0004", "5500-0000"),
    ("1 2 3 378282246310005", "378282246310005"),
    ("IBAN DE89 3704 0044 0532 0130 00 IS WRONG", "3704 0044"),
    ("id12 pay to gb82west12345698765432", "gb82west12345698765432"),
    (f"CreateRequest(tenant_id='acme', message='{WORDS}', priority=2)", "cat"),
    (f"CreateRequest(message={WORDS!r}, metadata={{'cat': {{'vase': [1, 'blue)']}}}}, priority=2)", "vase"),
    (json.dumps({"message": f'{WORDS} "quoted"', "contact_info": {"name": "Mary Poppins", "town": "London"}}), "Mary"),
    (json.dumps(json.dumps({"message": WORDS, "contact_info": {"name": "Mary Poppins"}})), "Mary"),
    (f"payload={{'text': '{WORDS}', 'x': 1}} refused", "cat"),
    (f"ConsumerRecord(topic='t', partition=3, offset=17, timestamp=1, key=b'req-1', value=b'{WORDS}', headers=())", "cat"),
    (f"cannot decode {WORDS.encode()!r}", "cat"),
    ("cannot decode b\"it's my cat\"", "my cat"),
    (f"duplicate key value\nDETAIL:  Key (login, email)=(ann, {WORDS}) already exists.", "blue"),
    (f"new row violates check\nDETAIL:  Failing row contains (1, {WORDS}, null).", "cat"),
    (f"CONTEXT:  unnamed portal parameter $3 = '{WORDS}'", "cat"),
    (f'invalid input syntax for type json\nDETAIL:  Token "{WORDS}" is invalid.', "cat"),
    (f"status_code: 400, model_name: m, body: {{'error': '{WORDS}'}}", "cat"),
]  # fmt: skip

# What operators look for stays as it is.
HARMLESS = [
    "dead letter 17 of req-550e8400-e29b-41d4-a716-446655440000 was taken up again",
    "a record at agentmesh.requests.commands.v1/3/4711 is no event: KeyError",
    "trace 0af7651916cd43dd8448eb211c80319c span b7ad6b7169203331",
    "spans are not exported, 512 dropped, next try in 30 s: connection refused (http://127.0.0.1:4318/v1/traces)",
    "2026-11-28T07:49:52.123456Z to 2026-11-28 07:49:52+00:00, 1732780000000 ms, 1732780000000000000 ns",
    "database pool agentmesh opened: 5 to 20 connections, acquire 30s",
    'password authentication failed for user "agentmesh"',
    "JWT_SECRET_KEY is not set: set it, or JWT_SECRET_KEY_FILE, to a random text of at least 32 bytes.",
    "input_tokens=1200 output_tokens=30 token_count=1230 token_type=bearer, secret_version=3 key_id=k1 key=req-1",
    "postgresql://agentmesh:***@db:5432/mesh and redis://cache:6379/0",
    "relay leads requests from position 1234567890, epoch 3",
    "sign-in by password refused: unknown (ann@acme)",
    "File infra/telemetry/logs.py, line 120, in emit",
    "10.0.0.1:9092,10.0.0.2:9092 are 192.168.100.200 brokers",
    "money 1000000.00 EUR, 12,345,678 rows, 0.123456789 s, v1.2.3-4567",
]


@pytest.mark.parametrize(("text", "hidden"), CORPUS, ids=[text[:30] for text, _ in CORPUS])
def test_what_is_secret_or_personal_is_taken_out_of_a_text(text: str, hidden: str) -> None:
    assert hidden in text
    assert hidden not in scrub_text(text)
    # Within a sentence and as a value too.
    assert hidden not in scrub_text(f"failed: {text} (attempt 3)")
    assert hidden not in json.dumps(Scrubber().value({"reason": text, "list": [text]}))


@pytest.mark.parametrize("text", HARMLESS)
def test_what_operators_need_stays(text: str) -> None:
    assert scrub_text(text) == text


def test_our_own_keys_keep_their_prefix_and_nothing_more() -> None:
    for _ in range(50):
        key, secret = new_api_key(), new_client_secret()
        scrubbed = scrub_text(f"refused {key.text} and {secret}")
        assert scrubbed == f"refused am_{key.prefix}_[key] and {SECRET}"
        assert key.text[12:30] not in scrub_text(f"cut {key.text[:40]}…")


def test_errors_of_pydantic_name_field_and_type_without_the_input() -> None:
    class Payload(BaseModel):
        tenant_id: int
        priority: int

    with pytest.raises(ValidationError) as caught:
        Payload.model_validate({"tenant_id": f"{WORDS}, input_type=str]", "priority": [WORDS]})
    scrubbed = scrub_text(str(caught.value))
    assert "cat" not in scrubbed
    assert "tenant_id" in scrubbed
    assert f"input_value={PERSONAL}, input_type=list]" in scrubbed


@pytest.mark.parametrize(
    "name", ["password", "clientSecret", "X-Api-Key", "AGENTMESH_PAYMENTS_TOKEN", "set-cookie", "db.password", "JWTToken", "PGPASSWORD"]
)
def test_names_of_secrets(name: str) -> None:
    assert kind_of_name(name) == SECRET


@pytest.mark.parametrize(
    "name",
    ["message", "contact_info", "customer_email", "payload.message", "contactInfo", "metadata", "phoneNumber",
     "last_name", "customer.firstName", "customer_name", "user_prompt", "response_body"],
)  # fmt: skip
def test_names_of_what_people_wrote(name: str) -> None:
    assert kind_of_name(name) == PERSONAL


@pytest.mark.parametrize(
    "name",
    [
        "key",
        "tokens",
        "token_type",
        "secret_id",
        "message_id",
        "metadata_bytes",
        "tenant_id",
        "reason",
        "name",
        "topic_name",
        "body_bytes",
        "",
        "…",
    ],
)
def test_names_that_tell_nothing(name: str) -> None:
    assert kind_of_name(name) is None


def test_a_value_is_scrubbed_by_its_names_at_every_depth() -> None:
    value = {
        "http": [{"headers": {"Authorization": "x", "Accept": "json"}, "message": WORDS}],
        "password": 1234,
        "token": None,
        "number": 4111111111111111,
        "count": 4111,
        "when": datetime(2026, 11, 28, tzinfo=UTC),
        "id": uuid.UUID(int=1),
        "raw": WORDS.encode(),
        "error": ValueError("password=hunter2"),
        "object": SimpleNamespace(message=WORDS, secret=SecretStr("hunter2")),
        4111111111111111: "x",
    }
    found = Scrubber().value(value)
    assert found == {
        "http": [{"headers": {"Authorization": SECRET, "Accept": "json"}, "message": f"[{len(WORDS)} characters]"}],
        "password": SECRET,
        "token": None,
        "number": "[card]",
        "count": 4111,
        "when": "2026-11-28T00:00:00+00:00",
        "id": str(uuid.UUID(int=1)),
        "raw": f"[{len(WORDS)} bytes]",
        "error": f"password={SECRET}",
        "object": f"namespace(message={PERSONAL}, secret={SECRET})",
        "[card]": "x",
    }


def test_a_value_has_a_bounded_number_of_parts() -> None:
    deep: Any = "end"
    for _ in range(50):
        deep = [deep]
    wide = Scrubber().value({"many": list(range(100_000)), "after": 1})
    assert isinstance(wide, dict)
    assert len(wide["many"]) < 500
    assert wide["many"][-1].startswith("[99")
    assert "[deeper]" in json.dumps(Scrubber().value(deep))
    wide = Scrubber().value({number: number for number in range(100_000)})
    assert isinstance(wide, dict)
    assert len(wide) < 500


def test_a_long_text_is_cut_and_says_how_long_it_was() -> None:
    scrubbed = scrub_text("x" * 1_000_000)
    assert len(scrubbed) < MOST_CHARACTERS + 50
    assert scrubbed.endswith("[1000000 characters]")
    assert len(cut_middle("a" * 100 + "b" * 100, 40)) < 100


def test_half_a_secret_at_the_end_of_what_is_read_is_not_shown() -> None:
    for size in range(READ_CHARACTERS - 60, READ_CHARACTERS + 2):
        shown = scrub_text("x " * (size // 2) + f"{JWT} tail" * 3, 10**6)
        assert "eyJ" not in shown


def test_secrets_of_this_process_are_known_by_heart(tmp_path: Any) -> None:
    (tmp_path / "key").write_text("a-signing-key-from-a-file\n")
    environment = {
        "JWT_SECRET_KEY_FILE": str(tmp_path / "key"),
        "JWT_PREVIOUS_SECRET_KEYS": "older-key-number-one,older-key-number-two",
        "DATABASE_URL": "postgresql://mesh:p%40ssphrase9@db/mesh",
        "REDIS_URL": "redis://mesh-user:mesh-user@cache/0",
        "MISSING_SECRET_FILE": str(tmp_path / "none"),
        "API_TOKEN": "short",
        "HOME": "a-plain-value",
    }
    settings = SimpleNamespace(model_key=SecretStr("model-key-of-the-settings"), other="a-plain-value")
    known = secrets_of(environment, settings)
    text = (
        "a-signing-key-from-a-file older-key-number-two p@ssphrase9 p%40ssphrase9 model-key-of-the-settings | mesh-user short a-plain-value"
    )
    assert Scrubber(known).text(text) == f"{' '.join([SECRET] * 5)} | mesh-user short a-plain-value"
    assert secrets_of({}) is None
    assert known_secrets(["short"]) is None


@given(st.text())
def test_any_text_is_taken_and_scrubbing_twice_changes_nothing(text: str) -> None:
    once = scrub_text(text)
    assert scrub_text(once) == once


PLAIN = st.text(st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp"), exclude_characters="\"'\\"), min_size=8, max_size=60)


@given(before=PLAIN, secret=st.from_regex(r"[A-Za-z0-9!#$%*+/_.:-]{12,40}", fullmatch=True), after=PLAIN)
def test_a_named_secret_is_hidden_whatever_stands_around_it(before: str, secret: str, after: str) -> None:
    for text in (f'{before} {{"password": "{secret}"}} {after}', f"{before} password='{secret}' {after}", f"u://u:{secret}@h {after}"):
        assert secret not in scrub_text(text)


@given(st.text(min_size=12, max_size=200).filter(lambda text: len(text.split()) > 2))
def test_a_customers_words_are_hidden_in_json_and_in_repr(words: str) -> None:
    spoken = json.dumps(words)[1:-1]
    for text in (json.dumps({"message": words}), json.dumps({"a": {"contact_info": {"name": words}}}), f"X(message={words!r}, n=1)"):
        scrubbed = scrub_text(text)
        assert spoken not in scrubbed
        assert repr(words)[1:-1] not in scrubbed


@settings(max_examples=50)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=20,
    )
)
def test_any_value_becomes_one_that_json_has(value: Any) -> None:
    json.dumps(Scrubber().value(value))


HOSTILE = [
    "a", "@", "a@", "eyJ", "password", "password=", "1", "1 ", "4 1-", "+1", "'", "b'", "://:", "DE12", "de12 ", "{", "password={",
    "message='", "\\", "token\\", "a.b@", "x@y.", "0170 ", "-----BEGIN A-----", "Key (", "A1b", "a-", "bearer ", "cookie: ", "a:",
    "input_value=",
]  # fmt: skip


@pytest.mark.parametrize("piece", HOSTILE)
def test_no_text_is_slow(piece: str) -> None:
    """32,768 characters are read at most; none of them takes a second of a processor, whatever they are."""
    text = piece * (READ_CHARACTERS // len(piece) + 1)
    started = time.thread_time()
    scrub_text(text)
    assert time.thread_time() - started < 1


def test_a_usual_line_costs_little() -> None:
    """Measured on a quiet machine: 15 to 25 µs; the bound leaves room for a busy one."""
    text = "offsets of agentmesh.requests not committed, the records will be delivered again: KafkaConnectionError: 127.0.0.1:9092"
    best = min(_seconds(lambda: [scrub_text(text) for _ in range(200)]) for _ in range(5)) / 200
    assert best < 250e-6


def _seconds(work: Any) -> float:
    started = time.thread_time()
    work()
    return time.thread_time() - started
