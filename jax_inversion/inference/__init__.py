"""From a trained ensemble to a submission: jitted prediction, postprocessing, the file."""

from .postprocess import postprocess
from .predict import make_predict
from .submission import SubmissionWriter, check_submission, read_submission

__all__ = ["SubmissionWriter", "check_submission", "make_predict", "postprocess", "read_submission"]
