"""How much of a device's memory a training step takes, known from its program before the first one runs."""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax

from ..files import size_text

Tree = Any
Step = Callable[..., Any]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Need:
    """Bytes on each device. ``working`` is what the step itself needs beside its arguments."""

    state: int
    batch: int
    store: int
    working: int

    @classmethod
    def of(cls, step: Any, state: Tree, batch: Tree, store: int = 0) -> "Need":
        """Of the jitted ``step(state, batch)``, which compiles, once for this and for running it."""
        found = step.lower(state, batch).compile().memory_analysis()
        new = max(0, found.output_size_in_bytes - found.alias_size_in_bytes) if found else 0
        # two batches: the next one is sent while this one is used
        return cls(_bytes(state), 2 * _bytes(batch), store, new + (found.temp_size_in_bytes if found else 0))

    @property
    def total(self) -> int:
        return self.state + self.batch + self.store + self.working

    def __str__(self) -> str:
        store = f", {size_text(self.store)} samples" if self.store else ""
        return (
            f"training step: {size_text(self.total)} on each device, of them {size_text(self.state)} weights and "
            f"optimiser, {size_text(self.batch)} batches{store}"
        )


def fitting(step: Step, leaner: Step | None, state: Tree, batch: Tree, store: int, devices: int) -> Step:
    """``step``, or where that needs more than there is ``leaner``; says what it needs, and warns where it is too much.

    What ``jax`` compiles to know that is not compiled again to run it.
    """
    need = Need.of(step, state, batch, store)
    if leaner is not None and _lacking(need, devices):
        log.info("%s: more than there is, so recomputed instead of kept (remat)", need)
        step, need = leaner, Need.of(leaner, state, batch, store)
    log.info("%s", need)
    if lacking := _lacking(need, devices):
        log.warning("%s: lower train.batch_size, or see docs/howto/memory.md", lacking)
    return step


def _lacking(need: Need, devices: int) -> str:
    """What is to be said of it where it is more than there is; else nothing."""
    device = jax.local_devices()[0]
    shared = devices if device.platform == "cpu" else 1  # a CPU's virtual devices have one memory
    there = total_bytes(device)
    if not 0 < there < shared * need.total:
        return ""
    return f"{size_text(shared * need.total)} is more than the {size_text(there)} there are"


def total_bytes(device: Any) -> int:
    """Memory that a device may use, the machine's for a CPU; 0 where nobody says."""
    if stats := device.memory_stats():
        return stats.get("bytes_limit", 0)
    pages = ("SC_PAGE_SIZE", "SC_PHYS_PAGES")
    known = hasattr(os, "sysconf") and all(name in os.sysconf_names for name in pages)
    return os.sysconf(pages[0]) * os.sysconf(pages[1]) if known and device.platform == "cpu" else 0


def free_bytes(device: Any) -> int:
    """What of it is not in use by this process."""
    return total_bytes(device) - (device.memory_stats() or {}).get("bytes_in_use", 0)


def _bytes(tree: Tree) -> int:
    """Of arrays, on the device that holds most of each."""

    def one(array: Any) -> int:
        if isinstance(array, jax.Array):
            return max(shard.data.nbytes for shard in array.addressable_shards)
        return array.nbytes

    return sum(map(one, jax.tree.leaves(tree)))
