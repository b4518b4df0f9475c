"""The load driver of one room: a process whose connections stay, in teams, and which runs a slice of work when it is told to.

It reads one order a line (JSON) from its standard input and answers each with a line:

    {"do": "open", "team": "on", "kind": "asking", "job": {…}}      →  {}
    {"do": "work", "team": "on", "cycles": 500}                     →  {"cycles": 500, "seconds": 0.1}

and {"trouble": "…"} where something isn't as it should be.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from dataclasses import asdict
from types import TracebackType
from typing import Any, Self

from benchmarks.asking import PATIENCE_S, Asking, AskingError, Team
from benchmarks.processes import ROOT, BenchmarkError, clean_environment
from benchmarks.shells import Shells, ShellTeam
from benchmarks.together import Together, TogetherTeam, Worker

Work = Asking | Shells | Together


class Driver:
    """The driver as who measures has it: starts the process, gives orders, and ends it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.driver"],
            cwd=ROOT,
            env=clean_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.pid = self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._process.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()

    def open(self, team: str, job: Work) -> None:
        """Have a team connect.

        Raises:
            BenchmarkError: It couldn't.
        """
        self._order({"do": "open", "team": team, **_told(job)})

    def work(self, team: str, cycles: int = 0, seconds: float = 0.0) -> tuple[int, float]:
        """Have a team run a slice: cycles and seconds, from the first command until the last answer.

        Raises:
            BenchmarkError: An answer wasn't what it should be.
        """
        asked = self._order({"do": "work", "team": team, "cycles": cycles, "seconds": seconds})
        if not asked["cycles"]:
            raise BenchmarkError("nothing was answered")
        return asked["cycles"], asked["seconds"]

    def _order(self, order: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        answer: dict[str, Any] = json.loads(line) if line else {"trouble": "the load driver stopped"}
        if answer.get("trouble"):
            raise BenchmarkError(f"{order['team']}: {answer['trouble']}")
        return answer


def _told(job: Work) -> dict[str, Any]:
    """A job as JSON has it."""
    if isinstance(job, Together):
        return {"kind": "together", "job": {"shares": [(_told(each), share) for each, share in job.shares]}}
    return {"kind": "shells" if isinstance(job, Shells) else "asking", "job": asdict(job)}


def team_of(kind: str, fields: dict[str, Any]) -> Worker:
    """A team for a job that came as JSON."""
    if kind == "together":
        return TogetherTeam([(team_of(each["kind"], each["job"]), share) for each, share in fields["shares"]])
    if kind == "shells":
        return ShellTeam(Shells(**{**fields, "login": tuple(fields["login"])}))
    plans = {name: tuple(tuple(step) for step in fields[name]) for name in ("prelude", "cycle")}
    return Team(Asking(**{**fields, **plans}))


async def obey(orders: asyncio.StreamReader) -> None:
    """Answer every order until there are no more."""
    teams: dict[str, Worker] = {}
    while line := await orders.readline():
        order = json.loads(line)
        answer: dict[str, Any] = {}
        try:
            if order["do"] == "open":
                teams[order["team"]] = team_of(order["kind"], order["job"])
                await teams[order["team"]].open()
            else:
                answer = asdict(await teams[order["team"]].work(order["cycles"], order["seconds"]))
        except (AskingError, OSError, TimeoutError) as error:
            answer = {"trouble": f"{error}" or type(error).__name__}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


async def _main() -> None:
    orders = asyncio.StreamReader(limit=1 << 20)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    await obey(orders)


if __name__ == "__main__":
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_main())
