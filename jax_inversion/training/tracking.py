"""Numbers of a run, to RUN/metrics.jsonl and to wandb. The only importer of wandb.

``metrics.jsonl`` has one flat JSON object a line: ``step`` (batches seen), ``epoch`` (a fraction during one), then
either the training figures since the line before (``train/loss``, ``train/mape``, ``train/l2``, ...,
``train/grad_norm``: means over members and steps; with ``/0``, ``/1``, ... for each member; ``learning_rate``)
or those of a validation (``validation/loss``, ``validation/mape``, ``validation/l2``, ... of the ensemble,
``validation/mape/0``, ... of members, ``ensemble/weight/0``, ..., ``best_mape`` so far and its ``best_epoch``,
``validation/linear_mape`` where the regressions were fitted). Terms of weight zero are left out. wandb gets the same
keys.
"""

import importlib.util
import io
import json
import logging
import os
import secrets
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from ..errors import UserError
from ..files import write_aside

METRICS = "metrics.jsonl"
MODES = ("off", "offline", "online")  # each sends less than the next

log = logging.getLogger(__name__)


def read_metrics(run: Path | str) -> list[dict[str, int | float]]:
    """The lines of RUN/metrics.jsonl; what a kill cut short or damage made unreadable is left out, with a word."""
    path = Path(run) / METRICS
    try:
        text = path.read_text(errors="replace")
    except FileNotFoundError:
        return []
    except OSError as error:
        log.warning("%s: not readable (%s); the run's figures are missing", path, error.strerror)
        return []
    whole, _, torn = text.rpartition("\n")  # a kill may cut the last line short
    found = [_numbers(line) for line in whole.split("\n") if line.strip()]
    if (last := _numbers(torn)) is not None:
        found.append(last)
    lines = [line for line in found if line is not None]
    if len(lines) < len(found):
        log.warning("%s: %d of %d lines are damaged and left out", path, len(found) - len(lines), len(found))
    return lines


def effective_mode(chosen: str) -> str:
    """off, offline or online: as chosen, but never more than WANDB_MODE and WANDB_DISABLED let out.

    ``auto`` is what WANDB_MODE says; without it, online where WANDB_API_KEY is set and offline elsewhere.
    """
    said = os.environ.get("WANDB_MODE", "").strip().lower()
    asked = {"online": "online", "offline": "offline", "dryrun": "offline", "disabled": "off"}.get(said)
    if os.environ.get("WANDB_DISABLED", "").strip().lower() in ("true", "1", "yes", "on", "t", "y"):
        asked = "off"
    if chosen == "auto":
        return asked or ("online" if os.environ.get("WANDB_API_KEY") else "offline")
    return min(chosen, asked or chosen, key=MODES.index)


class Tracker:
    """Write figures of ``run``; lines of steps after ``step``, which a resumed run sees again, are dropped first.

    ``mode`` is auto, online, offline or off. ``UserError`` where metrics.jsonl is a folder.
    """

    def __init__(self, run: Path, step: int, *, mode: str, project: str, config: Mapping[str, Any]):
        self.path, self.run, self.project, self.config = run / METRICS, run, project, config
        if self.path.is_dir():
            raise UserError(f"{self.path}: is a folder; right is a file of figures, or nothing")
        kept = [line for line in read_metrics(run) if line["step"] <= step]
        with write_aside(self.path) as aside:
            aside.write_text("".join(json.dumps(line) + "\n" for line in kept))
        self.wandb: Any = None
        self._start(effective_mode(mode))

    def log(self, step: int, epoch: float, figures: Mapping[str, int | float]) -> None:
        """Add one line of figures."""
        line = {"step": step, "epoch": round(epoch, 6), **figures}
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")
        if self.wandb is not None:
            self._try(lambda: self.wandb.log(line, step=step))

    def figure(self, step: int, name: str, draw: Callable[[], bytes]) -> None:
        """Send the PNG that ``draw`` makes; it is not called where no wandb listens."""
        if self.wandb is not None:
            self._try(lambda: self.wandb.log({name: _image(draw())}, step=step))

    def close(self, failed: bool = False) -> None:
        """Finish the wandb run."""
        if self.wandb is not None:
            self._try(lambda: self.wandb.finish(exit_code=int(failed)))

    def __enter__(self) -> "Tracker":
        return self

    def __exit__(self, kind: Any, *error: Any) -> None:
        self.close(failed=kind is not None)

    def _start(self, mode: str) -> None:
        if mode != "off" and "wandb" not in sys.modules and importlib.util.find_spec("wandb") is None:
            log.info('without wandb (pip install "jax-inversion[wandb]"): all figures are in %s', METRICS)
            return
        if mode == "online":
            try:
                self.wandb = self._init(mode)
            except Exception as error:
                log.warning(
                    "wandb cannot go online (%s); offline, send it later: wandb sync %s/wandb/offline-run-*",
                    _reason(error),
                    self.run,
                )
                mode = "offline"
                self._try(_forget)
        if mode == "offline":
            self._try(lambda: setattr(self, "wandb", self._init(mode)))

    def _init(self, mode: Literal["online", "offline"]) -> Any:
        import wandb

        folder = self.run / "wandb"
        folder.mkdir(parents=True, exist_ok=True)
        # No console capture and no git or code search: the run's own figures are all that leaves this machine.
        settings = wandb.Settings(init_timeout=30, console="off", silent=True, disable_git=True, save_code=False)
        return wandb.init(
            project=self.project, dir=str(self.run), name=self.run.resolve().name, id=_known_id(folder / "run_id.txt"),
            config=dict(self.config), resume="allow" if mode == "online" else None, mode=mode, settings=settings,
        )  # fmt: skip

    def _try(self, call: Callable[[], Any]) -> None:
        try:
            call()
        except Exception as error:  # tracking never stops training, whatever its reason
            self.wandb = None
            log.warning("wandb is off from here on (%s); %s goes on", _reason(error), METRICS)


def _numbers(line: str) -> dict[str, int | float] | None:
    """The numbers of one line; None unless it is an object with a step and an epoch."""
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(values, dict):
        return None
    numbers = {k: v for k, v in values.items() if isinstance(v, int | float) and not isinstance(v, bool)}
    return numbers if {"step", "epoch"} <= numbers.keys() else None


def _known_id(path: Path) -> str:
    """The wandb run's id, the same for all parts of a run that was resumed."""
    known = path.read_text(errors="replace").strip() if path.is_file() else ""
    if not known.isalnum():
        known = secrets.token_hex(4)
        path.write_text(known)
    return known


def _forget() -> None:
    """End wandb's service, in which a start that failed still holds the run's id."""
    import wandb

    wandb.teardown()


def _reason(error: Exception) -> str:
    first = (str(error).splitlines() or [""])[0]
    return f"{type(error).__name__}: {first}"


def _image(png: bytes) -> Any:
    import wandb
    from PIL import Image

    return wandb.Image(Image.open(io.BytesIO(png)))
