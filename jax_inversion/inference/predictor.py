"""A trained ensemble ready to predict: a checkpoint, its preprocessing and its base as one object."""

import dataclasses
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import numpy as np

from .. import config as configs
from .. import regression
from ..arrays import numbers
from ..caches import keep_compiled
from ..config import Config
from ..data.amplitudes import amplitude_fault, rms
from ..data.folders import Sample, read_gathers
from ..data.inputs import Inputs, from_arrays
from ..data.preprocess import decimate
from ..errors import UserError
from ..start import Start
from ..survey import Survey
from ..training.assembly import groups
from ..training.base import base_input, corrected, gathers_of, simulated_for
from ..training.checkpoints import Restored
from ..training.model_file import restore
from .postprocess import postprocess
from .predict import Predict, Predicted, make_predict
from .prediction import Prediction

DOUBTFUL = 3.0  # times training's amplitudes, or that part of them: another gain

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, eq=False)
class Predictor:
    """``config`` is the checkpoint's, with the [infer] settings that were asked for."""

    restored: Restored = dataclasses.field(repr=False)
    config: Config

    @classmethod
    def load(cls, spec: Path | str, overrides: Sequence[str] = (), sections: Sequence[str] = ("infer",)) -> "Predictor":
        """From RUN[/best|/latest|/epoch_10], a model file or "pretrained".

        ``overrides`` such as ``--infer.mirror false`` change the named ``sections`` only.

        ``UserError`` for a checkpoint that is missing or damaged, and for any other section.
        """
        return cls.of(restore(spec), overrides, sections)

    @classmethod
    def of(cls, restored: Restored, overrides: Sequence[str] = (), sections: Sequence[str] = ("infer",)) -> "Predictor":
        """As ``load``, of a checkpoint that is read already."""
        keep_compiled()
        given = configs.parse_overrides(overrides)
        if others := sorted(set(given) - {*sections}):
            known = " and ".join(f"--{section}.*" for section in sections)
            raise UserError(
                f"command line: --{others[0]}.* is fixed by the checkpoint; only {known} can be changed here"
            )
        values = configs.with_overrides(configs.as_dict(restored.config), overrides)
        return cls(restored, configs.from_dict(values, "command line"))

    @property
    def survey(self) -> Survey:
        """Of the gathers as they are recorded and of the models that are predicted."""
        return self.config.survey

    @property
    def made_from(self) -> dict[str, Any]:
        """What a prediction depends on, the gathers apart; fit for JSON."""
        settings = configs.as_dict(self.config)["infer"]
        del settings["intervals"]
        return {"checkpoint": self.restored.fingerprint, "infer": settings}

    def predict(self, gathers: np.ndarray | jax.Array, intervals: float | None = None) -> Prediction:
        """Velocity models of recorded gathers (shot, time, receiver), or of several samples', an axis before these.

        They are of ``survey``, or decimated already to the interval that the networks see. ``intervals``, such as 0.9,
        adds models between which that share of the cells is to lie, calibrated on samples that training did not see.
        ``UserError`` for another shape, for values that are not finite or zero throughout, or that make models so, and
        where nothing is known to calibrate by; amplitudes far from training's are warned of.
        """
        from .intervals import bounds, calibrated  # which read predictors

        factors = None if intervals is None else calibrated(self, intervals)
        seen = self.decimated(numbers("gathers", gathers))
        for k, sample in enumerate(seen):
            if not sample.any():
                raise UserError(f"gathers of sample {k} are zero throughout; right are recorded amplitudes")
            self._warn(sample, f"gathers of sample {k}")
        size, found = min(self.config.infer.batch_size, len(seen)), []
        for number, k in enumerate(range(0, len(seen), size)):
            some = seen[k : k + size]
            final, predicted = self._run(_filled(some, size), number)
            arrays = final, np.asarray(predicted.spread), np.moveaxis(np.asarray(predicted.members), 0, 1)
            found.append([each[: len(some)] for each in arrays])
        velocity, spread, members = map(np.concatenate, zip(*found, strict=True))
        if not np.isfinite(velocity).all():
            raise UserError("the models of these gathers are not finite: their amplitudes are not those of training")
        low = high = None
        if factors is not None:
            low, high = bounds(velocity, spread, factors, self.survey)
        members = np.moveaxis(members, 1, 0)
        if np.ndim(gathers) == 3:
            velocity, spread, members = velocity[0], spread[0], members[:, 0]
            low, high = (None if bound is None else bound[0] for bound in (low, high))
        return Prediction(velocity, spread, self.survey, members, low, high, intervals)

    def models(self, gathers: np.ndarray, number: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Models and the members' spread, both (batch, x, depth) km/s, of decimated ``gathers`` (see ``read``).

        ``number``, that of the batch, draws the noise of its copies. Models are smoothed and clipped as [infer] says.
        """
        final, predicted = self._run(gathers, number)
        return final, np.asarray(predicted.spread)

    def _run(self, gathers: np.ndarray, number: int) -> tuple[np.ndarray, Predicted]:
        key = jax.random.fold_in(jax.random.key(self.config.train.seed), number)
        predicted = self._predict(self._variables, gathers, self.bases(gathers), key)
        section = self.config.infer
        mean = np.asarray(predicted.mean)
        return postprocess(mean, self.survey, smoothing_m=section.smoothing_m, clip=section.clip), predicted

    def decimated(self, gathers: np.ndarray, *, cut: bool = True) -> np.ndarray:
        """Recorded gathers ([sample,] shot, time, receiver) as the networks take them, (sample, shot, time, receiver).

        Decimated ones stay as they are; without ``cut`` others are not filtered beyond that. ``UserError`` for another
        shape and for values that are not finite.
        """
        recorded, decimated = self.survey, self.restored.survey
        if gathers.ndim not in (3, 4) or gathers.shape[-3:] not in (recorded.gathers_shape, decimated.gathers_shape):
            raise UserError(
                f"gathers are {gathers.shape}; right is {recorded.gathers_shape} (shot, time, receiver), every "
                f"{recorded.dt_s:g} s, or {decimated.gathers_shape}, every {decimated.dt_s:g} s, samples stacked "
                "before them"
            )
        if not len(gathers):
            raise UserError("gathers hold no sample")
        if bad := gathers.size - np.count_nonzero(np.isfinite(gathers)):
            raise UserError(f"gathers: {bad} of {gathers.size} values are NaN or infinite")
        samples = gathers.astype(np.float32).reshape(-1, *gathers.shape[-3:])
        if gathers.shape[-3:] == decimated.gathers_shape:
            return samples
        section = self.config.preprocess
        cuts = (section.low_cut_hz, section.high_cut_hz) if cut else (0.0, 0.0)
        return decimate(samples, recorded.dt_s, section.dt_s, *cuts)

    def bases(self, gathers: np.ndarray) -> dict[str, Start]:
        """The models (batch, x, depth) km/s that networks correct, by the baseline's name, with their gathers where
        they look at these.
        """
        return self.starts({name: self.baseline(name, gathers) for name in corrected(self.config)})

    def starts(self, models: Mapping[str, np.ndarray]) -> dict[str, Start]:
        """Baselines' ``models`` (batch, gx, gz) by name, with gathers simulated now where networks look at these."""
        config, survey, seen = self.config, self.restored.survey, simulated_for(self.config)
        return {
            name: Start(grids, gathers_of(config, survey, grids) if name in seen else None)
            for name, grids in models.items()
        }

    def baseline(self, name: str, gathers: np.ndarray) -> np.ndarray:
        """The models (batch, x, depth) km/s that the baseline ``name``, one of ``baselines``, predicts."""
        inputs = base_input(self.config, gathers, self.inputs)
        return regression.predict(self.restored.base or {}, name, inputs, self.survey.model_shape)

    @property
    def baselines(self) -> tuple[str, ...]:
        """Names of the baselines that the checkpoint holds."""
        return regression.fitted(self.restored.base or {})

    def batches(
        self, samples: Sequence[Sample], size: int, first: int = 0
    ) -> Iterator[tuple[Sequence[Sample], np.ndarray, np.ndarray]]:
        """(samples, models, spread) batch by batch. ``first`` is the number of the first one in the whole test set.

        The last batch is filled up, so that there is one compilation.
        """
        for number, (batch, gathers) in enumerate(self.read(samples, size), first):
            final, spread = self.models(_filled(gathers, size), number)
            yield batch, final[: len(batch)], spread[: len(batch)]

    def read(self, samples: Sequence[Sample], size: int) -> Iterator[tuple[Sequence[Sample], np.ndarray]]:
        """Samples with their decimated gathers, ``size`` at a time; the next ones are read while these are in use."""

        def one(sample: Sample) -> np.ndarray:
            section = self.config.preprocess
            raw = read_gathers(sample, self.survey)
            gathers = decimate(raw, self.survey.dt_s, section.dt_s, section.low_cut_hz, section.high_cut_hz)
            self._warn(gathers, f"sample {sample.id}")
            return gathers

        batches = [samples[k : k + size] for k in range(0, len(samples), size)]
        with ThreadPoolExecutor(min(size, os.cpu_count() or 1)) as pool:
            ahead = [pool.submit(one, sample) for sample in batches[0]]
            for batch, following in zip(batches, [*batches[1:], []], strict=True):
                ready, ahead = ahead, [pool.submit(one, sample) for sample in following]
                yield batch, np.stack([future.result() for future in ready])

    def _warn(self, gathers: np.ndarray, name: str) -> None:
        """Of one sample whose amplitudes cannot be meant, or that lacks a shot."""
        if fault := amplitude_fault(rms(gathers), self.restored.std, DOUBTFUL):
            log.warning("%s: %s, that of training; its prediction means little", name, fault)
        if dead := [str(k + 1) for k, shot in enumerate(gathers) if not shot.any()]:
            log.warning("%s: shot %s is zero throughout; its prediction means little", name, ", ".join(dead))

    @cached_property
    def inputs(self) -> Inputs:
        """What the networks see of decimated gathers."""
        restored = self.restored
        return from_arrays(self.config.preprocess, restored.survey, restored.std, restored.base or {})

    @cached_property
    def _variables(self) -> Any:
        return jax.device_put(self.restored.variables)

    @cached_property
    def _predict(self) -> Predict:
        return make_predict(groups(self.config, self.restored.survey), self.inputs, self.config.infer)


def _filled(gathers: np.ndarray, size: int) -> np.ndarray:
    """``size`` of them, the last one repeated, so that one compiled program does."""
    return np.concatenate([gathers, np.repeat(gathers[-1:], size - len(gathers), axis=0)])
