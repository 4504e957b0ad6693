"""What a run says of itself while it trains: one line an epoch and validation, through ``logging``."""

import logging
from collections.abc import Mapping

from .validation import Scores

log = logging.getLogger(__name__)


def say_epoch(epoch: int, epochs: int, loss: float, mape: float, rate: float) -> None:
    """Means over the epoch's training steps and members; ``rate`` is the learning rate at its end."""
    log.info("epoch %d of %d: loss %.4f, MAPE %s, learning rate %.3g", epoch, epochs, loss, percent(mape), rate)


def say_validation(epoch: int, scores: Scores, new_best: bool) -> None:
    """Of the ensemble, and of its members and groups where there are several."""
    said = [f"members {', '.join(percent(m) for m in scores.members)}"] if len(scores.members) > 1 else []
    if len(scores.groups) > 1:
        said += [f"{name} {percent(mape)}" for name, mape in scores.groups.items()]
    members = f" ({'; '.join(said)})" if said else ""
    words = "; new best" if new_best else ""
    log.info(
        "epoch %d: validation MAPE %s%s, loss %.4f%s", epoch, percent(scores.mape), members, scores.terms["loss"], words
    )


def say_end(epochs: int, steps: int, metrics: Mapping[str, int | float]) -> None:
    """After the last step."""
    last, best = metrics.get("validation/mape"), metrics.get("best_mape")
    scores = ""
    if last is not None and best is not None:
        scores = f"; validation MAPE {percent(last)}, best {percent(best)} at epoch {metrics['best_epoch']:g}"
    log.info("finished %d epochs, %d steps%s", epochs, steps, scores)


def percent(fraction: float) -> str:
    """4.76 %."""
    return f"{100 * fraction:.2f} %"
