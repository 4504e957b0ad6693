"""What the processes of ``benchmarks/train.py`` share: options, timing, memory, one line of JSON."""

import argparse
import json
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def arguments(description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--measure", choices=("forward", "step", "mape"), required=True)
    parser.add_argument("--data", type=Path, help="folder with train/")
    parser.add_argument("--times", type=int, default=3, help="calls, after one that warms up")
    parser.add_argument("--cpu-seconds", type=float, default=60.0, help="to train for")
    parser.add_argument("--validation-fraction", type=float, default=0.08)
    return parser


def median_call(call: Callable[[], Any], times: int, samples: int) -> dict[str, float]:
    """Medians over ``times`` calls of ``samples`` samples each; ``call`` returns when all is done."""
    call()
    wall, cpu = [], []
    for _ in range(times):
        begun, used = time.monotonic(), time.process_time()
        call()
        wall.append(time.monotonic() - begun)
        cpu.append(time.process_time() - used)
    return {
        "samples_per_s": samples / statistics.median(wall),
        "cpu_s": statistics.median(cpu) / samples,
        "peak_mib": peak_mib(),
    }


def peak_mib() -> float:
    """Of this process so far, libraries included."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def say(found: dict[str, Any]) -> None:
    print(json.dumps(found), flush=True)
