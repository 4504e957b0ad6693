"""Does the simulator make the gathers that go with these models? Gain, sign, delay and what is left."""

from pathlib import Path
from typing import Any

import numpy as np

from .. import backgrounds, physics
from ..data.folders import MODEL_FILE, Sample, find_samples, read_gathers, read_velocity
from ..errors import UserError
from ..physics.settings import SimulatorConfig
from ..progress import track
from ..survey import CHALLENGE, Survey
from .matching import Simulated, fit, residuals

LATE_S = 0.35  # after the direct and the first reflected waves: what the boundaries and deep layers send
GOOD, GOOD_LATE = 0.01, 0.05  # relative L2 residuals
SAME_GAIN, SAME_DELAY = 0.01, 0.02  # of the simulator's own: relative, and in periods of the wavelet's peak


def calibrate(
    data: Path | str,
    count: int | None = None,
    survey: Survey = CHALLENGE,
    simulator: SimulatorConfig = SimulatorConfig(),  # noqa: B008 (frozen)
) -> dict[str, Any]:
    """Fit gain, sign and delay of the simulator to the first ``count`` samples below ``data`` that have a model.

    Returns ``samples`` (one dict each: id, gain, delay_ms, residual, late, matched, matched_late, shots), the medians
    of the same figures, ``sign``, ``gain_spread`` (relative) and ``judgement``, a sentence. Residuals are relative L2
    differences, whole and after 0.35 s (``late``), before and after the fit (``matched``); late ones are None for
    records that end before. ``shots`` has the same four, each a list over the shots.

    Raises:
        UserError: no sample with gathers and model, or a bad one.
    """
    if count is not None and count < 1:
        raise UserError(f"--count is {count}; it must be at least 1")
    samples = [s for s in find_samples(data, None, survey) if (s.path / MODEL_FILE).exists()][:count]
    if not samples:
        raise UserError(f"{data}: no sample with {MODEL_FILE}; calibrating needs gathers and their model")
    found = [_compare(sample, survey, simulator) for sample in track(samples, len(samples), "calibrating")]
    result: dict[str, Any] = {"samples": found}
    for name in ("gain", "delay_ms", "residual", "late", "matched", "matched_late"):
        values = [one[name] for one in found if one[name] is not None]
        result[name] = float(np.median(values)) if values else None
    result["sign"] = 1 if result["gain"] > 0 else -1
    gains = [one["gain"] for one in found]
    result["gain_spread"] = float((max(gains) - min(gains)) / abs(result["gain"]))
    result["judgement"] = _judge(result, survey)
    return result


def _compare(sample: Sample, survey: Survey, simulator: SimulatorConfig) -> dict[str, Any]:
    recorded = read_gathers(sample, survey)
    if not recorded.any(axis=(1, 2)).all():
        raise UserError(f"{sample.path}: a gather is zero throughout; there is nothing to calibrate with")
    how = backgrounds.options(survey, simulator)
    gathers = np.asarray(physics.simulate(read_velocity(sample, survey), survey, **how))
    simulated = Simulated(gathers, survey.dt_s)
    match = fit(recorded, simulated)
    found: dict[str, Any] = {"id": sample.id, "gain": match.gain, "delay_ms": 1e3 * match.delay_s, "shots": {}}
    late = round(LATE_S / survey.dt_s)
    for name, expected in (("", gathers), ("matched", simulated.matched(match))):
        for part, row in (("", 0), ("late", late)):
            key = "_".join(filter(None, (name, part))) or "residual"
            if row >= survey.nt or not recorded[:, row:].any(axis=(1, 2)).all():
                found[key] = found["shots"][key] = None
                continue
            shots, found[key] = residuals(recorded, expected, row)
            found["shots"][key] = shots.tolist()
    return found


def _judge(result: dict[str, Any], survey: Survey) -> str:
    """What the figures mean, for someone who asks whether to simulate training data for theirs."""
    gain, delay_ms = result["gain"], result["delay_ms"]
    left, late = result["matched"], result["matched_late"]
    same_delay_ms = 1e3 * SAME_DELAY / survey.peak_hz
    if left > GOOD:
        first = f"the simulator does not match these data: {left:.1%} is left after gain, sign and delay; "
        if late is not None and late > 3 * left:
            return first + "mostly late, so look at the boundary (free surface, absorbing layer) and the model's depth"
        return first + "look at the wavelet and its frequency, the positions of sources and receivers, and the units"
    wanted = []
    if abs(gain - 1) > SAME_GAIN:
        wanted.append(f"a gain of {gain:.4g}" + (" (the sign is reversed)" if gain < 0 else ""))
    if abs(delay_ms) > same_delay_ms:
        wanted.append(f"a delay of {delay_ms:.3g} ms")
    verdict = f"the simulator matches these data ({left:.2%} is left"
    if late is not None:
        verdict += f", {late:.1%} after {LATE_S:g} s"
    verdict += ")" + (f" once it is given {' and '.join(wanted)}" if wanted else "")
    if result["gain_spread"] > SAME_GAIN:
        verdict += f"; the gain differs by {result['gain_spread']:.1%} between samples: scale each by itself"
    if late is not None and late > GOOD_LATE:
        verdict += "; the late part matches less well: look at the boundary"
    return verdict
