"""The machine of each stage, its limits, what an hour of it costs and what a pipeline comes to. No Modal, no JAX."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..errors import UserError

GPUS = ("A100-80GB", "A100-40GB", "L40S")  # the first one free is taken
PRICES_OF = "May 2026"


@dataclass(frozen=True)
class Card:
    price: float  # dollars an hour
    memory_gb: int
    bandwidth_tb_s: float  # of its memory, as its maker gives it


CARDS = {
    "B200": Card(6.25, 180, 8.0),
    "H200": Card(4.54, 141, 4.8),
    "H100": Card(3.95, 80, 3.35),
    "A100-80GB": Card(2.50, 80, 2.0),
    "A100-40GB": Card(2.10, 40, 1.56),
    "L40S": Card(1.95, 48, 0.864),
    "A10": Card(1.10, 24, 0.6),
    "L4": Card(0.80, 24, 0.3),
    "T4": Card(0.59, 16, 0.32),
}
ALIASES = {"A10G": "A10", "A100": "A100-80GB"}  # A100 may be either; the dearer one is reckoned with
SMALL_GB = 40  # the challenge's preset was laid out for a card of this memory or more
CORE_PRICE, GIB_PRICE = 0.0472, 0.0080  # a physical core, a GiB of memory
NONPREEMPTIBLE = 3.0  # times the price

# Guesses for one sample, generous ones; nothing here was timed on a Modal machine.
SIMULATE_CORE_S = 1.0  # 0.4 s measured on one core of another machine
SIMULATE_GPU_S = 0.3
CHECK_S, PACK_S = 0.1, 0.1  # 0.075 and 0.03 CPU seconds measured elsewhere, from a local disk (benchmarks)
TRAIN_S = 0.015  # a member and epoch, the challenge preset on an A100
INFER_S = 0.5
STARTED_H = 0.05  # to start a container and compile
REFINE_CORE_S = 60.0  # 47 to 66 s measured on one core of another machine
SHARD = 200  # simulated samples a container
CHUNK = 24  # test samples a container
# Bytes of a sample of the challenge's size, in folders and packed at 1 ms; the shapes say so, and so do files.
FOLDER_BYTES = 4 * 5 * 10001 * 31 + 8 * 300 * 1259
PACKED_BYTES = 4 * 5 * 1001 * 31 + 4 * 300 * 1259
CHALLENGE_SAMPLES = {"train": 5500, "test": 150}


@dataclass(frozen=True)
class Machine:
    """What one container of a stage asks for. An attempt ends after ``limit_h`` hours; another one resumes."""

    cpu: float  # physical cores
    memory_gib: int
    limit_h: float
    attempts: int = 1
    gpu: bool = False
    containers: int = 1  # side by side at most
    preemptible: bool = True

    def price(self, gpus: Sequence[str]) -> float:
        """Dollars an hour, with the dearest of ``gpus`` whose price is known; NaN where none is."""
        plain = self.cpu * CORE_PRICE + self.memory_gib * GIB_PRICE
        dearest = max((price for gpu in gpus if (price := gpu_price(gpu)) > 0), default=math.nan) if self.gpu else 0.0
        return (plain + dearest) * (1 if self.preemptible else NONPREEMPTIBLE)

    def text(self, gpus: Sequence[str]) -> str:
        """In words, such as ``A100-80GB, 8 cores, 64 GiB``."""
        return f"{gpus[0] + ', ' if self.gpu else ''}{self.cpu:g} cores, {self.memory_gib} GiB"


# The conductors only wait for others: were one preempted, its second life would start a stage that is still under way.
CONDUCTOR = Machine(cpu=0.5, memory_gib=4, limit_h=24.0, preemptible=False)
MACHINES = {
    "pipeline": CONDUCTOR,
    "simulate": CONDUCTOR,
    "infer_sharded": CONDUCTOR,
    "refine": CONDUCTOR,
    "check": Machine(cpu=0.5, memory_gib=4, limit_h=0.25, attempts=2),
    "unpack": Machine(cpu=2.0, memory_gib=8, limit_h=12.0, attempts=2),
    "analyze_data": Machine(cpu=4.0, memory_gib=16, limit_h=4.0, attempts=2),
    "prepare": Machine(cpu=8.0, memory_gib=32, limit_h=4.0, attempts=2),
    "train": Machine(cpu=8.0, memory_gib=64, limit_h=24.0, attempts=5, gpu=True),
    "generate_submission": Machine(cpu=8.0, memory_gib=32, limit_h=3.0, attempts=3, gpu=True),
    "simulate_shard": Machine(cpu=8.0, memory_gib=16, limit_h=2.0, attempts=4, containers=50),
    "simulate_shard_gpu": Machine(cpu=4.0, memory_gib=16, limit_h=2.0, attempts=4, containers=8, gpu=True),
    "infer_chunk": Machine(cpu=8.0, memory_gib=32, limit_h=1.0, attempts=3, gpu=True, containers=8),
    "refine_chunk": Machine(cpu=8.0, memory_gib=32, limit_h=2.0, attempts=4, containers=20),
    "score": Machine(cpu=8.0, memory_gib=32, limit_h=3.0, attempts=2),
}


def card(gpu: str) -> Card | None:
    """The card of ``H100`` or ``h100:2``; None for one that the table lacks."""
    name = gpu.partition(":")[0].upper().removesuffix("!")
    return CARDS.get(ALIASES.get(name, name))


def gpu_price(gpu: str) -> float:
    """Dollars an hour of ``H100`` or ``H100:2``; NaN for a type that the table lacks."""
    found = card(gpu)
    return found.price * int(gpu.partition(":")[2] or 1) if found else math.nan


def gpu_list(option: str) -> list[str]:
    """``"H100:2, L40S"`` as a list; nothing is the usual one. ``UserError`` where a count is none."""
    gpus = [gpu.strip() for gpu in option.split(",") if gpu.strip()] or list(GPUS)
    for gpu in gpus:
        name, colon, count = gpu.partition(":")
        if not name or (colon and not (count.isdigit() and int(count))):
            raise UserError(f"SPEED_GPU: {gpu!r} is not a GPU; right is a type or type:count, such as H100 or H100:2")
    return gpus


def idle_gpus(gpus: Sequence[str]) -> str:
    """What to say where more than one GPU is asked for; empty where not."""
    several = [gpu for gpu in gpus if int(gpu.partition(":")[2] or 1) > 1]
    if not several:
        return ""
    return (
        f"note: {several[0]}: training spreads members and batch over a machine's GPUs, where numbers divide; "
        "prediction uses one, the others are billed and stand idle"
    )


def about_cards(gpus: Sequence[str]) -> list[str]:
    """What is to be said of the cards asked for: unknown ones, small ones, idle ones."""
    lines = []
    if unknown := [gpu for gpu in gpus if card(gpu) is None]:
        known = ", ".join([*CARDS, *ALIASES])
        lines.append(f"note: {', '.join(unknown)}: no price and no speed known here; known are {known}")
    if small := [(gpu, found.memory_gb) for gpu in gpus if (found := card(gpu)) and found.memory_gb < SMALL_GB]:
        gpu, memory_gb = small[0]
        lines.append(
            f"note: {gpu} has {memory_gb} GB, the preset was laid out for {SMALL_GB} or more; "
            'what should fit (a guess): --overrides "train.batch-size=1 train.accumulate=4"'
        )
    return [*lines, idle_gpus(gpus)] if idle_gpus(gpus) else lines


def plan(
    *, epochs: int, members: int, gpus: Sequence[str], samples: Mapping[str, int] | None = None, simulated: bool = False
) -> str:
    """A table of the pipeline's stages: machine, expected hours, expected and highest price.

    ``samples``: train and test ones (default: the challenge's). ``simulated``: they are made first.
    """
    samples = dict(samples or CHALLENGE_SAMPLES)
    total = sum(samples.values())
    slower = CARDS["A100-80GB"].bandwidth_tb_s / (found.bandwidth_tb_s if (found := card(gpus[0])) else math.nan)
    hours = {"simulate_shard": total * SIMULATE_CORE_S / MACHINES["simulate_shard"].cpu / 3600} if simulated else {}
    hours |= {
        "analyze_data": total * CHECK_S / 3600,
        "prepare": samples["train"] * PACK_S / 3600,
        "train": samples["train"] * epochs * members * TRAIN_S * slower / 3600,
        "generate_submission": samples["test"] * INFER_S * slower / 3600,
        "score": (total * CHECK_S + 300) / 3600,
    }
    rows, sums = [], [0.0, 0.0]
    conducted = sum(h + STARTED_H for h in hours.values())
    for stage, h in [*hours.items(), ("pipeline", conducted)]:
        machine, count = MACHINES[stage], 1
        if stage == "simulate_shard":
            count = min(machine.containers, sum(math.ceil(number / SHARD) for number in samples.values()))
        price = machine.price(gpus)
        expected = (h + STARTED_H * count) * price
        most = count * machine.limit_h * machine.attempts * price
        sums = [sums[0] + expected, sums[1] + most]
        rows.append((stage, f"{count} x {machine.text(gpus)}", _hours(h / count + STARTED_H), expected, most))
    lines = [f"{'stage':<20} {'machines':<34} {'hours':>7} {'expected':>10} {'at most':>10}"]
    lines += [f"{s:<20} {m:<34} {h:>7} {dollars(e):>10} {dollars(u):>10}" for s, m, h, e, u in rows]
    lines.append(f"{'all':<20} {'':<34} {'':>7} {dollars(sums[0]):>10} {dollars(sums[1]):>10}")
    lines += [
        f"{samples['train']} train and {samples['test']} test samples, {epochs} epochs, {members} members; GPUs: "
        f"{' or '.join(gpus)}",
        f"hours and 'expected' are guesses: {TRAIN_S} s a sample, member and epoch on an A100-80GB was never timed; "
        "another card is reckoned as fast as its memory",
        "'at most' is no guess: every attempt of every stage running into its time limit, on the dearest card",
        _refining(samples["test"], gpus),
        f"on the volume: {total * FOLDER_BYTES / 1e9:.0f} GB of samples and "
        f"{samples['train'] * PACKED_BYTES / 1e9:.0f} GB packed, where they are the challenge's, packed at 1 ms",
        f"prices as listed in {PRICES_OF}; look up today's before a long run",
    ]
    return "\n".join([*lines, *about_cards(gpus)])


def _refining(count: int, gpus: Sequence[str]) -> str:
    """What ``::refine`` would add, of which the pipeline has nothing."""
    machine = MACHINES["refine_chunk"]
    containers, work_h = min(machine.containers, math.ceil(count / CHUNK)), count * REFINE_CORE_S / machine.cpu / 3600
    price = (work_h + STARTED_H * containers) * machine.price(gpus)
    machines = f"{work_h / containers + STARTED_H:.2f} hours on {containers} x {machine.text(gpus)}"
    return f"refining the {count} test samples afterwards (::refine, not in the sums): {machines}, {dollars(price)}"


def _hours(amount: float) -> str:
    return "unknown" if math.isnan(amount) else f"{amount:.2f}"


def dollars(amount: float) -> str:
    """In words; a price that the table lacks is not known."""
    return "unknown" if math.isnan(amount) else f"${amount:.2f}"
