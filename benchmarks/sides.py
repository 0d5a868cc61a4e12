"""Two ways to do the same work, each in a process that stays alive, asked in turn."""

import contextlib
import dataclasses
import functools
import multiprocessing
import signal
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from benchmarks import memory
from misc.runtime.memory import keep_freed_memory

Work = Callable[[], Any]


@dataclasses.dataclass(frozen=True)
class Side:
    """``prepare(**settings)``, a function of a module's top, returns the work that is timed."""

    prepare: Callable[..., Work]
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)


class Memory(NamedTuple):
    peak: float  # MB
    extra: float  # MB above what was there before the first piece of work


@dataclasses.dataclass
class Figures:
    """What was measured, by the names of the sides."""

    seconds: dict[str, float]
    results: dict[str, Any]
    memory: dict[str, Memory]


def interleave(questions: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """Ask A B A B …, so that what slows the machine down slows all down; medians of the answers."""
    answers: dict[str, list[float]] = {name: [] for name in questions}
    for _ in range(rounds):
        for name, ask in questions.items():
            answers[name].append(ask())
    return {name: statistics.median(values) for name, values in answers.items()}


def measure(
    sides: Mapping[str, Side], rounds: int, agree: Callable[..., None] | None = None
) -> Figures:
    """Do each side's work once, check that the results agree, then time it in turn.

    ``agree`` gets the results of all sides under their names, and raises ValueError. The side
    called "naive" runs as torch does by default, the others as the scripts do.
    """
    with contextlib.ExitStack() as stack:
        workers = {
            name: stack.enter_context(_worker(side, plain=name == "naive"))
            for name, side in sides.items()
        }
        for name, worker in workers.items():
            _receive(name, worker)  # it is prepared

        def ask(name: str, question: str) -> Any:
            workers[name].send(question)
            return _receive(name, workers[name])

        results = {name: ask(name, "result") for name in workers}
        if agree:
            agree(**results)
        questions = {name: functools.partial(ask, name, "seconds") for name in workers}
        seconds = interleave(questions, rounds)
        peaks = {name: Memory(*ask(name, "memory")) for name in workers}
    return Figures(seconds, results, peaks)


def _receive(name: str, worker: Connection) -> Any:
    try:
        return worker.recv()
    except EOFError as error:
        raise ChildProcessError(f"the process of {name} ended; see above") from error


@contextlib.contextmanager
def _worker(side: Side, plain: bool) -> Iterator[Connection]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, side, plain))
    process.start()
    theirs.close()  # so that the end of the process is the end of the pipe
    try:
        yield ours
    finally:
        ours.close()
        process.join()


def _serve(questions: Connection, side: Side, plain: bool) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    multiprocessing.set_start_method(None, force=True)  # data workers are made as in the scripts
    if not plain:
        keep_freed_memory()
    work = side.prepare(**side.settings)
    if not plain:
        from misc.runtime.device import use_fast_products

        use_fast_products()
    memory.reset_peak()
    before = memory.resident()
    with contextlib.suppress(EOFError, ConnectionError):  # no more questions, or nobody to ask
        questions.send("prepared")
        while True:
            question = questions.recv()
            if question == "memory":
                peak = memory.peak()
                questions.send((peak, peak - before))
                continue
            start = time.perf_counter()
            result = work()
            seconds = time.perf_counter() - start
            questions.send(result if question == "result" else seconds)
            del result
