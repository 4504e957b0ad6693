"""From a trained ensemble to a submission and its scores: prediction, postprocessing, the file, yardsticks."""
