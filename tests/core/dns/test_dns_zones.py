from __future__ import annotations

from portyard.dns.core.model import Address, Mx, Name, Soa, Srv, Target, Txt, Type
from portyard.dns.core.presentation import name_of
from portyard.dns.core.zones import Place, UserRecord, foreign_zone, own_zone, reverse_name, reverse_records, within

HOME = name_of("portyard.test")
FOUR, SIX = b"\x7f\0\0\1", bytes(15) + b"\1"
PLACES = (Place("mta", (FOUR, SIX), (("smtp", 25),)), Place("imap", (FOUR,), (("imap", 143),)))


def kinds(zone_node: object) -> set[int]:
    assert isinstance(zone_node, dict)
    return set(zone_node)


def test_a_service_has_each_of_its_addresses() -> None:
    zone = own_zone(HOME, PLACES, (), 1)
    node = zone.node(name_of("mta.portyard.test"))
    assert node is not None
    assert kinds(node) == {Type.A, Type.AAAA}
    assert node[Type.AAAA][0].data == Address(SIX)
    assert kinds(zone.node(name_of("imap.portyard.test"))) == {Type.A}
    assert kinds(zone.node(HOME)) == {Type.SOA, Type.NS, Type.MX, Type.TXT, Type.A, Type.AAAA}


def test_only_services_that_are_up_are_announced() -> None:
    zone = own_zone(HOME, PLACES, (), 1)
    node = zone.node(name_of("_imap._tcp.portyard.test"))
    assert node is not None
    assert node[Type.SRV][0].data == Srv(0, 1, 143, name_of("imap.portyard.test"))
    assert zone.node(name_of("_imaps._tcp.portyard.test")) is None
    assert zone.node(name_of("_smtp._tcp.portyard.test")) is None
    assert zone.node(name_of("_tcp.portyard.test")) == {}


def test_the_exchange_is_pending_until_it_is_up() -> None:
    assert own_zone(HOME, PLACES, (), 1).pending == frozenset()
    assert own_zone(HOME, PLACES[1:], (), 1).pending == {name_of("mta.portyard.test")}
    written = [UserRecord(name_of("mta.portyard.test"), Type.A, 5, Address(FOUR))]
    assert own_zone(HOME, PLACES[1:], written, 1).pending == frozenset()


def test_a_written_alias_stands_alone() -> None:
    written = [UserRecord(name_of("imap.portyard.test"), Type.CNAME, 5, Target(HOME))]
    assert kinds(own_zone(HOME, PLACES, written, 1).node(name_of("imap.portyard.test"))) == {Type.CNAME}


def test_records_outside_the_zone_are_not_in_it() -> None:
    written = [UserRecord(name_of("example.com"), Type.TXT, 5, Txt((b"x",)))]
    assert own_zone(HOME, (), written, 1).node(name_of("example.com")) is None


def test_serial_and_negative_ttl() -> None:
    soa = own_zone(HOME, (), (), (1 << 32) + 5).soa.data
    assert isinstance(soa, Soa)
    assert (soa.serial, soa.minimum) == (5, 0)


def test_foreign_names_have_an_exchange_and_nothing_else() -> None:
    zone = foreign_zone(HOME, (), 1, mail=True)
    node = zone.node(name_of("a.b.example"))
    assert node is not None
    assert kinds(node) == {Type.MX}
    assert node[Type.MX][0].data == Mx(10, name_of("mta.portyard.test"))
    assert kinds(zone.node(())) == {Type.SOA, Type.NS}
    assert foreign_zone(HOME, (), 1, mail=False).node(name_of("a.b.example")) is None


def test_reverse_names() -> None:
    assert reverse_name(b"\x7f\0\0\1") == name_of("1.0.0.127.in-addr.arpa")
    assert reverse_name(SIX) == (b"1", *(b"0",) * 31, b"ip6", b"arpa")
    found = {record.name: record.data for record in reverse_records([Place("mta", (b"\xac\x14\0\4",))], HOME)}
    assert found[name_of("4.0.20.172.in-addr.arpa")] == Target(name_of("mta.portyard.test"))


def test_within() -> None:
    below: Name = name_of("a.PORTYARD.test")
    assert within(below, HOME)
    assert within(HOME, HOME)
    assert within(HOME, ())
    assert not within(name_of("test"), HOME)
    assert not within(name_of("notportyard.test"), HOME)
