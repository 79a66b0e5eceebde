"""A Kafka record made of what the CLI would publish."""

from infra.kafka.producer import OutgoingRecord


class Record:
    """What the runtime reads of a record."""

    partition = 0
    offset = 0
    timestamp = 1_767_225_600_000

    def __init__(self, outgoing: OutgoingRecord) -> None:
        self.topic, self.key, self.value, self.headers, _ = outgoing
