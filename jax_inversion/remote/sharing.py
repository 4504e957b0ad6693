"""One set of samples, made, predicted or refined by many containers."""

import time
from collections.abc import Sequence
from typing import Any

import modal

from .machines import SHARD, dollars


def gather(stage: modal.Function, asked: Any, parts: Sequence[tuple[int, int]], doing: str) -> list[str]:
    """What ``stage(asked, start, stop)`` gives for all ``parts``, in order; says when each is there."""
    pieces = []
    for piece in stage.starmap([(asked, *part) for part in parts]):
        pieces.append(piece)
        print(f"{doing}: part {len(pieces)} of {len(parts)} is there", flush=True)
    return pieces


def fan_out(
    stage: modal.Function, price: float, options: dict[str, Any], config: str, overrides: str, shard: int = SHARD
) -> None:
    """Share a set of samples among containers of ``price`` dollars an hour; say how fast it went and what it cost."""
    first, begun, made, seconds = options.get("start", 0), time.monotonic(), 0, 0.0
    end = first + options["count"]
    shards = [options | {"start": k, "count": min(shard, end - k)} for k in range(first, end, shard)]
    settings = {"config": config, "overrides": overrides}
    for number, (new, took) in enumerate(stage.map(shards, kwargs=settings, order_outputs=False), 1):
        made, seconds = made + new, seconds + took
        print(f"simulating: shard {number} of {len(shards)} is there, {made} new samples so far", flush=True)
    rate = 3600 * made / max(time.monotonic() - begun, 1e-9)
    print(
        f"{options['out']}: {options['count']} samples, {made} of them new, {rate:.0f} samples/h, "
        f"about {dollars(seconds / 3600 * price)}"
    )
