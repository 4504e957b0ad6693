"""The packed store holds what the samples hold, is reused only while it is true, and appears whole."""

import os

import numpy as np
import pytest

from jax_inversion import files
from jax_inversion.config import PreprocessConfig
from jax_inversion.data import store as store_module
from jax_inversion.data.folders import find_samples, gather_files, write_sample
from jax_inversion.data.preprocess import decimate
from jax_inversion.data.store import pack
from jax_inversion.errors import RunError, UserError
from jax_inversion.survey import CHALLENGE, Survey

SURVEY = Survey(
    nx=6, nz=8, spacing_m=5.0, nt=41, dt_s=1e-3, source_x_m=(0.0, 25.0), source_z_m=5.0,
    receiver_x_m=(0.0, 10.0, 25.0), receiver_z_m=5.0,
)  # fmt: skip


@pytest.fixture
def data(tmp_path):
    rng = np.random.default_rng(0)
    for name in "abcd":
        gathers = 0.5 + rng.standard_normal(SURVEY.gathers_shape)
        write_sample(tmp_path / "data", name, SURVEY, gathers, rng.uniform(1.5, 4.5, SURVEY.model_shape))
    return tmp_path / "data"


def build(data, dt_s=4e-3, high_cut_hz=0.0, **options):
    settings = PreprocessConfig(dt_s=dt_s, high_cut_hz=high_cut_hz)
    return pack(find_samples(data, None, SURVEY), SURVEY, data.parent / "store", settings, **options)


def test_rows_are_the_decimated_samples(data):
    store = build(data)
    assert store.ids == ("a", "b", "c", "d") and len(store) == 4
    assert store.survey == SURVEY.with_interval(4e-3)
    assert store.gathers.shape == (4, 2, 11, 3) and store.velocities.shape == (4, 6, 8)
    assert store.gathers.dtype == store.velocities.dtype == np.float32
    assert isinstance(store.gathers, np.memmap) and not store.gathers.flags.writeable
    for row, name in enumerate(store.ids):
        raw = np.stack([np.load(data / name / file) for file in gather_files(SURVEY)])
        np.testing.assert_array_equal(store.gathers[row], decimate(raw, 1e-3, 4e-3))
        model = np.load(data / name / "vp_model.npy").astype(np.float32)
        np.testing.assert_array_equal(store.velocities[row], model)
    np.testing.assert_allclose(store.std, np.std(store.gathers, dtype=np.float64), rtol=1e-9)
    assert sorted(os.listdir(data.parent)) == ["data", "store"]  # nothing hidden stays behind


def test_a_test_set_has_no_velocities(data):
    for name in "abcd":
        (data / name / "vp_model.npy").unlink()
    assert build(data, velocities=False).velocities is None
    assert not (data.parent / "store" / "velocities.npy").exists()


def test_the_same_store_is_reused_with_a_word(data, monkeypatch, caplog):
    caplog.set_level("INFO")
    first = build(data)
    monkeypatch.setattr(store_module, "_fill", None)  # packing again would fail
    for path in data.rglob("*.npy"):
        os.utime(path, ns=(1, 1))  # times say nothing
    again = build(data)
    assert "reusing the store of 4 samples" in caplog.text
    assert again.made_from == first.made_from and again.fingerprint == first.fingerprint
    assert again.ids == first.ids and again.std == first.std and again.survey == first.survey
    np.testing.assert_array_equal(again.gathers, first.gathers)
    np.testing.assert_array_equal(again.velocities, first.velocities)


def _flip(data):
    path = data / "b" / gather_files(SURVEY)[0]
    before, content = path.stat(), bytearray(path.read_bytes())
    content[-4] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # same size, same time, another value


def _swap(data):
    for a, b in ("bx", "cb", "xc"):
        os.rename(data / a, data / b)


def _add(data):
    write_sample(data, "e", SURVEY, np.ones(SURVEY.gathers_shape), np.full(SURVEY.model_shape, 2.0))


@pytest.mark.parametrize("change", [_flip, _swap, _add, {"dt_s": 2e-3}, {"high_cut_hz": 60.0}, {"velocities": False}])
def test_any_change_packs_anew(data, caplog, change):
    caplog.set_level("INFO")
    fingerprint = build(data).fingerprint
    if callable(change):
        change(data)
    assert build(data, **(change if isinstance(change, dict) else {})).fingerprint != fingerprint
    assert "changed; packing anew" in caplog.text


@pytest.mark.parametrize("name", ["gathers.npy", "velocities.npy", "store.json"])
@pytest.mark.parametrize("damage", ["cut", "gone", 0, 37, 62, 95])
def test_a_damaged_store_is_named_and_packed_anew(data, caplog, name, damage):
    first, path = build(data), data.parent / "store" / name
    gathers = np.array(first.gathers)
    content = bytearray(path.read_bytes())
    if damage == "gone":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(content[:-20])
    else:
        at = len(content) * damage // 100
        content[at] ^= 1
        path.write_bytes(content)
    again = build(data)
    assert again.std == first.std and again.ids == first.ids
    np.testing.assert_array_equal(again.gathers, gathers)
    packed_anew = "not a whole store" in caplog.text and "packing anew" in caplog.text
    assert packed_anew or (name == "store.json" and damage not in ("cut", "gone"))  # a blank there changes nothing
    if name != "store.json" and damage != "gone":
        assert f"{name} is damaged" in caplog.text


def test_bad_samples_stop_it_all_listed_or_are_left_out(data, caplog):
    caplog.set_level("INFO")
    good = build(data)
    rows = np.array(good.gathers[[1, 3]])
    (data / "a" / gather_files(SURVEY)[1]).unlink()
    np.save(data / "a" / "vp_model.npy", np.full(SURVEY.model_shape, 1500.0))
    np.save(data / "c" / gather_files(SURVEY)[0], np.full((41, 3), np.nan, np.float32))
    with pytest.raises(UserError) as caught:
        build(data)
    assert [line.split(":")[0].strip() for line in str(caught.value).splitlines()[1:]] == ["a", "a", "c"]
    assert sorted(os.listdir(data.parent)) == ["data", "store"]  # the old store stays, nothing half-built does
    store = build(data, skip_bad=True)
    assert store.ids == ("b", "d") and "left out 2 bad of 4" in caplog.text
    np.testing.assert_array_equal(store.gathers, rows)
    np.testing.assert_array_equal(store.velocities[1], np.load(data / "d" / "vp_model.npy").astype(np.float32))
    np.testing.assert_allclose(store.std, np.std(rows, dtype=np.float64), rtol=1e-9)
    assert len(build(data, skip_bad=True)) == 2 and "2 bad ones left out" in caplog.text
    with pytest.raises(UserError, match="2 of 4 samples are bad"):  # a store that left some out is no excuse
        build(data)
    write_sample(data, "c", SURVEY, np.ones(SURVEY.gathers_shape), np.full(SURVEY.model_shape, 2.0))
    assert build(data, skip_bad=True).ids == ("b", "c", "d")  # mended, so packed anew


def test_a_sample_in_another_unit_is_no_part_of_the_scale(data, caplog):
    std = build(data).std
    for factor, told in ((1e3, "times the usual"), (0.0, "zero"), (1e18, "plausible is up to")):
        write_sample(data, "e", SURVEY, factor * np.ones(SURVEY.gathers_shape), np.full(SURVEY.model_shape, 2.0))
        with pytest.raises(UserError) as caught:
            build(data, hint="--leave-out")
        first, second, *_ = str(caught.value).splitlines()
        assert "1 of 5" in first and "leave them out with --leave-out" in first
        assert second.startswith("  e: ") and told in second
        assert build(data, skip_bad=True).std == pytest.approx(std, rel=1e-12)
    write_sample(data, "e", SURVEY, 30 * np.ones(SURVEY.gathers_shape), np.full(SURVEY.model_shape, 2.0))
    assert build(data).std == pytest.approx(std, rel=1e-12) and "e: amplitudes are" in caplog.text


def test_no_room_is_said_before_the_work(data, monkeypatch):
    monkeypatch.setattr(files, "_free", lambda path: 1000)
    with pytest.raises(RunError, match=r"store: needs 1.8 kB of disk space, 1.0 kB are free"):
        build(data)
    assert sorted(os.listdir(data.parent)) == ["data"]


def test_what_a_killed_run_left_is_no_store_and_is_cleared(data):
    left = data.parent / ".store.x1.partial" / "store"
    left.mkdir(parents=True)
    (left / "gathers.npy").write_bytes(b"half")
    assert len(build(data)) == 4
    assert sorted(os.listdir(data.parent)) == ["data", "store"]


def test_useless_input_is_refused(data, tmp_path):
    with pytest.raises(UserError, match="no samples"):
        pack([], SURVEY, tmp_path / "store", PreprocessConfig(dt_s=4e-3))
    with pytest.raises(UserError, match="whole multiple"):
        build(data, dt_s=1.5e-3)
    for name in "abcd":
        write_sample(data, name, SURVEY, np.zeros(SURVEY.gathers_shape), np.full(SURVEY.model_shape, 2.0))
    with pytest.raises(UserError, match=r"4 of 4 .*\n  a: .*: the amplitudes of all shots are zero"):
        build(data)


def test_a_real_sample(reference, tmp_path):
    store = pack(
        find_samples(reference, "train", CHALLENGE)[:1], CHALLENGE, tmp_path / "store", PreprocessConfig(dt_s=4e-3)
    )
    assert store.gathers.shape == (1, 5, 251, 31) and store.velocities.shape == (1, 300, 1259)
    raw = np.load(reference / store.ids[0] / gather_files(CHALLENGE)[2])[::40]
    assert np.linalg.norm(store.gathers[0, 2] - raw) < 1e-3 * np.linalg.norm(raw)
    assert 0.01 < store.std < 0.02
