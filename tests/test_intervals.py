"""Intervals: what calibration promises on samples that it never saw, the files, and their score."""

import json
from functools import partial

import numpy as np
import pytest

from jax_inversion import infer
from jax_inversion.data.folders import MODEL_FILE
from jax_inversion.errors import UserError
from jax_inversion.inference.intervals import bounds, chosen, factors, table, with_others, write_bounds
from jax_inversion.inference.scores import interval_scores, interval_text
from jax_inversion.inference.stored import Stored
from jax_inversion.inference.submission import SubmissionWriter, bounds_paths, read_submission, spread_path
from jax_inversion.score import main as score_main
from jax_inversion.survey import Survey

SURVEY = Survey(
    nx=8, nz=32, spacing_m=10.0, nt=6, dt_s=1e-2, source_x_m=(0.0,), source_z_m=0.0, receiver_x_m=(0.0,),
    receiver_z_m=0.0,
)  # fmt: skip


def drawn(count: int, seed: int) -> Stored:
    """Predictions whose error grows with depth and differs between samples; the spread knows nothing of either."""
    rng = np.random.default_rng(seed)
    models = rng.uniform(2.0, 3.5, (count, *SURVEY.model_shape)).astype(np.float32)
    size = rng.lognormal(0, 0.4, (count, 1, 1)) * np.linspace(0.002, 0.03, SURVEY.nz)
    truths = models * np.exp(size * rng.standard_normal(models.shape)).astype(np.float32)
    return Stored(truths, models, 0.01 * models * rng.uniform(0.5, 2, models.shape).astype(np.float32))


def scored(stored: Stored, level: float) -> dict:
    found = factors(drawn(200, 0), level)
    triples = ((truth, *bounds(model, spread, found, SURVEY)) for truth, model, spread in zip(*stored, strict=True))
    return interval_scores(triples, level, SURVEY)


@pytest.mark.parametrize("level", [0.5, 0.9])
def test_samples_that_were_not_calibrated_on_are_covered_at_every_depth(level):
    found = scored(drawn(200, 1), level)
    assert found["coverage"] == pytest.approx(level, abs=0.02)
    assert all(band["coverage"] == pytest.approx(level, abs=0.05) for band in found["bands"])
    assert f"intervals of {100 * level:g} %" in interval_text([found]) and found["score"] > found["width"] > 0


def test_few_samples_are_covered_as_often_as_many():
    held = []
    for seed in range(30):
        found, new = factors(drawn(20, seed), 0.9), drawn(40, 1000 + seed)
        low, high = bounds(new.models, new.spreads, found, SURVEY)
        held.append(((low <= new.truths) & (new.truths <= high)).mean())
    assert 0.89 < np.mean(held) < 0.925  # 0.94 were a new sample reckoned with as missed in every cell


def test_too_few_samples_are_refused():
    with pytest.raises(UserError, match=r"9 samples cannot promise 0\.95"):
        factors(drawn(9, 0), 0.95)
    with pytest.raises(UserError, match="between 0 and 1"):
        factors(drawn(9, 0), 1.0)


def test_a_table_holds_the_factors_of_levels():
    stored = drawn(60, 0)
    known = table(stored)
    assert known["levels"][-1] == np.float32(0.98)  # of 60 samples 0.99 would be too much
    np.testing.assert_allclose(chosen(known, 0.9, "m.npz"), factors(stored, 0.9), rtol=1e-6)
    np.testing.assert_array_equal(chosen(known, 0.88, "m.npz"), chosen(known, 0.9, "m.npz"))
    with pytest.raises(UserError, match=r"m\.npz: calibrated for levels to 0\.98, not for 0\.99"):
        chosen(known, 0.99, "m.npz")


def test_bounds_lie_beside_their_submission_and_are_scored(tmp_path, capsys):
    stored, out = drawn(4, 2), tmp_path / "out.npz"
    for path, fields in ((out, stored.models), (spread_path(out), stored.spreads)):
        with SubmissionWriter(path, {"checkpoint": 1}) as writer:
            for k, field in enumerate(fields):
                writer.write(f"s{k}", field)
    known = with_others(partial(factors, drawn(50, 0)), 0.8, (0.5, 0.8, 0.999))
    assert list(known) == [0.5, 0.8]  # so few samples cannot promise the third
    write_bounds(out, known, 0.8, SURVEY, {"checkpoint": 1})
    lower, upper = bounds_paths(out)
    with read_submission(out) as models, read_submission(lower) as low, read_submission(upper) as high:
        for name in models.ids:
            model, least, most = (each.read(name, SURVEY.model_shape) for each in (models, low, high))
            assert (SURVEY.v_min_km_s <= least).all() and (least <= model).all() and (model <= most).all()
    for k, truth in enumerate(stored.truths):
        (tmp_path / "truth" / f"s{k}").mkdir(parents=True)
        np.save(tmp_path / "truth" / f"s{k}" / MODEL_FILE, np.asarray(truth, np.float64))
    arguments = ["--truth", str(tmp_path / "truth"), "--submission", str(out), "--intervals"]
    assert score_main([*arguments, "--json", str(tmp_path / "scores.json")]) == 0
    half, most = json.loads((tmp_path / "scores.json").read_text())["intervals"]
    assert (half["level"], most["level"]) == (0.5, 0.8) and half["width"] < most["width"]
    said = capsys.readouterr().out
    assert "intervals of 80 %" in said and "within intervals of 50, 80 % by depth, +- over samples" in said
    write_bounds(out, known, 0.8, SURVEY, {"checkpoint": 1}, {"s1": 2 * known[0.8]})
    assert score_main([*arguments, "--json", str(tmp_path / "scores.json")]) == 0
    (apart,) = json.loads((tmp_path / "scores.json").read_text())["intervals"]  # s1 has no factors of other levels
    assert apart["level"] == 0.8 and apart["width"] > 1.1 * most["width"]
    with SubmissionWriter(out, {"checkpoint": 2}) as writer:
        for k, field in enumerate(stored.models):
            writer.write(f"s{k}", field)
    assert score_main(arguments) == 2 and "bounds of another prediction" in capsys.readouterr().err
    lower.unlink()
    assert score_main(arguments) == 2 and "infer --intervals 0.9 writes them" in capsys.readouterr().err
    assert infer.main(["--ckpt", "nowhere", "--intervals", "90"]) == 2
    assert "--intervals is 90; right is a share" in capsys.readouterr().err
