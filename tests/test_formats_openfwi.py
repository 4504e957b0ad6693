"""OpenFWI's shards: names, axes, units, damage; its survey, and our gathers beside the published scheme."""

import pickle

import jax
import numpy as np
import pytest
from formats_tiny import SURVEY, samples
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from jax_inversion import config, geology, physics
from jax_inversion.errors import UserError
from jax_inversion.formats.openfwi import OPENFWI, as_stored, open_shards, write_shard
from jax_inversion.simulation.matching import Simulated, fit, residuals

NAMES = {
    "vel": ("data/data1.npy", "model/model1.npy"),
    "fault": ("seis2_1_0.npy", "vel2_1_0.npy"),
    "side by side": ("data1.npy", "model1.npy"),
}


def shards(folder, names=NAMES["fault"], count=3, seed=0):
    """Shards as OpenFWI has them: (n, shot, time, receiver), and (n, 1, depth, x) in m/s."""
    gathers, models = samples(count, seed=seed)
    for name, array in zip(names, (gathers, 1000 * models.transpose(0, 2, 1)[:, None]), strict=True):
        (folder / name).parent.mkdir(exist_ok=True)
        np.save(folder / name, array)
    return gathers, models


@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
def test_each_familys_shards_are_paired_and_turned(tmp_path, names):
    gathers, models = shards(tmp_path, names)
    found = open_shards([tmp_path / names[0]])
    stem = names[0].rpartition("/")[2].removesuffix(".npy")
    assert found.ids == tuple(f"{stem}-0000{k}" for k in range(3))
    assert (found.gathers_shape, found.model_shape) == (SURVEY.gathers_shape, SURVEY.model_shape)
    for k in range(3):
        recorded, velocity = found.read(k)
        np.testing.assert_array_equal(recorded, gathers[k])
        np.testing.assert_allclose(velocity, models[k], rtol=1e-6)
        assert velocity.dtype == recorded.dtype == np.float32


def test_a_folders_shards_come_in_the_order_of_their_numbers(tmp_path):
    for k in (10, 2):
        shards(tmp_path, (f"data/data{k}.npy", f"model/model{k}.npy"), count=1, seed=k)
    assert open_shards([tmp_path]).ids == ("data2-00000", "data10-00000")


def test_gathers_without_models_are_taken_on_request(tmp_path):
    shards(tmp_path)
    (tmp_path / "vel2_1_0.npy").unlink()
    with pytest.raises(UserError, match=r"no vel2_1_0.npy beside it or in ../model; --no-truth"):
        open_shards([tmp_path])
    found = open_shards([tmp_path], velocity=False)
    assert found.model_shape is None and found.read(1).velocity is None


@settings(max_examples=20, deadline=None)
@given(hnp.arrays(np.float32, st.tuples(*[st.integers(1, 4)] * 3), elements=st.floats(0.5, 8, width=32)))
def test_what_is_written_is_read_back(tmp_path_factory, models):
    folder = tmp_path_factory.mktemp("shards")
    gathers = np.ones((len(models), 1, 2, 3), np.float32)
    write_shard(folder / "data1.npy", iter(gathers), len(models))
    write_shard(folder / "model1.npy", map(as_stored, models), len(models))
    stored = np.load(folder / "model1.npy", allow_pickle=False)
    assert stored.shape == (len(models), 1, models.shape[2], models.shape[1]) and stored.dtype == np.float32
    found = open_shards([folder])
    for k, model in enumerate(models):
        np.testing.assert_allclose(found.read(k).velocity, model, rtol=1e-6)


def _save(array, **how):
    return lambda path: np.save(path, array, **how)


DAMAGE = {
    "missing": (lambda p: p.unlink(), "no such file or folder"),
    "empty": (lambda p: p.write_bytes(b""), "truncated: the file is empty"),
    "cut": (lambda p: p.write_bytes(p.read_bytes()[:-9]), "damaged .npy file: .* bytes of values are there"),
    "header": (lambda p: p.write_bytes(p.read_bytes()[:40]), "truncated .npy file"),
    "text": (lambda p: p.write_text("1 2 3"), "not an .npy file"),
    "pickle": (lambda p: p.write_bytes(pickle.dumps([1])), "a pickle, not an .npy file"),
    "objects": (_save(np.array([None]), allow_pickle=True), "holds pickled objects"),
    "complex": (_save(np.zeros((3, 2, 21, 4), np.complex64)), "dtype is complex64; right are real numbers"),
    "one sample": (_save(np.zeros((2, 21, 4))), r"shape is \(2, 21, 4\); right is \(sample, shot, time, receiver\)"),
    "none": (_save(np.zeros((0, 2, 21, 4))), r"shape is \(0, 2, 21, 4\)"),
    "folder": (lambda p: (p.unlink(), p.mkdir()), "no shards below it"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_gathers_are_refused_in_a_line(tmp_path, kind):
    shards(tmp_path)
    spoil, said = DAMAGE[kind]
    spoil(path := tmp_path / "seis2_1_0.npy")
    with pytest.raises(UserError, match=said) as caught:
        open_shards([path])
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


MODEL_DAMAGE = {
    "cut": (DAMAGE["cut"][0], "bytes of values are there"),
    "too few": (
        _save(np.ones((2, 1, 8, 6))),
        r"shape is \(2, 1, 8, 6\); .* has 3 samples, so right is \(3, 1, depth, x\)",
    ),
    "no channel": (_save(np.ones((3, 8, 6))), r"shape is \(3, 8, 6\); right is \(sample, 1, depth, x\)"),
}


@pytest.mark.parametrize("kind", MODEL_DAMAGE)
def test_damaged_models_are_refused_in_a_line(tmp_path, kind):
    shards(tmp_path)
    spoil, said = MODEL_DAMAGE[kind]
    spoil(path := tmp_path / "vel2_1_0.npy")
    with pytest.raises(UserError, match=said) as caught:
        open_shards([tmp_path])
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_shards_of_two_surveys_are_refused(tmp_path):
    shards(tmp_path)
    np.save(tmp_path / "seis2_1_1.npy", np.ones((1, 2, 21, 5)))
    np.save(tmp_path / "vel2_1_1.npy", np.ones((1, 1, 8, 6)))
    with pytest.raises(
        UserError, match=r"seis2_1_1.npy: its samples are \(2, 21, 5\); those of .*_0.npy are \(2, 21, 4\)"
    ):
        open_shards([tmp_path])


def test_other_names_are_refused(tmp_path):
    np.save(tmp_path / "gathers.npy", np.ones(3))
    with pytest.raises(UserError, match="not the name of a shard"):
        open_shards([tmp_path / "gathers.npy"])


def test_the_preset_has_openfwis_survey(request):
    assert config.load(request.config.rootpath / "configs" / "openfwi.toml").survey == OPENFWI


def published_gather(model_m_s, shot):
    """A gather (time, receiver) as Jin et al. (2021), arXiv:2110.07584, make it, with the numbers of lanl/OpenFWI's
    dataset_config.json: leapfrog of 1 ms, fourth order on 10 m cells, 120 more that damp on each of the four sides, and
    a Ricker wavelet with its peak at sample 73 in the source's cell.
    """
    pad, dx_m, dt_s, hz = 120, 10.0, 1e-3, 15.0
    half = int(2.2 / hz / dt_s / 2)
    phase = (np.pi * hz * dt_s * (np.arange(2 * half + 1) - half)) ** 2
    wavelet = np.zeros(OPENFWI.nt)
    wavelet[: len(phase)] = (1 - 2 * phase) * np.exp(-phase)
    c = np.pad(model_m_s.astype(np.float64), pad, mode="edge")  # (depth, x)
    places = np.arange(len(c))[:, None], np.arange(c.shape[1])[None, :]
    layer_m = (pad - 1) * dx_m
    damping = np.zeros_like(c)
    for place, size in zip(places, c.shape, strict=True):
        inside = np.maximum(np.maximum(pad - 1 - place, place - (size - pad)), 0) / (pad - 1)
        damping = np.maximum(damping, 1.5 * model_m_s.min() * np.log(1e7) / layer_m * dt_s * inside**2)
    source = pad + 1, pad + round(OPENFWI.source_x_m[shot] / dx_m)
    before, now = np.zeros_like(c), np.zeros_like(c)
    gather = np.empty((OPENFWI.nt, OPENFWI.receivers))
    for k, amplitude in enumerate(wavelet):
        laplacian = sum(
            4 / 3 * (np.roll(now, 1, axis) + np.roll(now, -1, axis))
            - (np.roll(now, 2, axis) + np.roll(now, -2, axis)) / 12
            - 2.5 * now
            for axis in (0, 1)
        )
        after = (2 - damping) * now - (1 - damping) * before + (c * dt_s / dx_m) ** 2 * laplacian
        after[source] += (c[source] * dt_s) ** 2 * amplitude
        gather[k] = after[pad + 1, pad:-pad]
        before, now = now, after
    return gather


@pytest.mark.slow
def test_our_gathers_are_openfwis_times_a_hundredth_and_earlier(request):
    """The preset's simulator against the published scheme: one gain, the cell's area in it, and one delay."""
    preset = config.load(request.config.rootpath / "configs" / "openfwi.toml")
    model = np.asarray(geology.draw(jax.random.key(3), OPENFWI, "layered"))
    shot = 2
    recorded = published_gather(1000 * model.T, shot)[None]
    ours = np.asarray(physics.simulate(model, OPENFWI, **preset.simulator.options))[shot : shot + 1]
    far = np.abs(np.asarray(OPENFWI.receiver_x_m) - OPENFWI.source_x_m[shot]) > 0
    recorded, simulated = recorded[..., far], Simulated(ours[..., far], OPENFWI.dt_s)
    match = fit(recorded, simulated)
    assert match.gain == pytest.approx(100.0, rel=0.005) and match.delay_s == pytest.approx(5.3e-3, abs=1e-4)
    assert residuals(recorded, simulated.matched(match))[1] < 0.01
