"""Make ``tests/data/ref*.npz`` from reference samples: small enough for the repository, near enough for the tests.

    python benchmarks/make_test_data.py --data ../shared/data/reference [--out tests/data] [--samples ref00100 ref00103]

``gathers`` float32 (5, 251, 31): every 40th row, so every 4 ms; plain slicing, for nothing lies above 125 Hz.
``velocity_steps`` uint16 (300, 1259): the 1 m model in 0.1 m/s, as differences along x, which pack to a third;
read it with ``np.cumsum(steps, axis=0, dtype=np.uint16) * np.float32(1e-4)``, km/s, within 0.05 m/s.
"""

import argparse
from pathlib import Path

import numpy as np

from jax_inversion.data.folders import MODEL_FILE, gather_files
from jax_inversion.files import write_aside
from jax_inversion.survey import CHALLENGE

EVERY = 40
UNIT_KM_S = 1e-4


def shrink(sample: Path, target: Path) -> None:
    """Write one sample as a compressed ``.npz``."""
    gathers = np.stack([np.load(sample / name, allow_pickle=False)[::EVERY] for name in gather_files(CHALLENGE)])
    velocity = np.load(sample / MODEL_FILE, allow_pickle=False)
    steps = np.diff(
        np.round(velocity / UNIT_KM_S).astype(np.uint16), axis=0, prepend=np.uint16(0)
    )  # wraps, as reading does
    with write_aside(target) as aside:
        np.savez_compressed(aside, gathers=gathers, velocity_steps=steps, dt_s=EVERY * CHALLENGE.dt_s)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of reference samples")
    parser.add_argument("--out", type=Path, default=Path("tests/data"))
    parser.add_argument("--samples", nargs="+", default=["ref00100", "ref00103"])
    args = parser.parse_args()
    for name in args.samples:
        target = args.out / f"{name}.npz"
        shrink(args.data / name, target)
        print(f"{target}: {target.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
