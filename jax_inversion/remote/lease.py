"""One trainer a run between machines, where a lock of the operating system does not reach: a note on the volume.

A training writes it into the run's folder and renews it with each checkpoint. Another call is refused while the note is
young. A call that is tried again after its machine was taken away is the same call.
"""

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from ..errors import UserError
from ..files import write_aside
from .volume import NAME

NOTE = ".trainer.json"
VALID_S = 1800.0  # checkpoints, which renew it, are ten minutes apart at most; starting takes some more


@contextlib.contextmanager
def sole_trainer(run: Path, call: str | None, commit: Callable[[], None]) -> Iterator[Callable[[], None]]:
    """Yields what to call after each checkpoint: it renews the note and commits the volume.

    ``call`` is the identity of this call, None where nobody knows it: then no note is kept. ``UserError`` while another
    call trains the run.
    """
    if call is None:
        yield commit
        return
    note = run / NOTE
    _refuse_other(note, call)

    def renew() -> None:
        with write_aside(note) as aside:
            aside.write_text(json.dumps({"call": call, "time": time.time()}))
        commit()

    renew()
    try:
        yield renew
    finally:  # a machine that is taken away does not come here: its next attempt is this call again
        note.unlink(missing_ok=True)
        commit()


def _refuse_other(note: Path, call: str) -> None:
    try:
        found = json.loads(note.read_text())
        other, age_s = str(found["call"]), time.time() - float(found["time"])
    except (OSError, ValueError, KeyError, TypeError):
        return
    if other != call and age_s < VALID_S:
        where = f"models/{note.parent.name}/{NOTE}"
        raise UserError(
            f"{note.parent.name}: the call {other} trains this run, last heard of {age_s / 60:.0f} min ago; wait "
            f"for it or stop it; if it is dead:  modal volume rm {NAME} {where}"
        )
