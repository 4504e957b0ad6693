"""The reader of .npy files agrees with NumPy's on all that NumPy writes, and refuses everything else by name."""

import io
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from jax_inversion import npy
from jax_inversion.npy import BadArray, read_header, read_values


def written(array, version=None):
    file = io.BytesIO()
    np.lib.format.write_array(file, array, version=version, allow_pickle=False)
    return file.getvalue()


def read(content):
    file = io.BytesIO(content)
    return read_values(file, read_header(file))


@given(
    array=hnp.arrays(
        hnp.scalar_dtypes().filter(lambda d: d.kind in "biufc"), hnp.array_shapes(min_dims=0, min_side=0, max_side=4)
    ),
    turned=st.booleans(),
    version=st.sampled_from([None, (1, 0), (2, 0), (3, 0)]),
)
def test_what_numpy_writes_is_read(array, turned, version):
    array = np.asfortranarray(array) if turned else array
    found = read(written(array, version))
    assert found.dtype == array.dtype and found.shape == array.shape and found.tobytes() == array.tobytes()


@given(at=st.integers(0, 200), junk=st.binary(min_size=1, max_size=12))
def test_damage_is_refused_or_harmless(at, junk):
    content = bytearray(written(np.ones((3, 4), np.float32)))
    content[at : at + len(junk)] = junk
    try:
        found = read(bytes(content))
    except BadArray:
        return
    assert found.nbytes <= len(content)


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("{'descr': '<f4', 'fortran_order': False}", "header makes no sense"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'shape': (2,), 'x': 1}", "header makes no sense"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (2, , 3)}", "shape makes no sense"),
        ("{'descr': '<f4', 'fortran_order': 'shape', 'shape': (2,)}", "header makes no sense"),
        ("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)}", "header makes no sense"),
        ("{'descr': '<q9', 'fortran_order': False, 'shape': (2,)}", "damaged .npy file"),
        ("__import__('os').abort()", "header makes no sense"),
    ],
)
def test_a_header_that_numpy_does_not_write_is_refused(header, told):
    text = header.encode()
    with pytest.raises(BadArray, match=told):
        read(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text)


def test_other_programs_spacing_is_read():
    text = b'{ "shape":(2,1) ,"descr" : "<f4","fortran_order":True}'
    values = np.float32([1, 2]).tobytes()
    found = read(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + values)
    np.testing.assert_array_equal(found, np.float32([[1], [2]]))


def test_a_mapped_file_is_as_long_as_it_says(tmp_path):
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    np.save(tmp_path / "a.npy", array)
    np.testing.assert_array_equal(npy.open_mapped(tmp_path / "a.npy"), array)
    (tmp_path / "a.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:-1])
    with pytest.raises(BadArray, match="47 of 48 bytes"):
        npy.open_mapped(tmp_path / "a.npy")


def test_threads_do_not_get_in_each_others_way():
    content, wrong = written(np.ones((2, 3), np.float32)), []

    def work():
        try:
            for _ in range(500):
                read(content)
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
