"""Prediction: what the mirror guarantees, noise, spread; postprocessing; the front door on a tiny run."""

import dataclasses
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_run import SURVEY as TINY
from tiny_run import tiny_config

import jax_inversion
from jax_inversion import infer, regression
from jax_inversion.config import InferConfig
from jax_inversion.data.folders import Sample, read_gathers, write_sample
from jax_inversion.data.inputs import Inputs
from jax_inversion.data.preprocess import PreprocessConfig
from jax_inversion.ensemble import Group
from jax_inversion.errors import UserError
from jax_inversion.inference.postprocess import postprocess
from jax_inversion.inference.predict import make_predict
from jax_inversion.inference.predictor import Predictor
from jax_inversion.inference.submission import check_submission, read_submission
from jax_inversion.regression import baselines
from jax_inversion.resampling import cell_means
from jax_inversion.start import Start
from jax_inversion.survey import Survey, mirror_gathers, mirror_velocity
from jax_inversion.surveys import SURVEY_FILE, keep_survey
from jax_inversion.training.assembly import assemble
from jax_inversion.training.checkpoints import Meta, Restored, save

SURVEY = Survey(
    nx=4, nz=6, spacing_m=10.0, nt=6, dt_s=1e-2, source_x_m=(0.0, 30.0), source_z_m=0.0,
    receiver_x_m=(0.0, 10.0, 20.0, 30.0), receiver_z_m=0.0,
)  # fmt: skip
SOURCE_X = np.array([0.0, 1.0], np.float32)
GATHERS = np.random.default_rng(0).normal(size=(3, *SURVEY.gathers_shape)).astype(np.float32)
KEY = jax.random.key(0)


class Even(nn.Module):
    """Equivariant under the mirror: scale times the sum of the shots, plus the base."""

    @nn.compact
    def __call__(self, gathers, source_x, base=None, train=False):
        scale = self.param("scale", nn.initializers.normal(1.0), ())
        velocity = scale * jnp.swapaxes(gathers.sum(axis=-3), -2, -1)
        return velocity if base is None else velocity + base


class Skew(nn.Module):
    """As far from equivariant as can be: every cell has a weight of its own for every amplitude."""

    @nn.compact
    def __call__(self, gathers, source_x, base=None, left=None, train=False):
        flat = (gathers if left is None else gathers + 2 * left).reshape(gathers.shape[0], -1)
        velocity = nn.Dense(SURVEY.nx * SURVEY.nz)(jnp.tanh(flat)).reshape(-1, *SURVEY.model_shape)
        return velocity if base is None else velocity * jnp.square(base)


def _variables(model: nn.Module, members: int = 3) -> dict:
    keys = jax.random.split(jax.random.key(1), members)
    params = jax.vmap(lambda key: model.init(key, GATHERS, SOURCE_X))(keys)["params"]
    return {"params": {"some": params}, "batch_stats": {"some": {}}, "logits": jnp.asarray([0.3, -0.2, 1.0][:members])}


def _predict(model: nn.Module, gathers=GATHERS, base=None, survey=SURVEY, members=3, key=KEY, **options):
    preprocess = PreprocessConfig(gain_power=options.pop("gain_power", 0.0))
    groups = [Group("some", model, members, "kernel", residual=base is not None and base.gathers is not None)]
    predict = make_predict(groups, Inputs(preprocess, survey, 2.0), InferConfig(**options))
    mean, spread, _ = predict(_variables(model, members), gathers, {} if base is None else {"kernel": base}, key)
    return np.asarray(mean), np.asarray(spread)


def _same(found, expected):
    # to rounding: XLA contracts a product and a sum to one operation on one side of the average only
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_an_equivariant_model_gains_nothing_from_the_mirror():
    for found, expected in zip(_predict(Even(), mirror=True), _predict(Even(), mirror=False), strict=True):
        _same(found, expected)


@pytest.mark.parametrize("with_base", [None, "model", "gathers"])
def test_the_mirror_makes_any_model_equivariant(with_base):
    rng, base = np.random.default_rng(1), None
    if with_base:
        gathers = rng.normal(size=GATHERS.shape).astype(np.float32) if with_base == "gathers" else None
        base = Start(rng.uniform(1, 2, (3, *SURVEY.model_shape)).astype(np.float32), gathers)
    mirrored_base = base and base.mirrored()
    mean, spread = _predict(Skew(), base=base)
    mirrored_mean, mirrored_spread = _predict(Skew(), mirror_gathers(GATHERS), mirrored_base)
    _same(mirrored_mean, mirror_velocity(mean))
    _same(mirrored_spread, mirror_velocity(spread))
    plain = _predict(Skew(), mirror_gathers(GATHERS), mirrored_base, mirror=False)[0]
    assert abs(plain - mirror_velocity(_predict(Skew(), base=base, mirror=False)[0])).max() > 0.1


def test_a_survey_without_mirror_goes_without():
    lopsided = dataclasses.replace(SURVEY, source_x_m=(0.0, 5.0))
    assert not lopsided.has_mirror
    np.testing.assert_array_equal(
        _predict(Skew(), survey=lopsided, mirror=True)[0], _predict(Skew(), survey=lopsided, mirror=False)[0]
    )


def test_mean_is_weighted_and_spread_is_of_the_members():
    variables = _variables(Even())
    mean, spread = _predict(Even(), mirror=False, gain_power=1.0)
    gain = np.maximum(np.arange(6), 1) * 0.01
    members = np.asarray(variables["params"]["some"]["scale"])[:, None, None, None] * np.swapaxes(
        (GATHERS / 2 * gain[:, None]).sum(axis=1), -2, -1
    )
    weights = np.exp(variables["logits"]) / np.exp(variables["logits"]).sum()
    np.testing.assert_allclose(mean, np.tensordot(weights, members, axes=1), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(spread, members.std(axis=0), rtol=1e-5, atol=1e-6)


def test_one_member_has_no_spread():
    assert not _predict(Even(), members=1, mirror=False)[1].any()
    _same(_predict(Even(), members=1)[1], np.zeros((3, *SURVEY.model_shape)))
    assert _predict(Skew(), members=1)[1].max() > 0.01  # but for its mirrored copy


def test_noise_copies_average_out_of_a_linear_model():
    variables = _variables(Even())
    settings = [InferConfig(mirror=False, noise_copies=n, noise_level=0.5 if n else 0.0) for n in (0, 1, 24)]
    clean, one, many = (
        make_predict([Group("some", Even(), 3)], Inputs(PreprocessConfig(), SURVEY, 2.0), section)
        for section in settings
    )

    def error(predict, key=KEY) -> np.ndarray:
        return np.asarray(predict(variables, GATHERS, {}, key)[0] - clean(variables, GATHERS, {}, key)[0])

    # n noisy copies of n + 1: an error of sqrt(n) / (n + 1) times that of one
    assert np.std(error(many)) / np.std(error(one)) == pytest.approx(np.sqrt(24) / 25 * 2, rel=0.35)
    assert abs(error(one, jax.random.key(5)) - error(one)).max() > 0.01


@given(value=st.floats(1.5, 4.5, width=32), smoothing_m=st.floats(0, 100))
def test_postprocessing_keeps_a_constant(value, smoothing_m):
    constant = np.full((2, *SURVEY.model_shape), value, np.float32)
    found = postprocess(constant, SURVEY, smoothing_m=smoothing_m)
    np.testing.assert_allclose(found, constant, rtol=1e-5)
    assert found.dtype == np.float32


def test_smoothing_is_in_metres_and_spares_the_batch():
    survey = dataclasses.replace(SURVEY, nx=101, nz=121)
    point = np.zeros((2, 101, 121), np.float32)
    point[0, 50, 60] = 1
    found = postprocess(point, survey, smoothing_m=50.0, clip=False)
    assert not found[1].any()
    for axis, centre in ((1, 50), (0, 60)):
        along = found[0].sum(axis=axis)
        metres = 10.0 * (np.arange(len(along)) - centre)
        assert np.sqrt((along * metres**2).sum() / along.sum()) == pytest.approx(50, rel=0.01)


def test_clipping_to_the_survey():
    found = postprocess(np.array([[0.0, 2.0, 9.0]], np.float32), SURVEY)
    np.testing.assert_array_equal(found, np.array([[1.5, 2.0, 4.5]], np.float32))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """An untrained run with the checkpoints best and epoch_3, and five test samples beside it."""
    root = tmp_path_factory.mktemp("infer")
    rng = np.random.default_rng(0)
    for k in range(5):
        write_sample(root / "data" / "test", f"s{k}", TINY, 0.01 * rng.standard_normal(TINY.gathers_shape), None)
    config = tiny_config(data={"root": str(root / "data")}, infer={"batch_size": 2, "smoothing_m": 10.0})
    survey = TINY.with_interval(config.preprocess.dt_s)
    inputs = Inputs(config.preprocess, survey, 0.01)
    shapes = jax.eval_shape(assemble(config, inputs, steps=4).initial)  # compiling it takes half a minute
    state = jax.tree.map(lambda leaf: np.ones(leaf.shape, leaf.dtype), shapes)
    params = jax.tree.map(lambda p: 0.1 * rng.standard_normal(p.shape).astype(p.dtype), state.params)
    names = ("best", "epoch_3")
    meta = Meta(config, survey, std=0.01, step=6, per_epoch=2, metrics={}, data_ids="", data="", names=names)
    save(root / "run", state.replace(params=params, ema=params), meta, {})
    return root / "run"


IDS = [f"s{k}" for k in range(5)]


@pytest.fixture(scope="module")
def submission(run):
    return infer.infer(run, uncertainty=True)


def test_infer_writes_a_checked_submission(run, submission):
    assert submission == run / "submission_best_epoch_3.npz"
    check_submission(submission, IDS, TINY)
    spread = run / "submission_best_epoch_3_spread.npz"
    check_submission(spread, IDS, TINY, plausible_km_s=(0.0, 10.0))
    with read_submission(spread) as archive:
        assert archive.read("s0", TINY.model_shape).max() > 0


def test_a_batch_holds_no_memory_of_its_neighbours(run, submission, tmp_path, caplog):
    caplog.set_level("INFO", logger="jax_inversion")
    whole = infer.infer(run / "epoch_3", out=tmp_path / "5.npz", overrides=["--infer.batch-size", "5"])
    with read_submission(submission) as a, read_submission(whole) as b:
        for sample_id in IDS:
            shape = TINY.model_shape
            np.testing.assert_allclose(a.read(sample_id, shape), b.read(sample_id, shape), rtol=1e-4)
    assert "5 models of epoch 3" in caplog.text and "mean" in caplog.text and "s a sample" in caplog.text


def test_arrays_are_predicted_as_the_front_door_predicts_folders(run, submission, caplog):
    predictor = jax_inversion.load(run, ["--infer.batch-size", "2"])
    gathers = np.stack([read_gathers(Sample(name, run.parent / "data" / "test" / name), TINY) for name in IDS])
    found = predictor.predict(gathers)
    assert found.velocity_km_s.shape == (5, *TINY.model_shape) == found.members.shape[1:] and len(found.members) == 2
    with read_submission(submission) as archive:
        for name, model in zip(IDS, found.velocity_km_s, strict=True):
            np.testing.assert_allclose(model, archive.read(name, TINY.model_shape), rtol=1e-5)
    one = predictor.predict(gathers[3])
    assert one.velocity_km_s.shape == one.spread_km_s.shape == TINY.model_shape == one.members.shape[1:]
    np.testing.assert_allclose(one.velocity_km_s, found.velocity_km_s[3], rtol=1e-4)
    thinned = predictor.predict(predictor.decimated(gathers[3])[0])
    np.testing.assert_array_equal(thinned.velocity_km_s, one.velocity_km_s)
    data = found.to_xarray()
    assert data.velocity.dims == ("sample", "x", "depth") and data.velocity.units == "km/s" and data.x.units == "m"
    assert float(data.depth[-1]) == (TINY.nz - 1) * TINY.spacing_m and data.members.sizes["member"] == 2
    for wrong, words in (
        (gathers[0, :1], "samples stacked"),
        (gathers[:, :, :-1], r"right is \(2, 101, 5\) \(shot, time, receiver\)"),
        (np.where(gathers[0] > 0, np.nan, 0), "values are NaN or infinite"),
        (0 * gathers, "gathers of sample 0 are zero throughout"),
    ):
        with pytest.raises(UserError, match=words):
            predictor.predict(wrong)
    louder = 20 * gathers[:2]
    louder[1, 1] = 0
    predictor.predict(louder)
    assert caplog.text.count("that of training; its prediction means little") == 2
    assert "gathers of sample 1: shot 2 is zero throughout" in caplog.text
    assert len(repr(predictor)) < 10_000
    with pytest.raises(UserError, match="no packed samples"):
        predictor.predict(gathers[0], intervals=0.9)


def test_overrides_and_a_folder_of_samples(run, submission, tmp_path, capsys):
    arguments = ["--ckpt", f"{run}/best", "--data", str(run.parent / "data" / "test")]
    assert infer.main([*arguments, "--out", str(tmp_path / "s.npz"), "--infer.mirror", "false"]) == 0
    check_submission(tmp_path / "s.npz", IDS, TINY)
    assert submission.read_bytes() != (tmp_path / "s.npz").read_bytes()
    assert infer.main([*arguments, "--train.epochs", "3"]) == 2
    assert "fixed by the checkpoint" in capsys.readouterr().err
    assert infer.main([*arguments, "--infer.miror", "false"]) == 2
    assert "did you mean 'mirror'" in capsys.readouterr().err


def test_the_baseline_reaches_the_networks_on_their_grid():
    rng = np.random.default_rng(0)
    survey = TINY.with_interval(4e-3)
    gathers = rng.normal(size=(6, *survey.gathers_shape)).astype(np.float32)
    velocity = rng.uniform(1.5, 4.5, (6, *survey.model_shape)).astype(np.float32)
    settings = regression.BaseConfig(regression="linear", dt_s=8e-3)
    arrays = baselines.settings_arrays(settings, 4e-3, 1.0)
    inputs = regression.features(gathers, 4e-3, 8e-3, float(arrays["gain"]))
    arrays |= baselines.fit(settings, inputs, cell_means(np.log(velocity), (6, 10)), mirror=True, kernel=False).arrays
    config = tiny_config(base={"regression": "linear", "dt_s": 8e-3})
    restored = Restored(
        path=Path(), run=Path(), name="best", names=(), fingerprint="", config=config, survey=survey, std=1.0, step=1,
        per_epoch=1, metrics={}, params={}, batch_stats={}, logits=np.zeros(1), ema=None, base=arrays,
    )  # fmt: skip
    (base,) = Predictor(restored, config).bases(gathers[:2]).values()
    assert base.velocity.shape == (2, *survey.model_shape) and base.velocity.dtype == np.float32
    assert 1.5 < base.velocity.min() < base.velocity.max() < 4.5 and base.gathers is None
    none = Predictor(restored, tiny_config())
    assert none.bases(gathers[:2]) == {} and none.baselines == ("linear",)


def test_a_missing_checkpoint_lists_those_there_are(run, capsys):
    assert infer.main(["--ckpt", f"{run}/epoch_10"]) == 2
    assert "it has best, latest, epoch_3" in capsys.readouterr().err


def test_data_of_another_survey(run, tmp_path, capsys):
    other = dataclasses.replace(TINY, nt=51)
    write_sample(tmp_path, "x", other, np.ones(other.gathers_shape), None)
    assert infer.main(["--ckpt", str(run), "--data", str(tmp_path)]) == 2
    message = capsys.readouterr().err
    assert "another survey" in message and "(101, 5)" in message and "(51, 5)" in message
    keep_survey(tmp_path / SURVEY_FILE, other)
    assert infer.main(["--ckpt", str(run), "--data", str(tmp_path)]) == 2
    assert f"survey than that of {run}/" in (message := capsys.readouterr().err) and message.endswith("differs in nt\n")


def test_bad_samples_are_all_named_and_nothing_is_written(run, tmp_path):
    for k in range(3):
        gathers = np.full(TINY.gathers_shape, np.nan if k else 0.1, np.float32)
        write_sample(tmp_path / "data", f"s{k}", TINY, gathers, None)
    with pytest.raises(UserError, match=r"(?s)2 of 3 samples are bad.*s1: .*s2: "):
        infer.infer(run, tmp_path / "data", tmp_path / "out.npz")
    assert not (tmp_path / "out.npz").exists()
