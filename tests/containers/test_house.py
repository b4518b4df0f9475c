"""How the containers are run: what the engine says of them, not what compose.yaml says."""

from __future__ import annotations

import json
import socket

import pytest

from tests.support.containers import IMAGE, Containers, docker
from tests.support.control import Console

SERVICES = ("dns", "mda", "mta", "msa", "pop3", "imap", "ftp", "ssh", "http", "websocket", "console")
MEGABYTE = 1_000_000
LIMIT_S = 60.0


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_is_healthy_and_confined(yard: Containers, service: str) -> None:
    described = yard.inspect(service)
    host = described["HostConfig"]
    assert described["State"]["Health"]["Status"] == "healthy"
    assert described["Config"]["User"] == "10000:10000"
    assert host["ReadonlyRootfs"] is True
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert host["Privileged"] is False
    assert any(option.startswith("no-new-privileges") for option in host["SecurityOpt"])


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_is_published_on_loopback_only(yard: Containers, service: str) -> None:
    bindings = yard.inspect(service)["HostConfig"]["PortBindings"]
    assert bindings
    assert {binding["HostIp"] for bound in bindings.values() for binding in bound} == {"127.0.0.1"}


def test_the_processes_run_as_the_images_user_without_capabilities(yard: Containers) -> None:
    status = yard.execute("mta", "cat", "/proc/1/status")
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert fields["Uid"].split() == ["10000"] * 4
    assert int(fields["CapEff"], 16) == 0
    assert int(fields["CapBnd"], 16) == 0


def test_the_root_is_not_writable(yard: Containers) -> None:
    with pytest.raises(RuntimeError, match="Read-only file system"):
        yard.execute("http", "touch", "/opt/portyard/written")


def test_every_tcp_port_accepts(yard: Containers) -> None:
    for name, port in yard.ports.items():
        if name != "dns-udp":
            socket.create_connection((yard.host, port), timeout=LIMIT_S).close()


def test_what_a_service_noted_is_told_at_once(yard: Containers) -> None:
    console = Console(yard.ports["console"])
    with socket.create_connection(("127.0.0.1", yard.ports["pop3"]), LIMIT_S) as client, client.makefile("rb") as heard:
        heard.readline()
        for count in range(1, 9):
            client.sendall(b"XTOLD %d\r\n" % count)
            assert heard.readline().startswith(b"-ERR")
            # Another's connection that a published port hands on late may be newer than ours.
            newest = console.get("sessions", room="pop3", limit=5)
            told = [str(console.get(f"sessions/{session['id']}")["events"]) for session in newest]
            assert any(f"XTOLD {count}" in each for each in told), told


def test_a_killed_service_comes_back_to_the_same_authority(yard: Containers) -> None:
    digests = ("sh", "-c", "find /var/lib/portyard/tls -type f | sort | xargs sha256sum")
    before = yard.execute("pop3", *digests)
    assert ".pem" in before
    yard.kill("pop3")
    yard.start("pop3")
    assert yard.execute("pop3", *digests) == before


@pytest.mark.usefixtures("yard")
def test_the_image_is_small_and_has_no_tools() -> None:
    (described,) = json.loads(docker("image", "inspect", IMAGE))
    assert described["Size"] < 250 * MEGABYTE
    assert described["Config"]["User"] == "10000:10000"
    assert described["Config"]["Entrypoint"] == ["portyard"]
    assert described["Config"]["Cmd"] == ["serve", "all"]
    found = docker("run", "--rm", "--entrypoint", "sh", IMAGE, "-c", "command -v pip pip3 gcc cc make uv || true")
    assert found == ""


@pytest.mark.usefixtures("yard")
def test_the_image_tells_nothing_of_the_machine_that_built_it() -> None:
    history = docker("history", "--no-trunc", "--format", "{{.CreatedBy}}", IMAGE)
    environment = json.loads(docker("image", "inspect", "--format", "{{json .Config.Env}}", IMAGE))
    assert not any(word in line.lower() for line in environment for word in ("proxy", "index_url", "cert"))
    assert "proxy=" not in history.lower()
    secrets = docker("run", "--rm", "--entrypoint", "sh", IMAGE, "-c", "ls -A /run/secrets 2>/dev/null || true")
    assert secrets == ""
