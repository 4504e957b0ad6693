"""Scores of what needs no network: the training set's median profile and the regressions in closed form."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..data.folders import Sample, read_velocity
from ..regression import TITLES
from .predictor import Predictor
from .scores import summarise


def yardsticks(
    predictor: Predictor, tests: Sequence[Sample], truths: Mapping[str, Sample]
) -> dict[str, dict[str, Any]]:
    """``scores.summarise`` of each yardstick that the checkpoint holds, by its title.

    ``tests`` are the test samples, ``truths`` the samples with their models, by id.
    """
    survey = predictor.survey

    def triples(name: str) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        for batch, gathers in predictor.read(tests, predictor.config.infer.batch_size):
            for sample, model in zip(batch, predictor.baseline(name, gathers), strict=True):
                yield sample.id, read_velocity(truths[sample.id], survey), model

    return {TITLES[name]: summarise(triples(name), survey) for name in predictor.baselines}
