"""Responses of the homogeneous background, kept: the challenge's comes with the package, others lie in the cache."""

import logging
import zipfile
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from . import physics
from .caches import cache_folder
from .errors import UserError
from .files import write_aside
from .physics import SimulatorConfig
from .survey import Survey

SHIPPED = Path(__file__).with_name("challenge_background.npz")
_UPDATES_PER_S = 1e9  # on two CPU cores
_LONGEST_S = 3600.0

log = logging.getLogger(__name__)


def options(survey: Survey, settings: SimulatorConfig) -> dict[str, Any]:
    """All keyword arguments of ``physics.simulate`` that the settings ask for, the background's response among them."""
    return settings.options | {"background": background(survey, settings)}


@lru_cache(maxsize=4)
def background(survey: Survey, settings: SimulatorConfig) -> Float[np.ndarray, "shot time receiver"] | None:
    """The reference run's gathers of the homogeneous background; None where the settings ask for none.

    Found in the package or the cache folder, else computed, a minute or more, and kept there. Call it before worker
    processes start, lest each computes it. ``UserError`` where it would take longer than an hour.
    """
    reference = settings.reference
    if reference is None or not settings.has_background:
        return None
    km_s = survey.v_min_km_s if settings.options["background_km_s"] is None else settings.options["background_km_s"]
    run = survey, km_s, reference, settings.free_surface
    fingerprint = physics.background_fingerprint(*run)
    kept = cache_folder() / f"background-{fingerprint}.npz"
    spectra = _read(SHIPPED, fingerprint)
    if spectra is None:
        spectra = _read(kept, fingerprint)
    if spectra is None:
        seconds = physics.background_updates(*run) / _UPDATES_PER_S
        if seconds > _LONGEST_S:
            raise UserError(
                f"the reference run over {km_s:g} km/s would take about {seconds / 3600:.0f} hours on a CPU; set"
                " simulator.background_km_s to 'none', or simulator.reference_spacing_m to coarser cells"
            )
        log.info(
            "running the reference over %g km/s once for this survey, about %.0f s; kept as %s", km_s, seconds, kept
        )
        spectra = physics.background_spectra(*run)
        try:
            write(kept, fingerprint, spectra)
        except OSError as error:
            log.warning("%s: not kept: %s", kept, error)
    gathers = physics.gathers_of(spectra, survey, reference)
    gathers.flags.writeable = False  # everyone who asks gets this one
    return gathers


def write(path: Path, fingerprint: str, spectra: Float[np.ndarray, "part shot receiver"]) -> None:
    """Keep a response, whole or not at all."""
    with write_aside(path) as aside, aside.open("wb") as file:
        np.savez(file, fingerprint=fingerprint, spectra=spectra)


def _read(path: Path, fingerprint: str) -> Float[np.ndarray, "part shot receiver"] | None:
    """What ``path`` keeps, unless it is of another run, damaged (the archive has checksums) or not there."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return np.asarray(file["spectra"]) if str(file["fingerprint"]) == fingerprint else None
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        log.warning("%s: damaged, computed anew: %s", path, error)
        return None
