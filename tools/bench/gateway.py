"""What does the gateway cost? `python -m tools.bench.gateway latency|load [--edits 1 1000 100000]`

latency: questions that no fact is about go to a small engine on loopback by itself and through the gateway,
in turn; told is what the gateway adds. load: so many clients at once for so many seconds, half of the
answers streamed; every answer is compared with the engine's own, and the gateway's memory is looked at as
it goes on.

Engine, gateway and clients are processes of their own on this machine. Facts are questions of
tools/scope/texts (relations.yaml) about each of the subjects there, keyed by the question encoder; beyond
REAL of them keys are those of other facts, moved, since a hundred thousand questions take a quarter of an
hour to read. What is asked are wordings of the bank and of knowledge_questions.yaml, each once in
`latency`, over and over in `load`.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import httpx
import yaml

REAL = 2_000  # facts whose keys are read
MOVED = (
    0.7  # how far a made key lies from the one that it is made of; questions of two facts lie about 1 apart
)
TEXTS = Path(__file__).parents[1] / "scope" / "texts"
PATH = "/v1/chat/completions"
WARM = 0.25  # share of a load's time after which memory is looked at


def main(words: Sequence[str] | None = None) -> None:
    """Measure and print a line for each number of edits."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.gateway", description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=("latency", "load", "engine"))
    parser.add_argument("--edits", type=int, nargs="+", default=[1, 1_000, 100_000])
    parser.add_argument("--requests", type=int, default=400, help="of latency")
    parser.add_argument("--clients", type=int, default=50, help="of load")
    parser.add_argument("--seconds", type=float, default=300, help="of load")
    parser.add_argument("--folder", type=Path, help="where bundles are kept. [default: nowhere]")
    given = parser.parse_args(words)
    if given.what == "engine":
        run_engine()
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        for count in given.edits:
            path = folder / f"gateway-{count}.safetensors"
            if not path.exists():
                made(count).save(path)
            asyncio.run({"latency": latency, "load": load}[given.what](given, path, count))


def made(count: int):
    """A text memory of so many facts."""
    import torch
    from torch.nn import functional as F

    from okedit_cli.bundle import Bundle, Manifest
    from okedit_cli.bundle.scope_only import BASE, METHOD
    from okedit_cli.edits.codebook import Codebook
    from okedit_cli.encoders.text import text_vectors
    from okedit_cli.scope.calibration import calibration

    prompts = facts()[:count]
    keys = text_vectors(prompts[:REAL])
    by = torch.Generator().manual_seed(0)
    while len(keys) < len(prompts):
        more = keys[torch.randint(min(REAL, len(keys)), (min(REAL, len(prompts) - len(keys)),), generator=by)]
        noise = F.normalize(torch.randn(more.shape, generator=by), dim=1)
        keys = torch.cat([keys, F.normalize(more + MOVED * noise, dim=1)])
    n = len(prompts)
    empty = torch.zeros(n, 0, 0)
    book = Codebook(
        torch.zeros(0), torch.zeros(0, 1), torch.zeros(0), torch.zeros(0, keys.shape[1]), torch.zeros(0, 1),
        torch.zeros(0, dtype=torch.int64), keys, torch.arange(n), torch.full((n,), torch.inf),
        torch.full((n,), calibration().text_radius), empty, empty, torch.zeros(n, 0),
    )  # fmt: skip
    site = {"key_layer": -2, "question_point": "question encoder", "picture_point": "none"}
    rows = [{"id": f"f{i}", "prompt": prompt, "answer": f"answer {i}"} for i, prompt in enumerate(prompts)]
    return Bundle(Manifest(base=dict(BASE), site=site, method=METHOD, facts=rows), book)


def facts() -> list[str]:
    """Prompts of facts, in an order of chance."""
    read = yaml.safe_load((TEXTS / "relations.yaml").read_text(encoding="utf-8"))
    names = [one["name"] for one in yaml.safe_load((TEXTS / "entities.yaml").read_text())["entities"]]
    forms = [
        wording
        for relation in read["relations"]
        for wording in relation["wordings"]
        if wording.endswith("?") and "{s}" in wording
    ]
    out = [form.replace("{s}", name) for form in forms for name in names]
    random.Random(0).shuffle(out)
    return out


def questions() -> list[str]:
    """What is asked: nothing that a fact is about."""
    from okedit_cli.bank import load_bank

    out = [words for group in load_bank().questions for words in group.wordings]
    stack = [yaml.safe_load((TEXTS / "knowledge_questions.yaml").read_text(encoding="utf-8"))]
    while stack:
        one = stack.pop()
        if isinstance(one, dict):
            stack += one.values()
        elif isinstance(one, list):
            stack += one
        elif isinstance(one, str) and one.endswith("?") and "{" not in one:
            out.append(one)
    out = list(dict.fromkeys(out))
    random.Random(1).shuffle(out)
    return out


def body_of(question: str, stream: bool) -> bytes:
    """A request."""
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": question}]
    return json.dumps({"model": "m", "messages": messages, "stream": stream}).encode()


def answer_of(body: bytes) -> bytes:
    """What the engine answers to a request."""
    said = hashlib.sha256(body).hexdigest()
    if not json.loads(body).get("stream"):
        return json.dumps({"choices": [{"message": {"content": said}}]}).encode()
    parts = [said[i : i + 8] for i in range(0, 64, 8)]
    events = [json.dumps({"choices": [{"delta": {"content": part}}]}).encode() for part in parts]
    return b"".join(b"data: " + event + b"\n\n" for event in (*events, b"[DONE]"))


def run_engine() -> None:
    """An engine that answers at once; its address is printed."""
    import uvicorn

    from okedit_cli.serve.running import address, bound

    async def app(scope, receive, send) -> None:
        if scope["type"] != "http":
            return
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        said = answer_of(body)
        streamed = json.loads(body).get("stream")
        kind = b"text/event-stream" if streamed else b"application/json"
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
        for piece in said.split(b"\n\n") if streamed else [said]:
            if piece:
                piece += b"\n\n" * bool(streamed)
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    listener = bound("127.0.0.1", 0)
    print(address(listener), flush=True)
    config = uvicorn.Config(app, log_level="error", access_log=False, lifespan="off")
    uvicorn.Server(config).run(sockets=[listener])


class Served:
    """Engine and gateway, as long as it lasts: `engine` and `gateway` are their addresses."""

    def __init__(self, bundle: Path) -> None:
        self.processes: list[subprocess.Popen] = []
        self.engine = self._start([sys.executable, "-m", "tools.bench.gateway", "engine"])
        words = ["gateway", "--upstream", self.engine, "-b", str(bundle), "--port", "0", "-q"]
        self.gateway = self._start(
            [sys.executable, "-c", f"from okedit_cli.cli import main; main({words!r})"]
        )

    def _start(self, command: list[str]) -> str:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.processes.append(process)
        line = process.stdout.readline().strip()
        if not line:
            raise SystemExit(f"{command[:4]} did not start")
        return line

    @property
    def memory(self) -> float:
        """MB of the gateway's resident memory."""
        with open(f"/proc/{self.processes[-1].pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6

    @property
    def processor(self) -> float:
        """Seconds of processor time that the gateway has had."""
        with open(f"/proc/{self.processes[-1].pid}/stat", encoding="ascii") as file:
            parts = file.read().rpartition(")")[2].split()
        return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")

    def __enter__(self) -> Served:
        return self

    def __exit__(self, *exception: object) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(20)


async def latency(given, bundle: Path, count: int) -> None:
    """Print what the gateway adds to the time of one request at a time."""
    asked = questions()
    with Served(bundle) as served:
        async with httpx.AsyncClient(timeout=60) as client:
            times: dict[str, list[float]] = {served.engine: [], served.gateway: []}
            fired, first = 0, 20  # requests that are not counted
            for number, question in enumerate(asked):
                if len(times[served.gateway]) - first >= given.requests:
                    break
                if len(times[served.gateway]) == first:
                    before, began_at = served.processor, number
                body, pair = body_of(question, False), []
                for url in times:
                    began = time.perf_counter()
                    answer = await client.post(url + PATH, content=body)
                    pair.append(time.perf_counter() - began)
                    if "x-okedit-edit" in answer.headers:
                        break
                    assert answer.content == answer_of(body), number
                if len(pair) < 2 or "x-okedit-edit" in answer.headers:
                    fired += 1
                    continue
                for row, took in zip(times.values(), pair, strict=True):
                    row.append(took)
            spent = 1e3 * (served.processor - before) / max(1, number - began_at)
    direct, behind = (row[first:] for row in times.values())
    added = sorted(1e3 * (b - a) for a, b in zip(direct, behind, strict=True))
    told = {share: added[min(len(added) - 1, int(share * len(added)))] for share in (0.5, 0.95, 0.99)}
    alone = sorted(1e3 * one for one in direct)[len(direct) // 2]
    print(
        f"{count:,} edits: added {told[0.5]:.1f} ms (p50), {told[0.95]:.1f} ms (p95), {told[0.99]:.1f} ms "
        f"(p99) over {len(added)} misses; {spent:.1f} ms of a core each; the engine alone {alone:.1f} ms "
        f"(p50); {fired} questions fired",
        flush=True,
    )


async def load(given, bundle: Path, count: int) -> None:
    """Print requests, errors, differences and memory of many clients at once."""
    bodies = [(body_of(q, stream), q) for q in questions()[:1500] for stream in (False, True)]
    expected = {body: answer_of(body) for body, _ in bodies}
    state = {"requests": 0, "other": 0, "hits": 0}
    errors: Counter[str] = Counter()
    times: list[float] = []
    memory: list[tuple[float, float]] = []
    with Served(bundle) as served:
        began = time.perf_counter()

        async def ask(seed: int, client: httpx.AsyncClient) -> None:
            chance = random.Random(seed)
            while time.perf_counter() - began < given.seconds:
                body, _ = chance.choice(bodies)
                start = time.perf_counter()
                try:
                    answer = await client.post(served.gateway + PATH, content=body)
                except httpx.HTTPError as error:
                    errors[type(error).__name__] += 1
                    continue
                times.append(time.perf_counter() - start)
                state["requests"] += 1
                if "x-okedit-edit" in answer.headers:
                    state["hits"] += 1
                elif answer.status_code != 200:
                    errors[f"{answer.status_code}: {answer.text[:200]}"] += 1
                elif answer.content != expected[body]:
                    state["other"] += 1

        async def look() -> None:
            while (now := time.perf_counter() - began) < given.seconds:
                memory.append((now, served.memory))
                await asyncio.sleep(1)

        limits = httpx.Limits(max_connections=None, max_keepalive_connections=given.clients)
        async with httpx.AsyncClient(timeout=120, limits=limits) as client:
            await asyncio.gather(look(), *(ask(seed, client) for seed in range(given.clients)))
    warm = [mb for at, mb in memory if at >= WARM * given.seconds]
    times.sort()
    print(
        f"{count:,} edits, {given.clients} clients, {given.seconds:g} s: {state['requests']:,} requests "
        f"({state['requests'] / given.seconds:.0f}/s), {errors.total()} errors {dict(errors)}, "
        f"{state['hits']} hits, "
        f"{state['other']} misses that differ from the engine's answer; answered in "
        f"{1e3 * times[len(times) // 2]:.0f} ms (p50), {1e3 * times[int(0.99 * len(times))]:.0f} ms (p99); "
        f"memory {memory[0][1]:.0f} MB at the start, {warm[0]:.0f} MB after {WARM:.0%} of the time, "
        f"{warm[-1]:.0f} MB at the end, at most {max(warm):.0f} MB",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
