"""Parameters that many operations take, with their rules and what the document says of them; read by the resources' handlers."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Header, Path, Query

from contracts.message import MAX_ID_CHARACTERS, NO_CONTROL

DEFAULT_PAGE = 50
MAX_PAGE = 200

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        json_schema_extra={"minLength": 1, "maxLength": 255, "pattern": r"^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$"},
        description="1 to 255 visible characters. The same key with the same body does nothing twice and gets the same answer.",
    ),
]
Prefer = Annotated[str | None, Header(alias="Prefer", description="`wait=N`: seconds to wait for the outcome; 0 answers 202 at once.")]
IdInPath = Annotated[str, Path(min_length=1, max_length=MAX_ID_CHARACTERS, pattern=NO_CONTROL, description="The id.")]
IdInQuery = Query(min_length=1, max_length=MAX_ID_CHARACTERS, pattern=NO_CONTROL, description="With this id only.")
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE, description="The most items of a page.")]
Cursor = Annotated[str | None, Query(description="The next_cursor of the page before.")]
NEWEST: Literal["newest"] = "newest"
OLDEST: Literal["oldest"] = "oldest"
Sort = Annotated[Literal["newest", "oldest"], Query(description="Which come first.")]
