"""Named arrays in .npz and HDF5: axes and units as they are said, one sample or many, and each fault in a line."""

import pickle
import sys

import numpy as np
import pytest
from formats_tiny import SURVEY, samples
from hypothesis import given
from hypothesis import strategies as st

from jax_inversion.errors import UserError
from jax_inversion.formats.named_arrays import GATHER_AXES, MODEL_AXES, Names, open_arrays

GATHERS, MODELS = samples(3)
NAMES = Names("shots", "vp")
KINDS = ("npz", "hdf5")


def save(path, kind, **arrays):
    if kind == "npz":
        np.savez_compressed(path, **arrays)
        return path
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array)
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_many_samples_or_one_in_a_file(tmp_path, kind):
    many = save(tmp_path / f"many.{kind}", kind, shots=GATHERS[:2], vp=MODELS[:2])
    one = save(tmp_path / f"one.{kind}", kind, shots=GATHERS[2], vp=MODELS[2].astype(">f8"))
    found = open_arrays([many, one], kind, NAMES)
    assert found.ids == ("many-00000", "many-00001", "one")
    assert (found.gathers_shape, found.model_shape) == (SURVEY.gathers_shape, SURVEY.model_shape)
    assert found.geometry == {"nt": 21, "nx": 6, "nz": 8}
    for k in range(3):
        pair = found.read(k)
        np.testing.assert_array_equal(pair.gathers, GATHERS[k])
        np.testing.assert_array_equal(pair.velocity, MODELS[k])
        assert pair.velocity.dtype == pair.gathers.dtype == np.float32


@pytest.mark.parametrize("kind", KINDS)
@given(st.permutations(GATHER_AXES), st.permutations(MODEL_AXES), st.booleans())
def test_axes_come_in_any_order(tmp_path_factory, kind, gather_axes, model_axes, metres):
    shots = GATHERS.transpose([0] + [1 + GATHER_AXES.index(axis) for axis in gather_axes])
    vp = MODELS.transpose([0] + [1 + MODEL_AXES.index(axis) for axis in model_axes]) * (1000 if metres else 1)
    path = save(tmp_path_factory.mktemp("axes") / "a", kind, shots=shots, vp=vp)
    path = path if path.exists() else path.with_suffix(".npz")
    names = Names("shots", "vp", tuple(gather_axes), tuple(model_axes), "m/s" if metres else "km/s")
    pair = open_arrays([path], kind, names).read(1)
    np.testing.assert_array_equal(pair.gathers, GATHERS[1])
    np.testing.assert_allclose(pair.velocity, MODELS[1], rtol=1e-6)


def test_arrays_in_groups(tmp_path):
    path = save(tmp_path / "a.h5", "hdf5", **{"line 1/shots": GATHERS[0]})
    found = open_arrays([path], "hdf5", Names("line 1/shots"))
    assert found.model_shape is None and found.read(0).velocity is None
    np.testing.assert_array_equal(found.read(0).gathers, GATHERS[0])


def arrays(**change):
    return {"shots": GATHERS, "vp": MODELS} | change


FAULTS = {
    "name": (arrays(shots=None), "no array 'shots' in it; there are vp"),
    "axes": (arrays(shots=GATHERS[0, 0]), r"shots: shape is \(21, 4\); right is \(shot, time, receiver\), or samples"),
    "scalar": (arrays(vp=np.float32(2)), r"vp: shape is \(\); right is \(x, depth\)"),
    "none": (arrays(shots=GATHERS[:0], vp=MODELS[:0]), r"shots: shape is \(0, 2, 21, 4\)"),
    "fewer models": (arrays(vp=MODELS[:2]), r"shots \(3, 2, 21, 4\) and vp \(2, 6, 8\); right are as many models"),
    "one model": (arrays(vp=MODELS[0]), "right are as many models as gathers"),
    "complex": (arrays(shots=GATHERS.astype(np.complex64)), "shots: dtype is complex64; right are real numbers"),
    "text": (arrays(vp=np.array([b"a"])), "vp: dtype is .*; right are real numbers"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_not_as_it_was_said_is_refused_in_a_line(tmp_path, kind, fault):
    contents, said = FAULTS[fault]
    path = save(tmp_path / f"a.{kind}", kind, **{name: a for name, a in contents.items() if a is not None})
    with pytest.raises(UserError, match=said) as caught:
        open_arrays([path], kind, NAMES)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


DAMAGE = {
    "missing": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "text": lambda path: path.write_text("1 2 3"),
    "pickle": lambda path: path.write_bytes(pickle.dumps([1])),
    "folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_files_are_refused_in_a_line(tmp_path, kind, damage):
    path = save(tmp_path / f"a.{kind}", kind, shots=GATHERS, vp=MODELS)
    DAMAGE[damage](path)
    with pytest.raises(UserError, match=r"no such file|not a readable|is a folder") as caught:
        open_arrays([path], kind, NAMES)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


def test_pickled_objects_are_never_loaded(tmp_path):
    np.savez(tmp_path / "a.npz", shots=np.array([{}], object), allow_pickle=True)
    with pytest.raises(UserError, match="shots: holds pickled objects"):
        open_arrays([tmp_path / "a.npz"], "npz", Names("shots"))


def test_a_byte_that_changed_in_an_archive_is_found_when_it_is_read(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, shots=GATHERS)
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    with pytest.raises(UserError, match=r"a.npz: not a readable .npz archive, or a damaged one .*CRC"):
        open_arrays([path], "npz", Names("shots")).read(0)


def test_axes_that_make_no_sense_are_refused():
    with pytest.raises(UserError, match="axes 'depth,y': right are x, depth, each once"):
        Names("shots", "vp", model_axes=("depth", "y"))


def test_without_h5py_a_line_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(UserError, match=r'pip install "jax_inversion\[hdf5\]"'):
        open_arrays([tmp_path / "a.h5"], "hdf5", NAMES)
