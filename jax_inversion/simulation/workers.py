"""Samples made side by side: by processes on a core each, none of which outlives its parent, or on several devices.

A worker is ``python -m jax_inversion.simulation``. It reads the job and its class from its first line of input, then
one sample number a line, and answers each with a line of JSON. When its input ends, so does it, at once: that holds for
a normal end as for a parent that was killed.
"""

import contextlib
import importlib
import json
import logging
import os
import queue
import selectors
import subprocess
import sys
import threading
import traceback
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

import jax
from pydantic import TypeAdapter

from ..caches import keep_compiled
from ..data.folders import BadSample
from ..errors import RunError, UserError
from ..files import fault_of

# measured on two cores: 0.66 s of CPU time a sample; 0.94 s with XLA_FLAGS' intra_op_parallelism_threads=1, which
# leaves the pool of threads as it is, and 0.82 s with nothing set
ONE_THREAD = {"PJRT_NPROC": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
AT_ONCE = 32  # samples on a device; the more, the better its memory is used
PACKAGES = Path(__file__).resolve().parents[2]

log = logging.getLogger(__name__)

Answer: TypeAlias = dict[str, Any]


@runtime_checkable
class AnyJob(Protocol):
    """A dataclass that pydantic can send: samples by number, each made whole or not at all.

    One that has ``together(ks, size)`` makes several at once on a device that is quicker so, as a batch of ``size``
    that they may not fill, and returns what ``make`` would of each.
    """

    def id_of(self, k: int) -> str:
        """The name of sample ``k``."""
        ...

    def make(self, k: int) -> Any:
        """Make it; what is returned is fit for JSON."""
        ...


def run(job: AnyJob, ks: Sequence[int], workers: int) -> Generator[tuple[int, Any], None, None]:
    """Make samples ``ks``, yielding each with what ``job.make`` said of it when it is whole.

    Where JAX has other devices than the CPU, threads of this process, two for each of them: one writes what it made
    while the device works for the other.

    Always in worker processes on a CPU, even for one: one thread each gives the same bytes whatever their number.
    Raises ``UserError`` or ``RunError`` with the id of the sample that failed; the workers have ended by then.
    """
    if jax.default_backend() != "cpu":
        keep_compiled()
        yield from _on_devices(job, ks, jax.local_devices())
    elif ks:
        yield from _share(job, list(ks), workers)


def _on_devices(job: AnyJob, ks: Sequence[int], devices: Sequence[Any]) -> Iterator[tuple[int, Any]]:
    free: queue.SimpleQueue[Any] = queue.SimpleQueue()
    for device in (*devices, *devices):
        free.put(device)
    size = min(AT_ONCE, max(1, len(ks) // len(devices)))

    def attempt(some: Sequence[int]) -> list[tuple[int, Answer]]:
        device = free.get()
        try:
            with jax.default_device(device):
                return list(zip(some, _attempt_together(job, some, size), strict=True))
        finally:
            free.put(device)

    pool = ThreadPoolExecutor(2 * len(devices))
    try:
        chunks = [pool.submit(attempt, ks[i : i + size]) for i in range(0, len(ks), size)]
        for done in as_completed(chunks):
            for k, answer in done.result():
                yield k, _made(answer)
    finally:
        pool.shutdown(cancel_futures=True)


def _share(job: AnyJob, ks: list[int], workers: int) -> Iterator[tuple[int, Any]]:
    todo, asked, children = iter(ks), {}, []
    task = _task(job)  # before the first of them starts: pydantic makes an error of its own of a Ctrl-C meanwhile
    try:
        with selectors.DefaultSelector() as listening:
            for _ in range(min(workers, len(ks))):
                child = _Worker(job, task)
                children.append(child)
                asked[child] = child.ask(todo)
                listening.register(child.answers, selectors.EVENT_READ, child)
            for _ in ks:
                child = listening.select()[0][0].data
                done = asked[child]
                made = _made(child.hear(done))
                asked[child] = child.ask(todo)
                if asked[child] is None:
                    listening.unregister(child.answers)
                yield done, made
    finally:
        for child in children:
            child.process.kill()
        for child in children:
            child.process.wait()
            child.questions.close()
            child.answers.close()


class _Worker:
    """A process that makes the samples of ``job`` that it is asked for."""

    def __init__(self, job: AnyJob, task: bytes):
        path = os.pathsep.join(filter(None, [str(PACKAGES), os.environ.get("PYTHONPATH")]))
        env = os.environ | ONE_THREAD | {"JAX_PLATFORMS": "cpu", "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": path}
        self.job = job
        self.process = subprocess.Popen(
            [sys.executable, "-m", "jax_inversion.simulation"],
            env=env,
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C reaches only the parent, which ends its workers without their tracebacks
        )
        assert self.process.stdin is not None and self.process.stdout is not None
        self.questions, self.answers = self.process.stdin, self.process.stdout
        self.say(task)

    def say(self, line: bytes) -> None:
        with contextlib.suppress(BrokenPipeError):  # it has died: reading from it will say so
            self.questions.write(line + b"\n")

    def ask(self, todo: Iterator[int]) -> int | None:
        k = next(todo, None)
        if k is not None:
            self.say(str(k).encode())
        return k

    def hear(self, k: int) -> Answer:
        line = self.answers.readline()
        if line.endswith(b"\n"):
            return json.loads(line)
        code = self.process.wait()
        why = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        hint = "; out of memory? try fewer --workers" if code == -9 else ""
        return {"run_error": f"{_name(self.job, k)}: its worker {why}{hint}"}


def _task(job: AnyJob) -> bytes:
    """A worker's first line of input."""
    kind = type(job)
    fields = TypeAdapter(kind).dump_python(job, mode="json")
    return json.dumps({"module": kind.__module__, "name": kind.__name__, "job": fields}).encode()


def _attempt_together(job: AnyJob, ks: Sequence[int], size: int) -> list[Answer]:
    """Several at once; where that fails, one after another, which tells the sample that is at fault."""
    together = getattr(job, "together", None)
    if together is not None and size > 1:
        try:
            return [{"made": made} for made in together(ks, size)]
        except Exception as error:
            reason = (str(error).splitlines() or [repr(error)])[0]
            log.warning("%d samples at once: %s; now one after another", len(ks), reason)
    return [_attempt(job, k) for k in ks]


def _attempt(job: AnyJob, k: int) -> Answer:
    """Make sample ``k``; what went wrong comes back as a message, for it may have to cross to another process."""
    try:
        return {"made": job.make(k)}
    except Exception as error:
        fault = fault_of(error)
        if fault is None:
            return {"run_error": f"{_name(job, k)}: {error!r}", "traceback": traceback.format_exc()}
        said = str(fault) if isinstance(fault, BadSample) else f"{_name(job, k)}: {fault}"
        return {"user_error" if isinstance(fault, UserError) else "run_error": said}


def _name(job: AnyJob, k: int) -> str:
    return f"sample {job.id_of(k)}"


def _made(answer: Answer) -> Any:
    """What ``job.make`` returned; what went wrong is raised."""
    if "traceback" in answer:
        print(answer["traceback"], file=sys.stderr)
    if "user_error" in answer:
        raise UserError(answer["user_error"])
    if "run_error" in answer:
        raise RunError(answer["run_error"])
    return answer["made"]


def serve() -> None:
    """A worker's life."""
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # whatever a library prints must not land among the answers
    sent = json.loads(sys.stdin.buffer.readline() or os._exit(0))
    job = TypeAdapter(getattr(importlib.import_module(sent["module"]), sent["name"])).validate_python(sent["job"])
    asked: queue.SimpleQueue[int] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(asked,), daemon=True).start()
    while True:
        answers.write(json.dumps(_attempt(job, asked.get())).encode() + b"\n")


def _listen(asked: queue.SimpleQueue) -> None:
    for line in sys.stdin.buffer:
        asked.put(int(line))
    os._exit(0)
