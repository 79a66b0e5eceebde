"""What every knowledge base must promise: the suite of the port. An adapter's test subclasses it and supplies the fixture."""

from __future__ import annotations

import asyncio

import pytest

from infra.errors import DataError
from infra.knowledge.base import MAX_LIMIT, Document, KnowledgeBase

TENANT = "test-tenant"
PASSWORD = Document("account/password.md", "Reset a password", "Choose forgotten password, then open the link in the mail.")
INVOICE = Document("billing/invoice.md", "Find an invoice", "Invoices are PDF files. A wrong invoice is corrected by our team.")
PARCEL = Document("parcel.md", "Track a parcel", "The tracking number is in the dispatch mail.", "https://help.example/parcel")
ALL = [PASSWORD, INVOICE, PARCEL]
LONG = "\n\n".join(f"Paragraph {number} is about topic{number} and nothing else. " + "It goes on for a while. " * 12 for number in range(8))


@pytest.mark.conformance
class KnowledgeSuite:
    """Subclass it with the fixture `knowledge`: an empty knowledge base with the local embedding."""

    async def test_an_empty_one_finds_lists_and_counts_nothing(self, knowledge: KnowledgeBase) -> None:
        assert await knowledge.search(TENANT, "password") == []
        assert await knowledge.list(TENANT) == []
        assert await knowledge.count(TENANT) == (0, 0)
        assert await knowledge.remove(TENANT, ["a", "b"]) == ()
        assert await knowledge.remove(TENANT, []) == ()
        assert await knowledge.add(TENANT, []) == ((), (), ())

    async def test_the_passage_that_fits_comes_first_with_all_that_is_known_of_it(self, knowledge: KnowledgeBase) -> None:
        assert await knowledge.add(TENANT, ALL) == (("account/password.md", "billing/invoice.md", "parcel.md"), (), ())
        found = await knowledge.search(TENANT, "where is the tracking number of my parcel?")
        assert found[0][:5] == ("parcel.md", 0, PARCEL.title, PARCEL.text, "https://help.example/parcel")
        assert [each.score for each in found] == sorted((each.score for each in found), reverse=True)
        assert all(0.0 < each.score <= 1.0 for each in found)
        (invoice,) = await knowledge.search(TENANT, "Wrong invoices", limit=1)
        assert (invoice.document_id, invoice.source) == ("billing/invoice.md", "billing/invoice.md")

    async def test_the_very_text_of_a_passage_scores_one(self, knowledge: KnowledgeBase) -> None:
        await knowledge.add(TENANT, ALL)
        (found,) = await knowledge.search(TENANT, f"{PARCEL.title}\n{PARCEL.text}", limit=1)
        assert found.score == pytest.approx(1.0, abs=1e-5)
        assert found.score <= 1.0

    @pytest.mark.parametrize("query", ["", "   \n", "?!", "how do I", "und wie ist das"])
    async def test_a_query_without_a_telling_word_finds_nothing(self, knowledge: KnowledgeBase, query: str) -> None:
        await knowledge.add(TENANT, ALL)
        assert await knowledge.search(TENANT, query) == []

    async def test_adding_again_changes_nothing(self, knowledge: KnowledgeBase) -> None:
        await knowledge.add(TENANT, ALL)
        before = await knowledge.list(TENANT)
        assert await knowledge.add(TENANT, reversed(ALL)) == ((), (), tuple(each.document_id for each in reversed(ALL)))
        assert await knowledge.list(TENANT) == before
        assert await knowledge.count(TENANT) == (3, 3)

    async def test_a_changed_text_replaces_all_passages(self, knowledge: KnowledgeBase) -> None:
        await knowledge.add(TENANT, [Document("a", "Topics", LONG), PARCEL])
        many = (await knowledge.count(TENANT)).passages
        assert many > 3
        assert [each.document_id for each in await knowledge.search(TENANT, "topic7", limit=1)] == ["a"]
        added = await knowledge.add(TENANT, [Document("a", "Topics", "Now it is about giraffes."), PARCEL, PASSWORD])
        assert added == (("account/password.md",), ("a",), ("parcel.md",))
        assert await knowledge.count(TENANT) == (3, 3)
        found = await knowledge.search(TENANT, "giraffes topic7 paragraph", limit=100)
        assert [each.text for each in found if each.document_id == "a"] == ["Now it is about giraffes."]

    @pytest.mark.parametrize("change", [{"title": "Another"}, {"source": "elsewhere"}, {"text": "Other words."}])
    async def test_title_source_and_text_are_all_kept_up_to_date(self, knowledge: KnowledgeBase, change: dict[str, str]) -> None:
        values = {"document_id": "a", "title": "One", "text": "Some words.", "source": "here"}
        await knowledge.add(TENANT, [Document(**values)])
        assert (await knowledge.add(TENANT, [Document(**{**values, **change})])).changed == ("a",)
        (found,) = await knowledge.search(TENANT, "another one other some words")
        assert {"title": found.title, "text": found.text, "source": found.source}.items() >= change.items()

    async def test_of_several_documents_with_one_id_the_last_counts(self, knowledge: KnowledgeBase) -> None:
        given = [Document("a", "A", "apples"), PARCEL, Document("a", "A", "pears")]
        assert (await knowledge.add(TENANT, given)).added == ("a", "parcel.md")
        found = await knowledge.search(TENANT, "apples pears")
        assert found[0].text == "pears"
        assert "apples" not in {each.text for each in found}

    async def test_a_removed_document_is_gone_with_its_passages(self, knowledge: KnowledgeBase) -> None:
        await knowledge.add(TENANT, [*ALL, Document("long", "Topics", LONG)])
        assert await knowledge.remove(TENANT, ["long", "nowhere", "parcel.md", "long"]) == ("long", "parcel.md")
        assert await knowledge.count(TENANT) == (2, 2)
        found = await knowledge.search(TENANT, "parcel tracking topic3 paragraph", limit=100)
        assert {each.document_id for each in found} <= {PASSWORD.document_id, INVOICE.document_id}
        assert (await knowledge.add(TENANT, [PARCEL])).added == ("parcel.md",)

    async def test_tenants_never_see_one_another(self, knowledge: KnowledgeBase) -> None:
        secret = Document("parcel.md", "Parcels of the other", "The secret depot of parcels is in Narnia.")
        await knowledge.add(TENANT, ALL)
        await knowledge.add("other", [secret])
        mine = await knowledge.search(TENANT, "secret depot parcels Narnia", limit=100)
        assert mine
        assert "Narnia" not in str(mine)
        assert [each.text for each in await knowledge.search("other", "parcel tracking number", limit=100)] == [secret.text]
        assert [each.title for each in await knowledge.list("other")] == [secret.title]
        assert await knowledge.search("third", "parcel") == []
        assert (await knowledge.add("other", [PARCEL])).changed == ("parcel.md",)
        assert await knowledge.remove("other", [each.document_id for each in ALL]) == ("parcel.md",)
        assert (await knowledge.count(TENANT), await knowledge.count("other")) == ((3, 3), (0, 0))
        assert (await knowledge.search(TENANT, "track a parcel"))[0].text == PARCEL.text

    async def test_a_long_document_is_found_by_what_stands_late_in_it(self, knowledge: KnowledgeBase) -> None:
        await knowledge.add(TENANT, [Document("long", "Topics", LONG), *ALL])
        (found,) = await knowledge.search(TENANT, "topic6 paragraph", limit=1)
        assert found.document_id == "long"
        assert found.number > 1
        assert "topic6" in found.text

    async def test_the_limit_holds_and_has_bounds(self, knowledge: KnowledgeBase) -> None:
        await knowledge.add(TENANT, [Document(f"d{number}", "Parcel", f"parcel number {number}") for number in range(20)])
        assert len(await knowledge.search(TENANT, "parcel")) == 5
        assert len(await knowledge.search(TENANT, "parcel", limit=MAX_LIMIT)) == 20
        for limit in (0, -1, MAX_LIMIT + 1):
            with pytest.raises(ValueError, match="1 to 100 passages"):
                await knowledge.search(TENANT, "parcel", limit=limit)

    async def test_equal_scores_come_in_the_order_of_their_ids(self, knowledge: KnowledgeBase) -> None:
        await knowledge.add(TENANT, [Document(each, "Parcel", "The parcel is late.") for each in ("c", "a", "b")])
        assert [each.document_id for each in await knowledge.search(TENANT, "late parcel")] == ["a", "b", "c"]

    async def test_a_listing_goes_page_by_page_in_the_order_of_code_points(self, knowledge: KnowledgeBase) -> None:
        ids = ["ä", "b", "B", "a/1", "a-1", "a"]
        await knowledge.add(TENANT, [Document(each, f"Title {each}", "text") for each in ids])
        pages = [await knowledge.list(TENANT, limit=4), await knowledge.list(TENANT, after="a/1", limit=4)]
        assert [each.document_id for page in pages for each in page] == ["B", "a", "a-1", "a/1", "b", "ä"]
        assert [(each.title, each.source, each.passages) for each in pages[1]] == [("Title b", "b", 1), ("Title ä", "ä", 1)]
        assert all(each.updated_at.tzinfo is not None for page in pages for each in page)

    async def test_any_text_can_be_kept(self, knowledge: KnowledgeBase) -> None:
        odd = [
            Document("ids can have 'quotes', % and spaces", "Ünï: 100 % \\ {x}", "emoji 🙂, right to left שלום, $1 %s {schema}"),
            Document("signs", "…", "!!! ??? ---"),
            Document("one word", "w", "x" * 5_000),
        ]
        assert len((await knowledge.add(TENANT, odd)).added) == 3
        (found,) = await knowledge.search(TENANT, "emoji שלום", limit=1)
        assert found.text == odd[0].text
        assert len(await knowledge.list(TENANT)) == 3

    @pytest.mark.parametrize("tenant", ["", "a b", "a\x00", "x" * 101, "acme'; --"])
    async def test_a_tenant_id_that_breaks_the_contract_is_refused(self, knowledge: KnowledgeBase, tenant: str) -> None:
        for call in (
            knowledge.add(tenant, ALL),
            knowledge.search(tenant, "parcel"),
            knowledge.list(tenant),
            knowledge.count(tenant),
            knowledge.remove(tenant, ["a"]),
        ):
            with pytest.raises(DataError, match="tenant id"):
                await call

    async def test_writers_at_once_leave_each_document_whole(self, knowledge: KnowledgeBase) -> None:
        texts = [LONG.replace("topic", f"writer{writer}topic") for writer in range(4)]
        ids = [f"d{number}" for number in range(6)]

        async def write(writer: int) -> None:
            order = ids if writer % 2 else ids[::-1]
            await knowledge.add(TENANT, [Document(each, "Topics", texts[writer]) for each in order])

        await asyncio.gather(*(write(writer) for writer in range(4)))
        entries = await knowledge.list(TENANT)
        assert [each.document_id for each in entries] == ids
        assert (await knowledge.count(TENANT)).passages == sum(each.passages for each in entries)
        found = await knowledge.search(TENANT, "paragraph topic", limit=100)
        for each in ids:
            mine = [passage for passage in found if passage.document_id == each]
            writers = {writer for writer in range(4) for passage in mine if f"writer{writer}" in passage.text}
            assert len(writers) == 1, "passages of two writers in one document"
            assert len({passage.number for passage in mine}) == len(mine)
