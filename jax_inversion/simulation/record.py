"""What a folder of simulated samples was made with: DIR/.simulation.json, so that nothing else passes for it.

A folder may hold several sets (other seeds, other geology): each has its own name, which its samples' ids begin with.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..files import write_aside
from .job import Job

RECORD = ".simulation.json"
_SHOWN = 3  # differences named in one message


def claim(job: Job, ids: Sequence[str]) -> None:
    """Note in ``job.out`` what its samples are made with.

    ``UserError`` where the folder's own samples of these ids were made with something else, or nobody knows with what.
    """
    path = job.out / RECORD
    sets = _read(path)
    there = [sample_id for sample_id in ids if (job.out / sample_id).is_dir()]
    before, now = sets.get(job.set_name), job.made_from
    if there and before is None:
        raise UserError(
            f"{job.out}: sample {there[0]} is there already and nothing says what it was made with; give another --out"
        )
    if there and before is not None and (changes := differences(before, now, there)):
        shown = "; ".join(changes[:_SHOWN]) + (f"; and {len(changes) - _SHOWN} more" if len(changes) > _SHOWN else "")
        raise UserError(f"{job.out}: its samples were made with another {shown}; give another --out, or remove them")
    if before != now:
        job.out.mkdir(parents=True, exist_ok=True)
        with write_aside(path) as aside:
            aside.write_text(json.dumps(sets | {job.set_name: now}, indent=1, sort_keys=True) + "\n")


def differences(before: Mapping[str, Any], now: Mapping[str, Any], ids: Sequence[str]) -> list[str]:
    """``section.key old -> new`` for all that differs; of given models those that the samples ``ids`` were made of."""
    found = []
    for section in sorted({*before, *now}):
        old, new = (side.get(section) or {} for side in (before, now))
        if section == "given":  # models of one's own, by id: others may have joined them since
            old, new = ({k: side.get(k) for k in ids} for side in (old, new))
        for key in sorted({*old, *new}):
            if old.get(key) != new.get(key):
                digests = section in ("given", "blended")
                found.append(f"model {key}" if digests else f"{section}.{key} {old.get(key)!r} -> {new.get(key)!r}")
    return found


def _read(path: Path) -> dict[str, Any]:
    try:
        sets = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not readable ({error}); nothing says what the samples there are made with") from None
    return sets if isinstance(sets, dict) else {}
