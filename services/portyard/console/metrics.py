"""The testbed's numbers as Prometheus reads them, from the stores' own counters: a look costs a few short statements."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from portyard.commons.database.engine import StorageError
from portyard.commons.yard import Yard
from portyard.rooms import cards

MEDIA_TYPE = "text/plain"
CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
Samples = Iterable[tuple[Sequence[str], float]]


async def exposition(yard: Yard) -> bytes:
    """All of them in the text format."""
    registry = CollectorRegistry()
    registry.register(_Taken([*await _journal(yard), *await _mail(yard), *await _control(yard), _services(yard)]))
    return generate_latest(registry)


class _Taken(Collector):
    """What was read already: a look at the stores can wait, a collector can't."""

    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


async def _journal(yard: Yard) -> list[Metric]:
    tallies = await yard.journal.tallies()
    labels = ["room", "service"]
    opened = {(tally.room, tally.service): tally.events for tally in tallies if tally.kind == "opened"}
    closed = {(tally.room, tally.service): tally.events for tally in tallies if tally.kind == "closed"}
    running = [(key, max(0, count - closed.get(key, 0))) for key, count in opened.items()]
    events = [((tally.room, tally.service, tally.kind), tally.events) for tally in tallies]
    fired = [((tally.room, tally.service), tally.events) for tally in tallies if tally.kind == "fault"]
    return [
        _counter("portyard_sessions_opened", "Sessions that were ever opened.", labels, opened.items()),
        _gauge("portyard_sessions_open", "Sessions that were opened and not closed.", labels, running),
        _counter("portyard_events", "Events that were ever journalled.", [*labels, "kind"], events),
        _counter("portyard_rules_fired", "Rules that ever fired, magic words too.", labels, fired),
        _gauge(
            "portyard_journal_queue",
            "Events of this process that wait to be written.",
            [],
            [((), yard.journal.waiting)],
        ),
    ]


async def _mail(yard: Yard) -> list[Metric]:
    sql = "SELECT COUNT(*), COALESCE(SUM(messages), 0), COALESCE(SUM(unseen), 0), COALESCE(SUM(size), 0) FROM mailboxes"
    ((boxes, messages, unseen, octets),) = await yard.mail_database.read(sql)
    try:
        queue = await yard.mail_database.read("SELECT hop, state, COUNT(*) FROM spool_recipients GROUP BY hop, state")
    except StorageError:  # no hop has ever run
        queue = []
    waiting = [((hop, state), count) for hop, state, count in queue if state in ("queued", "failed")]
    return [
        _gauge("portyard_mailboxes", "Mailboxes.", [], [((), boxes)]),
        _gauge("portyard_messages", "Messages that are stored.", [], [((), messages)]),
        _gauge("portyard_messages_unseen", "Those that nobody has read.", [], [((), unseen)]),
        _gauge("portyard_messages_octets", "Octets of the messages.", [], [((), octets)]),
        _gauge("portyard_queue", "Recipients that a hop has not got rid of.", ["hop", "state"], waiting),
    ]


async def _control(yard: Yard) -> list[Metric]:
    database = yard.control_database
    ((sandboxes, accounts, rules, hits),) = await database.read(
        "SELECT (SELECT COUNT(*) FROM sandboxes), (SELECT COUNT(*) FROM accounts), (SELECT COUNT(*) FROM rules), "
        "(SELECT COALESCE(SUM(hits), 0) FROM rules)"
    )
    return [
        _gauge("portyard_sandboxes", "Sandboxes.", [], [((), sandboxes)]),
        _gauge("portyard_accounts", "Accounts.", [], [((), accounts)]),
        _gauge("portyard_rules", "Rules in force.", [], [((), rules)]),
        _gauge("portyard_rule_hits", "Hits of the rules in force.", [], [((), hits)]),
    ]


def _services(yard: Yard) -> Metric:
    names = [service.name for card in cards() for service in card.services]
    up = [((name,), int(yard.directory.alive(name))) for name in names]
    return _gauge("portyard_service_up", "Whether a service is up.", ["service"], up)


def _gauge(name: str, says: str, labels: list[str], samples: Samples) -> Metric:
    family = GaugeMetricFamily(name, says, labels=labels)
    for values, number in samples:
        family.add_metric(values, number)
    return family


def _counter(name: str, says: str, labels: list[str], samples: Samples) -> Metric:
    family = CounterMetricFamily(name, says, labels=labels)
    for values, number in samples:
        family.add_metric(values, number)
    return family
