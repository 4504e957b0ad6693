"""The checkpoint and the samples that a script's command line names; other words there change settings."""

import argparse
from pathlib import Path

import jax_inversion
from jax_inversion.data.folders import Sample, find_samples
from jax_inversion.inference.predictor import Predictor


def named(description: str, count: int) -> tuple[Predictor, dict[str, list[Sample]]]:
    """The predictor, and by its name of each folder the first samples, ``count`` unless the command line says so."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ckpt", required=True)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders of samples with their models")
    parser.add_argument("--count", type=int, default=count, help="of samples, the first of each folder")
    asked, overrides = parser.parse_known_args()
    predictor = jax_inversion.load(asked.ckpt, overrides)
    return predictor, {
        folder.name: find_samples(folder, None, predictor.survey)[: asked.count] for folder in asked.data
    }
