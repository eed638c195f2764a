"""What do attached edits cost a server? `python -m tools.bench.serving [--edits 0 1 1000 10000]`

`okedit serve` runs once for each number of edits, each a process of its own with okedit-mini. Then all are
asked the same questions in turn, by one client, as streams; no edit answers any of them. Told are tokens a
second behind the first token, and how long that takes, both beside the server without edits, round by round,
so that what else the machine does falls on all alike; and the same by what the server's threads worked, which
counts nothing of others' work (Linux alone tells it).

The edits: the facts of sets/everyday.yaml, held as `okedit edit` holds them, and copies of them whose keys
are drawn anew with the spread of the real ones. The questions: near questions of the same set, which the
classifier judges, and requests for long answers.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import httpx
import torch
import yaml

import okedit_cli
from okedit_cli.bundle import Bundle
from tools.bench.ablation import held
from tools.bench.sets import SETS, questions

LONG = (
    "Write a story about a dragon and a lighthouse.",
    "Explain how bread is baked, step by step.",
    "Tell me about the history of the bicycle.",
    "Describe a walk through a forest in autumn.",
)
TOKENS = 64


def many(bundle: Bundle, count: int, seed: int = 0) -> Bundle:
    """The bundle's edits and copies of them with drawn keys, `count` in all; fewer than it has: the first."""
    book, by = bundle.codebook, torch.Generator().manual_seed(seed)
    size = len(book)
    copies = -(-count // size)
    rows = torch.arange(count) % size
    changed = {}
    for channel in ("picture", "question"):
        keys, owner = getattr(book, f"{channel}_keys"), getattr(book, f"{channel}_owner")
        drawn = [keys]
        for _ in range(copies - 1 if len(keys) else 0):
            spread = torch.randn(keys.shape, generator=by) * keys.float().std(0) + keys.float().mean(0)
            drawn.append(spread.to(keys.dtype))
        owners = torch.cat([owner + size * copy for copy in range(len(drawn))])
        kept = owners < count
        changed |= {f"{channel}_keys": torch.cat(drawn)[kept], f"{channel}_owner": owners[kept]}
        changed[f"{channel}_radius"] = getattr(book, f"{channel}_radius")[rows]
    for name in ("value_down", "value_up", "value_bias", "value_layer"):
        value = getattr(book, name)
        changed[name] = value[rows] if len(value) == size else value
    facts = [dict(bundle.manifest.facts[i % size]) for i in range(count)]
    for number, fact in enumerate(facts):
        fact["id"] = f"edit-{number}"
    return Bundle(replace(bundle.manifest, facts=facts, dropped=[]), replace(book, **changed), bundle.canary)


@dataclass(frozen=True)
class Asked:
    """One answer: seconds until its first token, tokens behind that, and the seconds that these took; of both
    the seconds in which the server's threads worked.
    """

    first: float
    tokens: int
    seconds: float
    worked_first: float
    worked: float

    @property
    def speed(self) -> float:
        """Tokens a second behind the first."""
        return self.tokens / self.seconds

    @property
    def worked_speed(self) -> float:
        """The same of a server that has a core to itself."""
        return self.tokens / self.worked if self.worked else float("nan")


@dataclass(frozen=True)
class Running:
    """A server: a client of it, and its process."""

    http: httpx.Client
    pid: int

    def worked(self) -> float:
        """Seconds in which its threads have run; 0 where that is not told."""
        files = Path(f"/proc/{self.pid}/task").glob("*/schedstat")
        return sum(int(file.read_text().split()[0]) for file in files) / 1e9


def ask(server: Running, question: str, tokens: int) -> Asked:
    """Ask as a stream; AssertionError where an edit answers."""
    body = {"messages": [{"role": "user", "content": question}], "max_tokens": tokens, "stream": True,
            "stream_options": {"include_usage": True}}  # fmt: skip
    began, first, last, made = time.perf_counter(), 0.0, 0.0, 0
    worked = [server.worked()] * 2
    with server.http.stream("POST", "/v1/chat/completions", json=body) as answer:
        assert "x-okedit-edit" not in answer.headers, f"an edit answers {question!r}"
        for line in answer.iter_lines():
            if not line.startswith("data: {"):
                continue
            event = json.loads(line[6:])
            if event["choices"] and event["choices"][0]["delta"].get("content"):
                last = time.perf_counter()
                if not first:
                    first, worked[1] = last, server.worked()
            made = (event.get("usage") or {}).get("completion_tokens", made)
    rest = server.worked() - worked[1]
    return Asked(first - began, made - 1, last - first, worked[1] - worked[0], rest)


@contextlib.contextmanager
def served(bundle: Path | None) -> Iterator[Running]:
    """A client of `okedit serve` with a bundle or none."""
    command = [sys.executable, "-c", "from okedit_cli.cli import main; main()", "serve", "--port", "0"]
    command += [] if bundle is None else ["-b", str(bundle)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        said = []
        for line in process.stderr:
            said.append(line)
            if found := re.search(r"answering at (\S+),", line):
                break
        else:
            sys.exit("".join(said))
        with httpx.Client(base_url=found[1], timeout=600) as http:
            yield Running(http, process.pid)
    finally:
        process.terminate()
        process.wait()


def main(words: Sequence[str] | None = None) -> None:
    """Print a row for each number of edits."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.serving", description=__doc__.split("\n")[0])
    parser.add_argument("--edits", type=int, nargs="+", default=[0, 1, 1000, 10_000])
    parser.add_argument("--rounds", type=int, default=20)
    given = parser.parse_args(words)
    rows = yaml.safe_load((SETS / "everyday.yaml").read_text(encoding="utf-8"))["facts"]
    near = [question for row in rows for column, question in questions(row) if column == "near"]
    with tempfile.TemporaryDirectory() as scratch, contextlib.ExitStack() as stack:
        folder = Path(scratch)
        bundle = _held(folder, rows)
        files = {count: folder / f"edits-{count}.safetensors" for count in given.edits if count}
        for count, file in files.items():
            many(bundle, count).save(file)
        servers = {count: stack.enter_context(served(files.get(count))) for count in given.edits}
        print(f"{given.rounds} rounds, {TOKENS} tokens each, okedit-mini, {torch.get_num_threads()} threads")
        asked = _rounds(servers, near, given.rounds)
    base = asked[given.edits[0]]
    for what, speed, first in (("clock", "speed", "first"), ("work", "worked_speed", "worked_first")):
        print(f"| by the {what}: edits | tokens/s | of none | first token, ms | more than none, ms |")
        print("|---|---|---|---|---|")
        for count, found in asked.items():
            pairs = list(zip(found, base, strict=True))
            more = [getattr(one, first) - getattr(two, first) for (_, one), (_, two) in pairs]
            cells = (
                f"{_middle(getattr(long, speed) for long, _ in found):.1f}",
                f"{_middle(getattr(one[0], speed) / getattr(two[0], speed) for one, two in pairs):.3f}",
                f"{1e3 * _middle(getattr(short, first) for _, short in found):.0f}",
                f"{1e3 * _middle(more):+.0f}",
            )
            print(f"| {count:,} | {' | '.join(cells)} |")


def _middle(values: Iterable[float]) -> float:
    return statistics.median(values)


def _held(folder: Path, rows: Sequence[dict]) -> Bundle:
    """The facts of a set as a bundle."""
    facts = [{name: row[name] for name in ("prompt", "answer", "rephrases")} for row in rows]
    file = folder / "facts.yaml"
    file.write_text(yaml.safe_dump({"version": 1, "facts": facts}), encoding="utf-8")
    return held(okedit_cli.load_model("okedit-mini"), okedit_cli.load_facts(file).facts)


def _rounds(
    servers: dict[int, Running], near: Sequence[str], rounds: int
) -> dict[int, list[tuple[Asked, Asked]]]:
    """Of each server and round a long answer and a short one to a near question, none of them an edit's."""
    missed = (one for one in near if not any(_answered(server.http, one) for server in servers.values()))
    free = list(islice(missed, rounds))
    found: dict[int, list[tuple[Asked, Asked]]] = {count: [] for count in servers}
    for server in servers.values():
        ask(server, LONG[0], 8)  # whatever is read at first
    for number in range(rounds):
        order = list(servers.items())
        for count, server in order[number % len(order) :] + order[: number % len(order)]:
            long = ask(server, LONG[number % len(LONG)], TOKENS)
            found[count].append((long, ask(server, free[number % len(free)], 2)))
    return found


def _answered(http: httpx.Client, question: str) -> bool:
    body = {"messages": [{"role": "user", "content": question}], "max_tokens": 1}
    return "x-okedit-edit" in http.post("/v1/chat/completions", json=body).headers


if __name__ == "__main__":
    sys.exit(main())
