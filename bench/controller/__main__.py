"""Measures the operator on a real API server beside the floor: the same writes by a bare client.

Prints a table of figures with their targets and, as the last line, the figures as JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

from bench.controller import environment, floor
from bench.controller.bare import MERGE, BareClient, in_flight
from bench.controller.environment import Numbers, Operator, is_write
from bench.controller.observer import Key, Observer
from penstock.controllers.resources import MODELS
from penstock.kube.resources import Json

NAMESPACES = 5
PATIENCE_SECONDS = 600.0
QUIET_SECONDS = 5.0
TARGETS = {
    "ratio_to_floor": ">= 0.8",
    "api_calls_per_model": "<= 8",
    "calls_until_stable": "<= 20",
    "cpu_ms_per_model": "<= 8",
    "update_writes_per_model": "<= 3",
    "steady_writes": "0",
    "restart_writes": "0",
    "rss_mb": "< 150",
}

Figures = dict[str, float]


class Bench:
    """One run: `measure` goes through the life of N Models."""

    def __init__(self, models: int, steady_seconds: float, profile: Path | None) -> None:
        self._count = models
        self._steady_seconds = steady_seconds
        self._profile = profile
        self._namespaces = [f"team-{number}" for number in range(NAMESPACES)]
        self._floor_namespaces = [f"{name}-f" for name in self._namespaces]

    async def measure(self) -> Figures:
        """Run every phase and return the figures."""
        async with AsyncExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="penstock-bench-")))
            server = stack.enter_context(environment.api_server(folder))
            self._admin = await stack.enter_async_context(BareClient(server.kubeconfig))
            await environment.install(self._admin, [*self._namespaces, *self._floor_namespaces])
            rights = server.client_kubeconfig(environment.OPERATOR, ["system:serviceaccounts", "system:authenticated"])
            everything = server.client_kubeconfig(environment.CLEANER, ["system:masters"])
            cleaner = await stack.enter_async_context(BareClient(everything))
            self._operator = Operator(rights, folder, self._profile is not None)
            self._operator.start()
            stack.callback(self._operator.stop)
            self._observer = await stack.enter_async_context(Observer(self._admin))
            pattern = await self._pattern()
            say(f"writes of the floor per Model: 1 + {len(pattern.children)}")
            self._operator.stop()
            before = await floor.measure(server.kubeconfig, rights, pattern, self._floor_models(0))
            say(f"floor before: {before.models_per_second:.1f} Models/s")
            await floor.clear(cleaner, self._floor_namespaces)
            self._operator.start()
            await self._idle()

            figures: Figures = {"models": self._count}
            figures |= await self._start()
            simulation = environment.simulation(server.client_kubeconfig(environment.SIMULATION, ["system:masters"]))
            stack.callback(simulation.kill)
            figures |= await self._become_stable()
            figures |= await self._steady()
            figures |= await self._update()
            figures["rss_mb"], figures["rss_peak_mb"] = self._operator.memory_mb()
            figures |= await self._restart()
            figures["rss_after_restart_mb"], _ = self._operator.memory_mb()
            self._operator.stop()
            simulation.kill()
            simulation.wait()
            say(self._operator.log())
            after = await floor.measure(server.kubeconfig, rights, pattern, self._floor_models(1))
            say(f"floor after: {after.models_per_second:.1f} Models/s")
            return figures | beside_the_floor(figures, before, after)

    async def _pattern(self) -> floor.Payloads:
        """Have the operator start one Model and read what it wrote."""
        example = environment.model(self._namespaces[0], "w000000", 2**64)
        key = (self._namespaces[0], "w000000")
        await self._admin.create(MODELS, example)
        await self._observer.until(lambda: self._observer.started([key]), "the first Model starts", 30)
        await self._idle()
        return await floor.payloads(self._admin, *key)

    def _models(self) -> list[Json]:
        names = self._namespaces
        return [environment.model(names[n % NAMESPACES], f"m{n:06d}", n) for n in range(self._count)]

    def _floor_models(self, half: int) -> list[Json]:
        """Half as many Models, with names of the same length: the floor is taken before and after the operator."""
        names, count = self._floor_namespaces, max(1, self._count // 2)
        return [environment.model(names[n % NAMESPACES], f"{'fg'[half]}{n:06d}", n) for n in range(count)]

    async def _start(self) -> Figures:
        models = self._models()
        keys: list[Key] = [(obj["metadata"]["namespace"], obj["metadata"]["name"]) for obj in models]
        self._before, cpu = self._operator.numbers(), self._operator.cpu_seconds()
        began = time.monotonic()
        await in_flight(floor.IN_FLIGHT, models, lambda obj: self._admin.create(MODELS, obj))
        ended = await self._observer.until(
            lambda: self._observer.started(keys), "every Model's children exist", PATIENCE_SECONDS
        )
        cpu = self._operator.cpu_seconds() - cpu
        calls = self._operator.numbers().since(self._before)
        show("calls until the children exist", calls, self._count)
        return {
            "models_per_second": self._count / (ended - began),
            "api_calls_per_model": calls.total() / self._count,
            "cpu_ms_per_model": cpu / self._count * 1000,
        }

    async def _become_stable(self) -> Figures:
        cpu, began = self._operator.cpu_seconds(), time.monotonic()
        deadline = began + PATIENCE_SECONDS
        while stable := self._count + 1 - await self._stable():
            if time.monotonic() > deadline:
                raise SystemExit(f"{stable} Models did not become stable.\n{self._operator.log()}")
            await asyncio.sleep(1)
        say(f"from children to Stable: {time.monotonic() - began:.1f} s")
        calls = (await self._idle()).since(self._before)
        show("calls until Stable", calls, self._count)
        cpu = self._operator.cpu_seconds() - cpu
        return {"calls_until_stable": calls.total() / self._count, "cpu_ms_until_stable": cpu / self._count * 1000}

    async def _stable(self) -> int:
        found = await self._admin.list(MODELS)
        return sum(
            any(item["type"] == "SpecServed" and item["status"] == "True" for item in conditions)
            for conditions in (obj.get("status", {}).get("conditions", []) for obj in found["items"])
        )

    async def _steady(self) -> Figures:
        before, cpu = self._operator.numbers(), self._operator.cpu_seconds()
        await asyncio.sleep(self._steady_seconds)
        calls = self._operator.numbers().since(before)
        show(f"calls in {self._steady_seconds:.0f} s of rest", calls, 1)
        share = (self._operator.cpu_seconds() - cpu) / self._steady_seconds
        return {"steady_writes": writes(calls), "steady_cpu_percent": share * 100}

    async def _update(self) -> Figures:
        """Another memory request for every Model: an edit in place, no new revision."""
        before, cpu = self._operator.numbers(), self._operator.cpu_seconds()
        sent: dict[Key, float] = {}

        async def edit(obj: Json) -> None:
            key = (obj["metadata"]["namespace"], obj["metadata"]["name"])
            sent[key] = time.monotonic()
            change = {"spec": {"serving": {"resources": {"requests": {"memory": "300Mi"}}}}}
            await self._admin.send("PATCH", MODELS.path(*key), change, MERGE)

        await in_flight(floor.IN_FLIGHT, self._models(), edit)
        await self._observer.until(
            lambda: all((key, 2) in self._observer.patched for key in sent),
            "every Deployment follows",
            PATIENCE_SECONDS,
        )
        waits = sorted(self._observer.patched[key, 2] - moment for key, moment in sent.items())
        calls = (await self._idle()).since(before)
        show("calls of the update", calls, self._count)
        return {
            "update_writes_per_model": writes(calls) / self._count,
            "p50_update_seconds": waits[len(waits) // 2],
            "p99_update_seconds": waits[int(len(waits) * 0.99)],
            "cpu_ms_update": (self._operator.cpu_seconds() - cpu) / self._count * 1000,
        }

    async def _restart(self) -> Figures:
        self._operator.stop()
        if self._profile is not None:
            self._profile.write_bytes(self._operator.profiled.read_bytes())
        began = time.monotonic()
        self._operator.start()
        calls = (await self._idle()).calls
        took = time.monotonic() - began - QUIET_SECONDS
        calls = Counter({key: count for key, count in calls.items() if not key[1].startswith("leases")})
        show("calls of the restart", calls, 1)
        return {"restart_writes": writes(calls), "restart_seconds": took}

    async def _idle(self) -> Numbers:
        """Wait until nothing is handled and nothing is sent for some seconds; return the numbers of then."""
        before, since = self._operator.numbers(), time.monotonic()
        while time.monotonic() - since < QUIET_SECONDS:
            await asyncio.sleep(0.5)
            now = self._operator.numbers()
            if now.since(before) or now.handled != before.handled or now.waiting:
                before, since = now, time.monotonic()
        return before


def beside_the_floor(figures: Figures, before: floor.Floor, after: floor.Floor) -> Figures:
    """The operator's figures as ratios to a bare client's, which was measured before and after it."""
    rate = (before.models_per_second + after.models_per_second) / 2
    cpu = (before.cpu_ms_per_model + after.cpu_ms_per_model) / 2
    return {
        "floor_models_per_second": rate,
        "ratio_to_floor": figures["models_per_second"] / rate,
        "floor_cpu_ms_per_model": cpu,
        "cpu_ratio_to_floor": figures["cpu_ms_per_model"] / cpu,
    }


def writes(calls: Counter[tuple[str, str]]) -> int:
    """How many of the calls change something."""
    return sum(count for call, count in calls.items() if is_write(call))


def show(title: str, calls: Counter[tuple[str, str]], models: int) -> None:
    """Print calls by verb and kind, per Model."""
    parts = [f"{verb} {resource} {count / models:.2f}" for (verb, resource), count in calls.most_common()]
    say(f"{title}: {', '.join(parts) or 'none'}")


def say(text: str) -> None:
    """Print at once: a run takes minutes."""
    if text:
        print(text, flush=True)


def main() -> None:
    """Run the benchmark by the arguments of the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.controller", description=__doc__)
    parser.add_argument("--models", type=int, default=500)
    parser.add_argument("--steady-seconds", type=float, default=120)
    parser.add_argument("--profile", type=Path, help="run the operator under cProfile; its profile goes there")
    arguments = parser.parse_args()
    # Ended by a signal it must still end the processes that it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    figures = asyncio.run(Bench(arguments.models, arguments.steady_seconds, arguments.profile).measure())
    for name, value in figures.items():
        say(f"{name:<26} {value:>10.3f}  {TARGETS.get(name, '')}")
    say(json.dumps({name: round(value, 3) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
