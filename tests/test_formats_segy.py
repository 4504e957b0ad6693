"""SEG-Y: files that segyio itself wrote, ours read back, and each odd header and each damage refused in a line."""

import dataclasses
import sys

import numpy as np
import pytest
from formats_tiny import SURVEY, samples
from hypothesis import given, settings
from hypothesis import strategies as st

from jax_inversion.errors import UserError
from jax_inversion.formats import segy_files
from jax_inversion.formats.segy import open_segy, write_gathers, write_velocity
from jax_inversion.formats.segy_geometry import FIELDS, recording, scale
from jax_inversion.surveys import survey_of

segyio = pytest.importorskip("segyio")
GATHERS, MODELS = samples(2)


def headers_of(survey=SURVEY, x0_m=0.0):
    """The headers of a file with all shots, trace by trace, in decimetres; those of marine data, elevations upwards."""
    return [
        {
            "FieldRecord": 100 + shot,
            "SourceX": round(10 * (x0_m + source_m)),
            "GroupX": round(10 * (x0_m + receiver_m)),
            "SourceGroupScalar": -10,
            "CoordinateUnits": 1,
            "SourceDepth": round(100 * survey.source_z_m),
            "ReceiverGroupElevation": -round(100 * survey.receiver_z_m),
            "ElevationScalar": -100,
            "TRACE_SAMPLE_COUNT": survey.nt,
            "TRACE_SAMPLE_INTERVAL": round(survey.dt_s * 1e6),
        }
        for shot, source_m in enumerate(survey.source_x_m)
        for receiver_m in survey.receiver_x_m
    ]


def write(path, headers, traces, dt_s=SURVEY.dt_s, kind=5, endian="big", **file_fields):
    """What another program would write, with segyio alone."""
    spec = segyio.spec()
    spec.format, spec.tracecount, spec.endian = kind, len(traces), endian
    spec.samples = np.arange(traces.shape[1]) * dt_s * 1e3
    with segyio.create(path, spec) as file:
        for k, header in enumerate(headers):
            file.header[k] = {getattr(segyio.TraceField, name): value for name, value in header.items()}
            file.trace[k] = np.ascontiguousarray(traces[k], np.float32)
        file.bin.update({getattr(segyio.BinField, name): value for name, value in file_fields.items()})


def plain(path, change=None, **how):
    """The first sample in a file, its headers changed before."""
    headers = headers_of()
    if change:
        change(headers)
    traces = GATHERS[0].swapaxes(1, 2).reshape(-1, SURVEY.nt)
    write(path, headers, traces, **how)
    return path


def test_a_file_of_segyios_gives_survey_and_gathers(tmp_path):
    found = open_segy([plain(tmp_path / "line.sgy")])
    assert found.ids == ("line",) and found.gathers_shape == SURVEY.gathers_shape
    assert found.geometry == {
        name: getattr(SURVEY, name)
        for name in ("nt", "dt_s", "source_x_m", "source_z_m", "receiver_x_m", "receiver_z_m")
    }
    np.testing.assert_array_equal(found.read(0).gathers, GATHERS[0])
    assert found.read(0).velocity is None
    overrides = ["--survey.nx", "6", "--survey.nz=8", "--survey.spacing-m", "10"]
    assert survey_of(found.geometry, None, overrides) == SURVEY
    with pytest.raises(UserError, match=r"do not say survey.nx, nz, spacing_m; give --survey FILE, or --survey.nx"):
        survey_of(found.geometry, None)


@pytest.mark.parametrize(("kind", "endian", "tolerance"), [(1, "big", 1e-6), (5, "little", 0)])
def test_ibm_floats_and_the_other_byte_order(tmp_path, kind, endian, tolerance):
    found = open_segy([plain(tmp_path / "a.sgy", kind=kind, endian=endian)])
    np.testing.assert_allclose(found.read(0).gathers, GATHERS[0], rtol=tolerance)


def test_traces_in_any_order_and_shots_in_any_number_of_files(tmp_path):
    order = np.random.default_rng(1).permutation(8)
    headers, traces = headers_of(), GATHERS[0].swapaxes(1, 2).reshape(-1, SURVEY.nt)
    write(tmp_path / "mixed.sgy", [headers[k] for k in order], traces[order])
    (tmp_path / "apart").mkdir()
    for name, rows in (("b.SGY", range(4)), ("a.segy", range(4, 8))):
        write(tmp_path / "apart" / name, [headers[k] for k in rows], traces[list(rows)])
    found = open_segy([tmp_path / "mixed.sgy", tmp_path / "apart"])
    assert found.ids == ("mixed", "apart")
    for k in range(2):
        np.testing.assert_array_equal(found.read(k).gathers, GATHERS[0])


def test_shots_are_told_apart_by_source_x_where_records_are_not_numbered(tmp_path):
    found = open_segy([plain(tmp_path / "a.sgy", lambda headers: [h.pop("FieldRecord") for h in headers])])
    np.testing.assert_array_equal(found.read(0).gathers, GATHERS[0])


def test_samples_before_the_shot_are_cut(tmp_path):
    def early(headers):
        for header in headers:
            header["DelayRecordingTime"] = -5

    found = open_segy([plain(tmp_path / "a.sgy", early)])
    assert found.geometry["nt"] == SURVEY.nt - 5
    np.testing.assert_array_equal(found.read(0).gathers, GATHERS[0][:, 5:])


def test_what_we_write_is_read_back(tmp_path):
    for k, name in enumerate("ab"):
        write_gathers(tmp_path / f"{name}.sgy", SURVEY, GATHERS[k])
        write_velocity(tmp_path / f"{name}_velocity.sgy", SURVEY, MODELS[k])
    found = open_segy([tmp_path / "a.sgy", tmp_path / "b.sgy"], [tmp_path / f"{n}_velocity.sgy" for n in "ab"])
    assert survey_of(found.geometry, None) == SURVEY and found.ids == ("a", "b")
    for k in range(2):
        np.testing.assert_array_equal(found.read(k).gathers, GATHERS[k])
        np.testing.assert_allclose(found.read(k).velocity, MODELS[k], rtol=1e-6)
    with segyio.open(tmp_path / "a_velocity.sgy", ignore_geometry=True) as file:
        assert file.bin[segyio.BinField.Interval] == 10000  # 10 m in mm
        assert list(file.attributes(segyio.TraceField.CDP_X)) == [10000 * k for k in range(6)]
        np.testing.assert_allclose(file.trace[2], 1000 * MODELS[0][2], rtol=1e-6)
        assert "velocity in m/s" in segyio.tools.wrap(file.text[0])


def test_positions_are_counted_from_where_the_section_begins(tmp_path):
    headers = headers_of(x0_m=3000.0)
    write(tmp_path / "a.sgy", headers, GATHERS[0].swapaxes(1, 2).reshape(-1, SURVEY.nt))
    section = [
        {"CDP_X": 3000 + 10 * k, "SourceGroupScalar": 1, "TRACE_SAMPLE_INTERVAL": 10000} for k in range(SURVEY.nx)
    ]
    write(tmp_path / "v.sgy", section, 1000 * MODELS[0], dt_s=0.01)
    assert survey_of(open_segy([tmp_path / "a.sgy"], [tmp_path / "v.sgy"]).geometry, None) == SURVEY
    assert open_segy([tmp_path / "a.sgy"], origin_m=2950.0).geometry["receiver_x_m"] == (50.0, 70.0, 80.0, 100.0)


def _set(**values):
    """All traces' headers."""
    return lambda headers: [header.update(values) for header in headers]


def _one(trace, **values):
    return lambda headers: headers[trace].update(values)


ODD = {
    "interval 0": (_set(TRACE_SAMPLE_INTERVAL=0), {"Interval": 0}, "the sample interval is 0"),
    "intervals": (_one(3, TRACE_SAMPLE_INTERVAL=2000), {}, "interval differs between traces: 1000 to 2000 us"),
    "interval of the file": ({}, {"Interval": 4000}, "1000 us in the traces' headers and 4000 us in the file's"),
    "no coordinates": (_set(SourceX=0, GroupX=0), {}, "SourceX is 0 in all 2 shots: coordinates are missing"),
    "no receivers": (_set(GroupX=0), {}, "two traces at one GroupX: coordinates are missing"),
    "angles": (_set(CoordinateUnits=3), {}, r"CoordinateUnits are angles; right are metres \(1\)"),
    "feet": ({}, {"MeasurementSystem": 2}, "coordinates are in feet"),
    "crooked": (_one(2, GroupY=5000), {}, "GroupY varies by 500 m; right is a straight line"),
    "source moves": (_one(1, SourceX=70), {}, "SourceX differs within FieldRecord 100"),
    "receiver moves": (_one(5, GroupX=210), {}, r"shot 2 \(x = 50 m\) has its receivers elsewhere than the first"),
    "receivers twice": (_one(5, GroupX=0), {}, r"shot 2 \(x = 50 m\) has two traces at one GroupX"),
    "depths": (_one(0, SourceDepth=5000), {}, "SourceDepth and SourceSurfaceElevation give depths from 10 to 50 m"),
    "late": (_set(DelayRecordingTime=40), {}, "recording starts 40 ms after the shot"),
    "delays": (_one(0, DelayRecordingTime=-4), {}, "DelayRecordingTime differs between traces: -4 to 0 ms"),
    "nothing left": (_set(DelayRecordingTime=-30), {}, "all of its 21 samples come before the shot"),
    "dead": (_one(3, TraceIdentificationCode=2), {}, r"trace 4 is dead \(.*Code 2\), 1 of 8 hold no data"),
    "scalar": (_set(SourceGroupScalar=-7), {}, "a scalar of coordinates, elevations or times is 7; right are powers"),
    "samples": (_set(TRACE_SAMPLE_COUNT=20), {}, "21 samples a trace in its header, 20 in its traces'"),
}


@pytest.mark.parametrize("kind", ODD)
def test_odd_headers_are_refused_in_a_line(tmp_path, kind):
    change, file_fields, said = ODD[kind]
    path = plain(tmp_path / "a.sgy", change or None, **file_fields)
    with pytest.raises(UserError, match=said) as caught:
        open_segy([path])
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


def test_a_shot_with_fewer_traces_is_refused(tmp_path):
    write(tmp_path / "a.sgy", headers_of()[:-1], GATHERS[0].swapaxes(1, 2).reshape(-1, SURVEY.nt)[:-1])
    with pytest.raises(UserError, match=r"a.sgy: shot 2 \(x = 50 m\) has 3 traces, the first 4"):
        open_segy([tmp_path / "a.sgy"])


def _cut(count):
    return lambda path: path.write_bytes(path.read_bytes()[:count])


DAMAGE = {
    "missing": (lambda path: path.unlink(), "no such file"),
    "empty": (_cut(0), "not a SEG-Y file, or a truncated one"),
    "text header only": (_cut(3200), "not a SEG-Y file, or a truncated one"),
    "headers only": (_cut(3600), "a damaged or truncated SEG-Y file"),
    "cut in a trace": (_cut(-10), "a damaged or truncated SEG-Y file"),
    "cut in the first": (_cut(3700), "a damaged or truncated SEG-Y file"),
    "another file": (lambda path: path.write_text("text " * 2000), "not a SEG-Y file"),
    "folder": (lambda path: (path.unlink(), path.mkdir()), "no .sgy or .segy files in it"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_files_are_refused_in_a_line(tmp_path, kind):
    spoil, said = DAMAGE[kind]
    spoil(path := plain(tmp_path / "a.sgy"))
    with pytest.raises(UserError, match=said) as caught:
        open_segy([path])
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


def test_samples_of_two_surveys_are_refused(tmp_path):
    write_gathers(tmp_path / "a.sgy", SURVEY, GATHERS[0])
    write_gathers(tmp_path / "b.sgy", dataclasses.replace(SURVEY, dt_s=2e-3), GATHERS[1])
    with pytest.raises(UserError, match=r"b.sgy: dt_s is 0.002, that of .*a.sgy 0.001; one survey has one"):
        open_segy([tmp_path / "a.sgy", tmp_path / "b.sgy"])
    with pytest.raises(UserError, match="1 velocity sections for 2 samples"):
        open_segy([tmp_path / "a.sgy", tmp_path / "b.sgy"], [tmp_path / "a.sgy"])


def test_sections_with_oblong_cells_are_refused(tmp_path):
    plain(tmp_path / "a.sgy")
    write(tmp_path / "v.sgy", [{"CDP_X": 12 * k} for k in range(6)], MODELS[0], dt_s=0.01)
    with pytest.raises(UserError, match=r"v.sgy: traces are 12 to 12 m apart \(CDP_X\), samples 10 m"):
        open_segy([tmp_path / "a.sgy"], [tmp_path / "v.sgy"])


@pytest.mark.parametrize(
    ("survey", "said"),
    [
        (dataclasses.replace(SURVEY, dt_s=1.5e-6), "survey.dt_s is 1.5 microseconds"),
        (dataclasses.replace(SURVEY, spacing_m=40.0), "survey.spacing_m is 40000 millimetres.* up to 32767"),
    ],
)
def test_intervals_that_no_header_holds_are_refused(tmp_path, survey, said):
    with pytest.raises(UserError, match=said):
        write_gathers(tmp_path / "a.sgy", survey, GATHERS[0])
        write_velocity(tmp_path / "v.sgy", survey, MODELS[0])
    assert not (tmp_path / "v.sgy").exists()


def test_without_segyio_a_line_says_what_to_install(tmp_path, monkeypatch):
    path = plain(tmp_path / "a.sgy")
    monkeypatch.setitem(sys.modules, "segyio", None)
    segy_files.library.cache_clear()
    try:
        with pytest.raises(UserError, match=r'pip install "jax_inversion\[segy\]"'):
            open_segy([path])
    finally:
        segy_files.library.cache_clear()


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(-500, 500), min_size=1, max_size=4, unique=True),
    st.lists(st.integers(-500, 500), min_size=1, max_size=5, unique=True),
    st.randoms(),
)
def test_every_trace_finds_its_place_whatever_the_order(sources, receivers, random):
    traces = [(s, r) for s in sources for r in receivers]
    random.shuffle(traces)
    headers = {name: np.zeros(len(traces), np.int64) for name in FIELDS}
    headers["SourceX"], headers["GroupX"] = (np.array(column) for column in zip(*traces, strict=True))
    headers["TRACE_SAMPLE_INTERVAL"] += 500
    if len(sources) > 1 and not any(sources):
        return
    found = recording(headers, 500)
    assert found.geometry["source_x_m"] == tuple(sorted(map(float, sources)))
    assert found.geometry["receiver_x_m"] == tuple(sorted(map(float, receivers)))
    for i, source in enumerate(sorted(sources)):
        assert [traces[k] for k in found.traces[i]] == [(source, receiver) for receiver in sorted(receivers)]


def test_scalars_divide_where_they_are_negative():
    np.testing.assert_array_equal(scale(np.array([-100, -1, 0, 1, 10])), [0.01, 1, 1, 1, 10])


def test_depths_that_nobody_filled_in_are_pointed_out(tmp_path, caplog):
    found = open_segy([plain(tmp_path / "a.sgy", _set(SourceDepth=0, ReceiverGroupElevation=0))]).geometry
    rest = ["--survey.nx=6", "--survey.nz=8", "--survey.spacing-m=10", "--survey.peak-hz=10"]
    assert survey_of(found, None, rest).source_z_m == 0
    assert "survey.source_z_m and receiver_z_m: 0 in the files; where nobody filled it in" in caplog.text
    caplog.clear()
    survey_of(found, None, [*rest, "--survey.source-z-m=0", "--survey.receiver-z-m=5"])
    assert "0 in the files" not in caplog.text
