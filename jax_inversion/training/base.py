"""Where the baselines without a network join training: fitted once for a run, and kept beside its store."""

import dataclasses
import json
import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .. import backgrounds, ensemble, regression
from ..config import Config
from ..data import inputs
from ..data.inputs import Inputs
from ..data.statistics import evenly
from ..data.store import Store
from ..files import digest_arrays, digest_json, open_plain, write_aside
from ..losses import mape
from ..models import sees_residual
from ..physics import simulate
from ..progress import cores
from ..regression import baselines
from ..resampling import cell_means, resize
from ..survey import Survey
from .checkpoints import Restored
from .samples import Samples, coarse_shape

_LAYOUT = 3  # of the file, and of what the same settings give: raise it when either changes
_CHUNK = 64  # samples
_META = "meta"

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Base:
    """The fitted baselines, the median profile and linear regression always, and the one that the networks correct.

    ``grids``, by the name of each baseline that networks correct, (sample, gx, gz) float32 km/s, have a row for each
    sample of the store: predictions with the sample itself left out where it was fitted, plain ones for all others.
    ``arrays`` is what prediction needs (see ``regression``), kept in every checkpoint. ``mape`` has each baseline's
    validation score.
    """

    grids: Mapping[str, np.ndarray]
    arrays: Mapping[str, np.ndarray]
    mape: Mapping[str, float]


def fit_base(config: Config, samples: Samples, path: Path | None = None, start: Restored | None = None) -> Base:
    """The baselines of the training samples: read from ``path`` if just these were fitted before, else fitted now.

    Where training starts from other weights, these were taught to correct the baselines of ``start``, so its are taken.
    What is fitted is kept in ``path``. A file there that is damaged is named, and replaced.
    """
    made_from = _made_from(config, samples, start)
    if path is not None and (kept := _load(path, made_from)):
        return kept
    base = _fit(config, samples) if start is None else _taken(config, samples, start)
    if path is not None:
        _save(path, made_from, base)
    return base


def corrected(config: Config) -> list[str]:
    """Names of the baselines that networks correct, of one group or another."""
    return sorted({settings.base.regression for settings in config.groups.values()} - {ensemble.NONE})


def simulated_for(config: Config) -> list[str]:
    """Names of the baselines whose gathers networks look at."""
    return sorted({settings.base.regression for settings in config.groups.values() if sees_residual(settings.model)})


def gathers_of(config: Config, survey: Survey, grids: np.ndarray) -> np.ndarray:
    """Gathers (sample, shot, time, receiver) of baselines' models (sample, gx, gz), every interval of ``survey``."""
    velocity = np.asarray(resize(possible(grids, survey), survey.model_shape))
    recorded = partial(simulate, survey=survey, **backgrounds.options(survey, config.simulator))
    if jax.default_backend() != "cpu":
        return np.asarray(recorded(velocity))
    with ThreadPoolExecutor(cores()) as pool:  # one program for batches of any size, and in half the time of a batch
        return np.stack(list(pool.map(lambda model: np.asarray(recorded(model)), velocity)))


def possible(grids: np.ndarray, survey: Survey) -> np.ndarray:
    """Models within the survey's bounds, as the simulator takes them: a baseline's may lie beyond."""
    return np.clip(grids, survey.v_min_km_s, survey.v_max_km_s)


def base_input(config: Config, gathers: np.ndarray, inputs: Inputs) -> np.ndarray:
    """Decimated gathers (n, shot, time, receiver) as the baselines take them: see ``BaseConfig.input``."""
    return np.asarray(gathers if config.base.input == "arcsinh" else inputs(jnp.asarray(gathers)))


def fit_inputs(config: Config, samples: Samples) -> Inputs:
    """What networks and regressions see of the samples' gathers, fitted to the training samples."""
    store = samples.store
    background = backgrounds.background(store.survey, config.simulator) if config.preprocess.whiten else None
    some = samples.train[:: max(1, len(samples.train) // inputs.ENOUGH)]
    return inputs.fit(config.preprocess, store.survey, store.std, store.gathers[some], background)


def _fit(config: Config, samples: Samples) -> Base:
    store, section, train = samples.store, config.base, samples.train
    if not store.survey.has_mirror:
        log.info(
            f"the survey is {store.survey.mirror_error_m:g} m off its mirror image: regression without mirrored copies"
        )
    arrays = baselines.settings_arrays(section, store.survey.dt_s, store.std)
    seen = fit_inputs(config, samples)
    arrays |= seen.arrays
    features = _features(config, store, seen, arrays)
    fitted = train[evenly(len(train), section.most_samples or len(train))]
    logarithms = (np.log(store.models[row]) for row in fitted)
    targets = cell_means(logarithms, coarse_shape(store.survey, section.spacing_m))
    found = baselines.fit(section, features[fitted], targets, store.survey.has_mirror, "kernel" in corrected(config))
    arrays |= {"profile": baselines.median_profile(store.models, train)} | found.arrays
    unseen, grids = np.setdiff1d(np.arange(len(store)), fitted), {}
    for name in corrected(config):
        plain = baselines.grids(arrays, name, features[unseen])
        grids[name] = np.empty((len(store), *plain.shape[1:]), np.float32)
        grids[name][unseen] = plain
        grids[name][fitted] = found.left_out.get(name, arrays["profile"])
    return Base(grids, arrays, _scores(arrays, features, samples))


def _taken(config: Config, samples: Samples, start: Restored) -> Base:
    """The baselines of ``start`` at these samples, to which none of them was fitted."""
    arrays = start.base or {}
    features = _seen_features(config, samples.store, samples.store.std, arrays)
    return Base(_plain(config, arrays, features), arrays, _scores(arrays, features, samples))


def predicted(config: Config, base: Base, store: Store, std: float) -> dict[str, np.ndarray]:
    """What the baselines that networks correct predict for samples that none was fitted to, by name.

    ``std`` is the unit of amplitude of those that it was fitted to.
    """
    return _plain(config, base.arrays, _seen_features(config, store, std, base.arrays)) if base.grids else {}


def _plain(config: Config, arrays: Mapping[str, np.ndarray], features: np.ndarray) -> dict[str, np.ndarray]:
    return {name: baselines.grids(arrays, name, features) for name in corrected(config)}


def _seen_features(config: Config, store: Store, std: float, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    return _features(config, store, inputs.from_arrays(config.preprocess, store.survey, std, arrays), arrays)


def _scores(arrays: Mapping[str, np.ndarray], features: np.ndarray, samples: Samples) -> dict[str, float]:
    """Each baseline's validation MAPE."""
    store, scores = samples.store, {}
    for name in regression.fitted(arrays):
        validated = baselines.grids(arrays, name, features[samples.validation])
        fine = (resize(grid, store.models.shape[1:]) for grid in validated)
        truths = (store.models[row] for row in samples.validation)
        scores[name] = float(np.mean([mape(f, t) for f, t in zip(fine, truths, strict=True)]))
    return scores


def _features(config: Config, store: Store, seen: Inputs, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    settings = [float(arrays[name]) for name in ("dt_s", "interval_s", "gain")]
    chunks = (store.gathers[k : k + _CHUNK] for k in range(0, len(store), _CHUNK))
    return np.concatenate([regression.features(base_input(config, chunk, seen), *settings) for chunk in chunks])


def _made_from(config: Config, samples: Samples, start: Restored | None) -> str:
    """A text that is the same for the same code, samples, split, settings and start only."""
    store, settings = samples.store, [dataclasses.asdict(config.base), corrected(config)]
    if config.preprocess.whiten or config.base.input == "preprocessed":
        settings += [dataclasses.asdict(config.preprocess), dataclasses.asdict(config.simulator)]
    settings.append(start and start.fingerprint)
    sides = [samples.train.tolist(), samples.validation.tolist()]
    return digest_json([_LAYOUT, store.fingerprint, store.survey.as_dict(), store.std, store.ids, sides, settings])


def _save(path: Path, made_from: str, base: Base) -> None:
    contents = {f"arrays/{name}": array for name, array in base.arrays.items()}
    contents |= {f"grids/{name}": grids for name, grids in base.grids.items()}
    meta = {"made_from": made_from, "mape": dict(base.mape)}
    meta["sha256"] = digest_arrays(meta, contents)
    arrays: dict[str, Any] = {**contents, _META: np.frombuffer(json.dumps(meta).encode(), np.uint8)}
    with write_aside(path) as aside, aside.open("wb") as file:
        np.savez(file, **arrays)


def _load(path: Path, made_from: str) -> Base | None:
    """What ``path`` keeps, if it was made from ``made_from``; None where there is nothing, or nothing whole."""
    if not path.exists():
        return None
    try:
        with open_plain(path) as opened, np.load(opened, allow_pickle=False) as file:
            meta: dict[str, Any] = json.loads(file[_META].tobytes())
            if meta["made_from"] != made_from:
                log.info(f"{path}: the samples or the settings changed; fitting the baselines anew")
                return None
            contents = {name: file[name] for name in file.files if name != _META}
        if meta.pop("sha256") != digest_arrays(meta, contents):
            raise ValueError("its contents do not match their checksum")
    except Exception as error:  # NumPy and zipfile raise many kinds for a damaged file
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        log.warning(f"{path}: damaged ({reason}); fitting the baselines anew")
        return None
    log.info(f"{path}: the baselines of this run, fitted before")
    arrays, grids = (
        {name.removeprefix(start): array for name, array in contents.items() if name.startswith(start)}
        for start in ("arrays/", "grids/")
    )
    return Base(grids, arrays, meta["mape"])
