"""Every figure, and the report that gathers them. The only importer of matplotlib.

``report.py`` is imported by those who write one: it reads runs, and with them comes all that training needs.
"""

from .canvas import png, save
from .curves import amplitude_spectrum, error_by_depth, histogram, sample_scores, training_curves
from .gathers import gather_panel
from .intervals import interval_profiles
from .models import comparison, correction, depth_profiles, model_panel
from .quality import quality_panel

__all__ = [
    "amplitude_spectrum",
    "comparison",
    "correction",
    "depth_profiles",
    "error_by_depth",
    "gather_panel",
    "histogram",
    "interval_profiles",
    "model_panel",
    "png",
    "quality_panel",
    "sample_scores",
    "save",
    "training_curves",
]
