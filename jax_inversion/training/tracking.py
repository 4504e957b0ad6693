"""Numbers of a run, to RUN/metrics.jsonl and to wandb. The only importer of wandb.

``metrics.jsonl`` has one flat JSON object a line: ``step`` (batches seen), ``epoch`` (a fraction during one), then
either the training figures since the line before (``train/loss``, ``train/mape``, ``train/l2``, ...,
``train/grad_norm``: means over members and steps; with ``/0``, ``/1``, ... for each member; ``learning_rate``)
or those of a validation (``validation/mape`` of the ensemble, ``validation/mape/0``, ... of members,
``ensemble/weight/0``, ..., ``validation/linear_mape`` where the regressions were fitted). wandb gets the same keys.
"""

import io
import json
import os
import secrets
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..files import write_aside

METRICS = "metrics.jsonl"


def read_metrics(run: Path | str) -> list[dict[str, float]]:
    """The lines of RUN/metrics.jsonl; one that a kill cut short is left out."""
    path = Path(run) / METRICS
    lines = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            lines.append(json.loads(line))
        except ValueError:
            continue
    return lines


class Tracker:
    """Write figures of ``run``; lines of steps after ``step``, which a resumed run sees again, are dropped first."""

    def __init__(self, run: Path, step: int, *, mode: str, project: str, config: Mapping[str, Any]):
        self.path = run / METRICS
        kept = [line for line in read_metrics(run) if line["step"] <= step]
        with write_aside(self.path) as aside:
            aside.write_text("".join(json.dumps(line) + "\n" for line in kept))
        self.wandb = None
        if mode != "off":
            self._try(lambda: self._start(run, mode, project, config))

    def log(self, step: int, epoch: float, figures: Mapping[str, float]) -> None:
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

    def _start(self, run: Path, mode: str, project: str, config: Mapping[str, Any]) -> None:
        import wandb

        if mode == "auto":
            mode = "online" if os.environ.get("WANDB_API_KEY") else "offline"
        folder = run / "wandb"
        folder.mkdir(parents=True, exist_ok=True)
        known = folder / "run_id.txt"
        if not known.exists():
            known.write_text(secrets.token_hex(4))
        # No console capture and no git or code search: the run's own figures are all that leaves this machine.
        settings = wandb.Settings(init_timeout=30, console="off", silent=True, disable_git=True, save_code=False)
        self.wandb = wandb.init(
            project=project, dir=str(run), name=run.name, id=known.read_text().strip(), config=dict(config),
            resume="allow" if mode == "online" else None, mode=mode, settings=settings,
        )  # fmt: skip

    def _try(self, call: Callable[[], Any]) -> None:
        try:
            call()
        except Exception as error:  # tracking never stops training, whatever its reason
            self.wandb = None
            reason = (str(error).splitlines() or [""])[0]
            print(f"wandb is off from here on ({type(error).__name__}: {reason}); {METRICS} goes on", file=sys.stderr)


def _image(png: bytes) -> Any:
    import wandb
    from PIL import Image

    return wandb.Image(Image.open(io.BytesIO(png)))
