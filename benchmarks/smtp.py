"""Messages a second: ours and the peers, in turn, round after round, so that drift hits all alike."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from benchmarks.figures import Outcome, Table, median, median_ratio, shown, spread
from benchmarks.load import PATIENCE_S, Job, Result
from benchmarks.peers import Missing, peers
from benchmarks.plan import Plan
from benchmarks.processes import ROOT, BenchmarkError, Program, Testbed, clean_environment

BASELINE = "aiosmtpd alone"
READER = ("bob@portyard.test", "bob-secret")
OURS = ("MTA, whole chain behind", "MDA by LMTP into the store", "MSA with AUTH, whole chain behind")
MODES = ("kept connections", "new connections", "kept, pipelined")
Tell = Callable[[str], None]


@dataclass(slots=True)
class Target:
    """A server under load.

    Attributes:
        name: What the table calls it.
        version: Of it.
        program: It.
        job: How it is spoken to.
        trouble: Why it was given up.
    """

    name: str
    version: str
    program: Program
    job: Job
    trouble: str = ""


@dataclass(slots=True)
class Series:
    """One server's rounds in one mode.

    Attributes:
        rates: Accepted messages a second.
        through: Messages a second until the last was readable by IMAP.
        lags: Milliseconds from the last acceptance until it was readable.
        cpu: Microseconds of processor time that the server used for a message.
        client: Share of a processor that the load generator used.
    """

    rates: list[float] = field(default_factory=list)
    through: list[float] = field(default_factory=list)
    lags: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    client: list[float] = field(default_factory=list)

    def add(self, result: Result, cpu_s: float) -> None:
        """Note a round."""
        self.rates.append(result.messages / (result.ended - result.began))
        self.cpu.append(cpu_s / result.messages * 1e6)
        self.client.append(result.cpu)
        if result.readable:
            self.through.append(result.messages / (result.readable - result.began))
            self.lags.append((result.readable - result.ended) * 1000)


def drive(job: Job) -> Result:
    """Run the load generator.

    Raises:
        BenchmarkError: The server didn't do what it should.
    """
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.load"],
        cwd=ROOT,
        env=clean_environment(),
        input=json.dumps(asdict(job)),
        capture_output=True,
        text=True,
        timeout=job.seconds + PATIENCE_S + 10,
        check=False,
    )
    if done.returncode:
        raise BenchmarkError((done.stderr.strip() or "the load generator failed").splitlines()[-1])
    result = Result(**json.loads(done.stdout))
    if result.trouble or not result.messages:
        raise BenchmarkError(result.trouble or "it took no message")
    return result


def measure(plan: Plan, folder: Path, tell: Tell) -> Outcome:
    """All of it."""
    tell("messages a second: installing peers")
    with contextlib.ExitStack() as running:
        targets, missing = _start(folder, running, plan)
        for target in targets:
            _once(target, replace(target.job, seconds=0.0, messages=plan.warm_messages))
        found = {mode: _rounds(plan, mode, targets, tell) for mode in MODES}
    versions = {target.name: target.version for target in targets if target.version}
    ceiling = _ceiling(found[MODES[0]])
    missing += [(target.name, f"given up: {target.trouble}") for target in targets if target.trouble]
    tables = (
        _rates(found, versions, missing, ceiling),
        *(_details(mode, series) for mode, series in found.items()),
        _chain(found),
    )
    data = {mode: {name: asdict(series) for name, series in each.items()} for mode, each in found.items()}
    return Outcome(tables, {"rounds": data, "versions": versions, "not installed": dict(missing)})


def _start(folder: Path, running: contextlib.ExitStack, plan: Plan) -> tuple[list[Target], list[tuple[str, str]]]:
    """Ours and every peer; those that can't be had with the reason."""
    testbed = Testbed(folder, str(folder / "state"))
    running.callback(testbed.stop)
    testbed.wait_open()
    base = Job(port=0, recipient=READER[0], connections=plan.connections)
    chain = replace(base, reader_port=testbed.port("imap"), reader_login=READER)
    targets = [
        Target(OURS[0], "", testbed, replace(chain, port=testbed.port("smtp"))),
        Target(OURS[1], "", testbed, replace(chain, port=testbed.port("lmtp"), lmtp=True)),
        Target(
            OURS[2],
            "",
            testbed,
            replace(chain, port=testbed.port("submission"), login=("alice@portyard.test", "alice-secret")),
        ),
    ]
    missing: list[tuple[str, str]] = []
    for peer in peers():
        if isinstance(peer, Missing):
            missing.append((peer.name, f"not installed: {peer.why}"))
            continue
        try:
            program, port = peer.start(folder)
        except BenchmarkError as error:
            missing.append((peer.name, f"doesn't start: {error}"))
            continue
        running.callback(program.stop)
        targets.append(Target(peer.name, peer.version, program, replace(base, port=port, recipient=peer.recipient)))
    return targets, missing


def _rounds(plan: Plan, mode: str, targets: Sequence[Target], tell: Tell) -> dict[str, Series]:
    found: dict[str, Series] = {target.name: Series() for target in targets}
    for number in range(plan.rounds):
        for target in targets:
            if target.trouble:
                continue
            tell(f"messages a second, {mode}: round {number + 1} of {plan.rounds}, {target.name}")
            job = replace(
                target.job, seconds=plan.round_s, keep=mode != "new connections", pipelining=mode == "kept, pipelined"
            )
            before = target.program.cpu_s()
            result = _once(target, job)
            if result is not None:
                found[target.name].add(result, target.program.cpu_s() - before)
    return found


def _once(target: Target, job: Job) -> Result | None:
    try:
        return drive(job)
    except (BenchmarkError, subprocess.TimeoutExpired) as error:
        target.trouble = str(error)
        return None


def _ceiling(kept: dict[str, Series]) -> str:
    """What says that the generator wasn't what limited the figures."""
    fastest = max(kept, key=lambda name: median(kept[name].rates or [0.0]))
    series = kept[fastest]
    return (
        f"The generator drove {fastest} to {shown(median(series.rates))} messages a second, using "
        f"{shown(median(series.client) * 100)} % of a processor: no slower figure is its own limit."
    )


def _rates(
    found: dict[str, dict[str, Series]], versions: dict[str, str], missing: list[tuple[str, str]], ceiling: str
) -> Table:
    rows: list[tuple[str, ...]] = []
    for name in found[MODES[0]]:
        cells = [f"Portyard {name}" if name in OURS else f"{name} ({versions[name]})"]
        cells += [f"{shown(median_ratio(found[mode][name].rates, found[mode][BASELINE].rates), 2)} ×" for mode in MODES]
        cells += [shown(median(found[mode][name].rates)) for mode in MODES]
        rows.append(tuple(cells))
    ratios = [f"{mode}, ratio" for mode in MODES]
    return Table(
        f"Messages a second, 4 KiB, 8 at once; {BASELINE} is 1.00",
        ("server", *ratios, *(f"{mode}, msg/s" for mode in MODES)),
        (*rows, *missing),
        "The peers drop the message (aiosmtpd, smtp-sink) or keep it in memory or a file; ours has committed it to disk before "
        f"it answers, and the chain delivers meanwhile on the same processors. {ceiling}",
    )


def _details(mode: str, each: dict[str, Series]) -> Table:
    base = median(each[BASELINE].cpu)
    rows = [
        (
            name,
            f"{shown(median(s.cpu) / base, 1)} ×",
            shown(median(s.cpu)),
            shown(median(s.rates)),
            spread(s.rates),
            f"{shown(median(s.client) * 100)} %",
        )
        for name, s in each.items()
    ]
    columns = ("server", "CPU, ratio", "CPU µs/msg", "msg/s, median", "lowest … highest", "generator's CPU")
    note = "Processor time of a message is the steadier measure on a busy machine; ours includes the hops behind and the store."
    return Table(f"In detail: {mode}", columns, tuple(rows), note)


def _chain(found: dict[str, dict[str, Series]]) -> Table:
    rows = []
    for mode, each in found.items():
        for name in OURS:
            s = each[name]
            ratio = median_ratio(s.through, s.rates)
            rows.append((f"{name}, {mode}", f"{shown(ratio, 2)} ×", shown(median(s.through)), shown(median(s.lags))))
    columns = ("way in", "delivered ÷ accepted", "delivered msg/s", "last readable after ms")
    return Table("The whole way: until the last message was read by IMAP", columns, tuple(rows))
