"""Which of many rules an event may meet, asked field by field; and what of it one session still has to ask. Pure."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence

from portyard.commons.scenario.compiled import CompiledRule
from portyard.commons.scenario.memory import Memory
from portyard.commons.scenario.model import Scalar
from portyard.commons.scenario.patterns import Range
from portyard.commons.scenario.tables import Table

MAGIC = "+"  # without it no text holds magic words
_EVENTS = 512  # of alike sessions and one verb, of which it is known whether any rule means them
_FEW = 256  # rules, of which a table of their own is soon made
_TABLES = 64  # such tables
_GLANCES = 64  # paths, or whatever else stays, of which it is known apart what was seen of their events
_TURNS = (
    8  # times that another field is put first, because of the one before it somebody was meant and nothing came of that
)
_LONGEST_KNOWN = 512  # characters of a value of such an event: a header may hold a megabyte


class Index:
    """Rules, each a bit, and for each field that they ask for a table of who asks for what.

    Args:
        rules: They, in their order.

    Attributes:
        everybody: The bits of all.
        owners: By field, the bits of those who ask for it; the one that most ask for comes first.
        numbers: Fields that are asked for as numbers.
    """

    __slots__ = ("_few", "_rules", "_tables", "everybody", "numbers", "owners")

    def __init__(self, rules: Sequence[CompiledRule]) -> None:
        self._rules = rules
        self._tables: dict[str, Table] = {}
        self._few: dict[tuple[str, int], Table] = {}
        self.everybody = (1 << len(rules)) - 1
        self.numbers: set[str] = set()
        owners: dict[str, int] = {}
        for place, rule in enumerate(rules):
            for name, patterns in rule.conditions.items():
                owners[name] = owners.get(name, 0) | 1 << place
                if any(isinstance(pattern, Range) for pattern in patterns):
                    self.numbers.add(name)
        self.owners = dict(sorted(owners.items(), key=lambda item: -item[1].bit_count()))

    def table(self, name: str) -> Table:
        """A field's table; made when it is first wanted."""
        table = self._tables.get(name)
        if table is None:
            table = self._tables[name] = self._make(name, self.everybody)
        return table

    def table_of(self, name: str, bits: int) -> Table:
        """A field's table that tells of these rules, and of others where they are many; of fewer fewer values are meant."""
        if bits.bit_count() > _FEW or not self.owners[name] & ~bits:
            return self.table(name)
        table = self._few.get((name, bits))
        if table is None:
            if len(self._few) >= _TABLES:
                self._few.clear()
            table = self._few[name, bits] = self._make(name, bits)
        return table

    def _make(self, name: str, bits: int) -> Table:
        asking = self.each(self.owners.get(name, 0) & bits)
        return Table((bit, rule.conditions[name]) for rule, bit in asking)

    def left(self, values: Mapping[str, Scalar], names: Iterable[str] | None = None) -> int:
        """The bits of the rules that may mean some values.

        Args:
            values: The fields'.
            names: The fields that alone are looked at; all when None.
        """
        left = self.everybody
        for name in self.owners if names is None else names:
            owners = self.owners.get(name, 0)
            if left & owners:
                value = values.get(name)
                left &= ~owners if value is None else ~owners | self.table(name).find(value)
                if not left:
                    break
        return left

    def each(self, bits: int) -> Iterator[tuple[CompiledRule, int]]:
        """The rules with these bits."""
        while bits:
            lowest = bits & -bits
            yield self._rules[lowest.bit_length() - 1], lowest
            bits ^= lowest


class Narrowed:
    """What is left to ask about the events of one session.

    Mostly no rule means a field's value, and then none that asks for this field means the event. So that no bits have to be joined, it is
    known beforehand with which fields every rule is ruled out.

    Args:
        index: Of the rules.
        left: The bits of those that may still be meant.
        known: The fields that stay as they are.
        magic: The field in which magic words are looked for, or None.
    """

    __slots__ = ("_always", "_enough", "_glances", "_index", "_known", "_left", "_magic", "_names", "_stays", "_turns")

    def __init__(self, index: Index, left: int, known: Collection[str], magic: str | None) -> None:
        self._index = index
        self._left = left
        self._stays = known
        self._magic = magic
        self._names = _covering(index, left, known)
        self._known: Memory[tuple[Scalar | None, ...], bool] = Memory(_EVENTS)
        self._glances: dict[Hashable, set[Hashable]] = {}
        self._turns = _TURNS
        self._enough: list[tuple[str, Table]] = []
        self._always = False  # somebody asks for nothing more
        self._begin_with(self._names)

    def _begin_with(self, names: Iterable[str]) -> None:
        """Take fields until every rule asks for one of them: where none of their values is meant, no rule means the event."""
        index, left, enough = self._index, self._left, []
        alone = left == index.everybody  # else others like this one would need tables of their own, too
        for name in names:
            owners = index.owners[name]
            if left & owners:
                enough.append((name, index.table_of(name, left & owners) if alone else index.table(name)))
                left &= ~owners
        self._always = left != 0
        self._enough = [] if self._always else enough

    def may_mean(self, fields: Mapping[str, Scalar]) -> bool:
        """Whether a rule means an event with these fields, or magic may."""
        if self._magic is not None and MAGIC in str(fields.get(self._magic, "")):
            return True
        for name, table in self._enough:
            value = fields.get(name)
            if value is not None and value != table.silent and not table.is_silent(value):
                return self._weigh(fields, name)
        return self._always

    def glance(self, text: str, stays: Hashable) -> tuple[Table | None, set[Hashable], bool]:
        """What sessions that are alike know together of events that mostly differ in one text; see `glance.Glance`.

        Args:
            text: The field's name.
            stays: Other fields, as they are in all these events.

        Returns:
            The text's table, where anybody asks for it; what else of such events was seen, none of which was meant; and whether magic,
            which no table knows, is looked for in the text.
        """
        table = self._index.table(text) if text in self._index.owners else None
        known = self._glances.get((text, stays))
        if known is None:
            if len(self._glances) >= _GLANCES:
                self._glances.clear()
            known = self._glances[text, stays] = set()
        return table, known, text == self._magic

    def _weigh(self, fields: Mapping[str, Scalar], meant: str) -> bool:
        """Look more closely, since somebody may mean this field's value."""
        event = tuple(map(fields.get, self._names))  # a field's values are of one kind, so that 1 and True never meet
        known = self._known.get(event)
        if known is None:
            known = self._look(event, fields, meant)
            if not any(isinstance(value, str) and len(value) > _LONGEST_KNOWN for value in event):
                self._known.put(event, known)
        return known

    def _look(self, event: Iterable[Scalar | None], fields: Mapping[str, Scalar], meant: str) -> bool:
        """Ask every field; first those that nobody means, since that takes least."""
        left, loud = self._left, []
        for name, value in zip(self._names, event, strict=True):
            table, owners = self._index.table(name), self._index.owners[name]
            if value is not None and (name == meant or (value != table.silent and not table.is_silent(value))):
                loud.append((name, value, owners))
                continue
            left &= ~owners
            if not left:
                self._put_last([name for name, _, _ in loud])
                return False
        for name, value, owners in loud:
            if left & owners:
                left &= ~owners | self._index.table(name).find(value)
        if any(rule.matches(fields, self._stays) for rule, _ in self._index.each(left)):
            return True
        self._put_last([name for name, _, _ in loud])
        return False

    def _put_last(self, loud: Collection[str]) -> None:
        """It was known without these fields, or with few of the rules that ask for them: from now on others are asked first.

        A few times at most.
        """
        if self._turns:
            self._turns -= 1
            self._begin_with([*(name for name in self._names if name not in loud), *loud])


def _covering(index: Index, left: int, known: Collection[str]) -> list[str]:
    """The fields that rules which are left ask for; each next the one that most rules ask for which ask for none before it."""
    # Of numbers, many are meant by somebody: `size > 1000` takes them all.
    asked = [(name, owners & left) for name, owners in index.owners.items() if name not in known and owners & left]
    names = []
    while asked:
        best = max(asked, key=lambda item: ((item[1] & left).bit_count(), item[0] not in index.numbers))
        asked.remove(best)
        names.append(best[0])
        left &= ~best[1]
    return names
