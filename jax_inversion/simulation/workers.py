"""Processes that make samples side by side: each on one core, none outlives the one that started it.

A worker is ``python -m jax_inversion.simulation``. It reads the job from its first line of input and then one
sample number a line, and answers each with a line of JSON. When its input ends, so does it, at once: that holds for a
normal end as for a parent that was killed.
"""

import contextlib
import json
import os
import queue
import selectors
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import jax
from pydantic import Field, TypeAdapter

from ..data.folders import BadSample
from ..errors import RunError, UserError
from ..files import fault_of
from .job import Job
from .stock import StockJob

# measured on two cores: 0.66 s of CPU time a sample; 0.94 s with XLA_FLAGS' intra_op_parallelism_threads=1, which
# leaves the pool of threads as it is, and 0.82 s with nothing set
ONE_THREAD = {"PJRT_NPROC": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
PACKAGES = Path(__file__).resolve().parents[2]

AnyJob: TypeAlias = Job | StockJob
Answer: TypeAlias = dict[str, Any]
_WIRE = TypeAdapter(Annotated[AnyJob, Field(discriminator="kind")])


def run(job: AnyJob, ks: Sequence[int], workers: int) -> Iterator[tuple[int, Any]]:
    """Make samples ``ks``, yielding each with what ``job.make`` said of it when it is whole.

    Where JAX has another device than the CPU it works alone.

    Always in worker processes on a CPU, even for one: one thread each gives the same bytes whatever their number.
    Raises ``UserError`` or ``RunError`` with the id of the sample that failed; the workers have ended by then.
    """
    if jax.default_backend() != "cpu":
        for k in ks:
            yield k, _made(_attempt(job, k))
    elif ks:
        yield from _share(job, list(ks), workers)


def _share(job: AnyJob, ks: list[int], workers: int) -> Iterator[tuple[int, Any]]:
    todo, asked, children = iter(ks), {}, []
    try:
        with selectors.DefaultSelector() as listening:
            for _ in range(min(workers, len(ks))):
                child = _start(job)
                children.append(child)
                asked[child] = _ask(child, todo)
                listening.register(child.stdout, selectors.EVENT_READ, child)
            for _ in ks:
                child = listening.select()[0][0].data
                done = asked[child]
                made = _made(_hear(child, job, done))
                asked[child] = _ask(child, todo)
                if asked[child] is None:
                    listening.unregister(child.stdout)
                yield done, made
    finally:
        for child in children:
            child.kill()
        for child in children:
            child.wait()
            child.stdin.close()
            child.stdout.close()


def _start(job: AnyJob) -> subprocess.Popen:
    path = os.pathsep.join(filter(None, [str(PACKAGES), os.environ.get("PYTHONPATH")]))
    env = os.environ | ONE_THREAD | {"JAX_PLATFORMS": "cpu", "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": path}
    # a session of its own: Ctrl-C reaches only the parent, which then ends its workers without their tracebacks
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "start_new_session": True}
    child = subprocess.Popen([sys.executable, "-m", __package__], env=env, bufsize=0, **pipes)
    _say(child, _WIRE.dump_json(job))
    return child


def _ask(child: subprocess.Popen, todo: Iterator[int]) -> int | None:
    k = next(todo, None)
    if k is not None:
        _say(child, str(k).encode())
    return k


def _say(child: subprocess.Popen, line: bytes) -> None:
    with contextlib.suppress(BrokenPipeError):  # it has died: reading from it will say so
        child.stdin.write(line + b"\n")


def _hear(child: subprocess.Popen, job: AnyJob, k: int) -> Answer:
    line = child.stdout.readline()
    if line.endswith(b"\n"):
        return json.loads(line)
    code = child.wait()
    why = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
    hint = "; out of memory? try fewer --workers" if code == -9 else ""
    return {"run_error": f"{_name(job, k)}: its worker {why}{hint}"}


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
    job = _WIRE.validate_json(sys.stdin.buffer.readline() or os._exit(0))
    asked: queue.SimpleQueue[int] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(asked,), daemon=True).start()
    while True:
        answers.write(json.dumps(_attempt(job, asked.get())).encode() + b"\n")


def _listen(asked: queue.SimpleQueue) -> None:
    for line in sys.stdin.buffer:
        asked.put(int(line))
    os._exit(0)
