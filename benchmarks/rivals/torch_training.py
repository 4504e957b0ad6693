"""The original's network in PyTorch, measured as ours is. Started by ``benchmarks/train.py``, once for each figure."""

import itertools
import math
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from benchmarks.measured import arguments, median_call, peak_mib, say
from benchmarks.rivals.torch_network import loss, network
from jax_inversion.data.folders import MODEL_FILE, gather_files
from jax_inversion.data.split import is_validation
from jax_inversion.survey import CHALLENGE

RATE, CLIP = 1e-4, 1.0  # the first from the guide
SCALED_FROM = 32  # samples whose amplitudes set the scale


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=4, help="samples; the guide's 4 take 10 GB in training")
    args = parser.parse_args()
    torch.manual_seed(0)
    # channels last: a fifth quicker here
    model = network(CHALLENGE.shots, CHALLENGE.model_shape).to(memory_format=torch.channels_last)
    found = {"parameters": sum(p.numel() for p in model.parameters()), "version": f"torch {torch.__version__}"}
    if args.measure == "mape":
        found |= trained(model, args.data, args.batch, args.cpu_seconds, args.validation_fraction)
    else:
        gathers = torch.randn(args.batch, *CHALLENGE.gathers_shape)
        call = forward(model, gathers) if args.measure == "forward" else Training(model).step_of(gathers)
        found |= median_call(call, args.times, args.batch)
    say(found)


def forward(model: torch.nn.Module, gathers: torch.Tensor):
    @torch.inference_mode()
    def call() -> None:
        model.eval()(gathers)

    return call


class Training:
    def __init__(self, model: torch.nn.Module):
        self.model, self.optimiser = model, torch.optim.AdamW(model.parameters(), RATE)

    def step(self, gathers: torch.Tensor, velocity: torch.Tensor, rate: float) -> None:
        self.optimiser.param_groups[0]["lr"] = rate
        self.optimiser.zero_grad()
        loss(self.model.train()(gathers), velocity, CHALLENGE.v_min_km_s, CHALLENGE.v_max_km_s).backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
        self.optimiser.step()

    def step_of(self, gathers: torch.Tensor):
        velocity = torch.full((len(gathers), *CHALLENGE.model_shape), 2.5)
        return lambda: self.step(gathers, velocity, RATE)


def trained(model: torch.nn.Module, data: Path, size: int, budget_s: float, fraction: float) -> dict[str, float]:
    """Trained until the budget of CPU seconds is used, the rate falling as a cosine of it; MAPE in percent."""
    begun = time.monotonic()
    folders = sorted(path for path in (data / "train").iterdir() if path.is_dir())
    sides = [is_validation(folder.name, fraction, 0) for folder in folders]
    train, validation = (
        [f for f, side in zip(folders, sides, strict=True) if side is wanted] for wanted in (False, True)
    )
    scale = 1 / np.std([gathers_of(folder) for folder in train[:SCALED_FROM]])
    training, rng, seen = Training(model), np.random.default_rng(0), 0
    for chosen in shuffled(len(train), size, rng):
        used = time.process_time() / budget_s
        if used >= 1:
            break
        training.step(*batch([train[k] for k in chosen], scale), RATE * (1 + math.cos(math.pi * used)) / 2)
        seen += size
    spent = {"seconds": time.monotonic() - begun, "total_cpu_s": time.process_time(), "peak_mib": peak_mib()}
    scores = [score(model, folder, scale) for folder in validation]
    return {"mape": 100 * float(np.mean(scores)), "seen": seen, **spent}


def shuffled(count: int, size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    for _ in itertools.count():
        order = rng.permutation(count)
        yield from (order[k : k + size] for k in range(0, count - size + 1, size))


def gathers_of(folder: Path) -> np.ndarray:
    return np.stack([np.load(folder / name) for name in gather_files(CHALLENGE)])


def batch(folders: list[Path], scale: float) -> tuple[torch.Tensor, torch.Tensor]:
    gathers = np.stack([gathers_of(folder) for folder in folders]) * np.float32(scale)
    velocity = np.stack([np.load(folder / MODEL_FILE) for folder in folders]).astype(np.float32)
    return torch.from_numpy(gathers), torch.from_numpy(velocity)


@torch.inference_mode()
def score(model: torch.nn.Module, folder: Path, scale: float) -> float:
    gathers, velocity = batch([folder], scale)
    return float(((model.eval()(gathers) - velocity).abs() / velocity).mean())


if __name__ == "__main__":
    main()
