"""When a reflection is recorded: two-way times of a vertical path to the times at which traces at an offset show it."""

import numpy as np
from jaxtyping import Float

from ..survey import Survey

M_PER_KM = 1000.0
PROFILE = (0.0, 0.37)  # of v_max - v_min: the reference above v_min at time zero and at the record's end


def reference_km_s(survey: Survey, time_s: Float[np.ndarray, " time"]) -> Float[np.ndarray, " time"]:
    """Root-mean-square velocity that a section of no known structure has down to ``time_s``: it rises linearly.

    The challenge's range of velocity gives 1.5 km/s at the surface and 2.6 km/s at the record's end.
    """
    first, last = (survey.v_min_km_s + share * (survey.v_max_km_s - survey.v_min_km_s) for share in PROFILE)
    return first + (last - first) * np.asarray(time_s) / survey.duration_s


def arrivals_s(
    survey: Survey,
    time_s: Float[np.ndarray, " time"],
    delay_s: float,
    rms_km_s: Float[np.ndarray, " time"] | None = None,
) -> Float[np.ndarray, "time shot receiver"]:
    """Where the peak of the reflection from two-way time ``time_s`` below depth 0 stands in each trace.

    Normal moveout of flat layers, sqrt(t^2 + (offset / v_rms)^2) (Dix 1955, doi:10.1190/1.1438126), t less the way from
    depth 0 to source and receiver; the wavelet's peak comes ``delay_s`` after its start. v_rms is ``rms_km_s``, by
    default that of ``reference_km_s``: the training set's own decides nothing (benchmarks/README.md).
    """
    offset_m = np.asarray(survey.receiver_x_m)[None, :] - np.asarray(survey.source_x_m)[:, None]
    buried_s = (survey.source_z_m + survey.receiver_z_m) / (survey.v_min_km_s * M_PER_KM)
    vertical_s = np.maximum(np.asarray(time_s) - buried_s, 0.0)[:, None, None]
    v_km_s = reference_km_s(survey, time_s) if rms_km_s is None else rms_km_s
    v_m_s = v_km_s[:, None, None] * M_PER_KM
    return np.sqrt(vertical_s**2 + (offset_m[None] / v_m_s) ** 2) + delay_s
