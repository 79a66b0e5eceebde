"""The knowledge base in memory: the suite of the port."""

import pytest

from infra.knowledge.local_embedding import LocalEmbedding
from infra.knowledge.memory import InMemoryKnowledgeBase
from tests.conformance.knowledge import KnowledgeSuite


@pytest.fixture
def knowledge() -> InMemoryKnowledgeBase:
    return InMemoryKnowledgeBase(LocalEmbedding())


class TestInMemoryKnowledgeBase(KnowledgeSuite):
    """The whole suite."""
