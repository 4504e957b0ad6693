"""What is done to a predicted model before it is written."""

import numpy as np
from scipy.ndimage import gaussian_filter

from ..arrays import Velocity
from ..survey import Survey


def postprocess(velocity: Velocity, survey: Survey, *, smoothing_m: float = 0.0, clip: bool = True) -> np.ndarray:
    """Smooth models (*batch, x, depth) with a Gaussian of ``smoothing_m`` standard deviation, clip to the bounds.

    Edges are continued by their last value, so that a constant stays what it is. 0 m: no smoothing.
    """
    result = np.asarray(velocity)
    if smoothing_m > 0:
        sigma = smoothing_m / survey.spacing_m
        result = gaussian_filter(result, sigma=(0.0,) * (result.ndim - 2) + (sigma, sigma), mode="nearest")
    return np.clip(result, survey.v_min_km_s, survey.v_max_km_s) if clip else result
