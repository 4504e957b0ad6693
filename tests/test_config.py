"""Presets, overrides, and what is refused."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jax_inversion import config
from jax_inversion.errors import UserError
from jax_inversion.survey import CHALLENGE


def write(folder, text):
    path = folder / "preset.toml"
    path.write_text(text)
    return path


def test_an_empty_preset_is_the_original_system_at_full_size(tmp_path):
    full = config.load(write(tmp_path, ""))
    assert full == config.Config() and full.survey == CHALLENGE
    model, train = full.model, full.train
    assert (model.embedding, model.heads, model.layers, model.dropout) == (512, 8, 6, 0.1)
    assert (train.batch_size, train.learning_rate, train.epochs, full.ensemble.members) == (4, 1e-4, 100, 3)
    loss = full.loss
    assert (loss.mape, loss.l2, loss.gradient, loss.total_variation, loss.physics) == (1.0, 0.3, 0.2, 0.1, 0.1)


def test_a_preset_from_a_windows_editor_is_read(tmp_path):
    path = tmp_path / "preset.toml"
    path.write_bytes(b"\xef\xbb\xbf[train]\r\nepochs = 7\r\n")
    assert config.load(path).train.epochs == 7


def test_overrides_take_both_spellings_dashes_and_lists(tmp_path):
    preset = write(tmp_path, "[train]\nbatch_size = 8\nepochs = 7\n")
    changed = config.load(
        preset, ["--train.batch-size", "2", "--model.channels=8,16", "--data.skip_bad", "true", "--survey.nx=30"]
    )
    assert changed.train.batch_size == 2 and changed.train.epochs == 7
    assert changed.model.channels == (8, 16) and changed.data.skip_bad is True
    assert changed.survey.nx == 30 and changed.survey.nz == CHALLENGE.nz


@pytest.mark.parametrize(
    ("text", "overrides", "named"),
    [
        ("[train]\nbatchsize = 2", [], "unknown key train.batchsize; did you mean 'batch_size'?"),
        ("[trian]\nepochs = 2", [], "unknown section [trian]; did you mean 'train'?"),
        ("[loss]\nzzz = 1", [], "unknown key loss.zzz; known: mape, l2, gradient, total_variation, physics"),
        ("train = 3", [], "train is 3; it must be a section of keys"),
        ("[train]\nepochs = 0", [], "train.epochs: Input should be greater than or equal to 1, found 0"),
        ("[train]\nlearning_rate = -1.0", [], "train.learning_rate: Input should be greater than 0, found -1.0"),
        ("[data]\nvalidation_fraction = 1.0", [], "data.validation_fraction: Input should be less than 1"),
        ("[preprocess]\nscaling = 'max'", [], "preprocess.scaling: Input should be 'global', 'shot' or 'trace'"),
        ("[survey]\nnx = 3", [], "[survey] lacks nz, spacing_m, nt, dt_s, source_x_m"),
        ("", ["--survey.nx", "-3"], "survey.nx is -3; it must be a positive number"),
        ("", ["--survey.v-max-km-s", "4500"], "survey.v_max_km_s is 4500; right is at most 20, in km/s"),
        ("", ["--survey.source-z-m", "nan"], "survey.source_z_m is nan; right is a depth in m"),
        ("", ["--survey.source-x-m", "inf"], "survey.source_x_m has inf; right are positions in m"),
        ("[model]\nname = 'unet'", [], "model.name is 'unet'; known: inversion"),
        ("[model]\nembedding = 30", [], "model.embedding 30 is not a multiple of model.heads 8"),
        ("[model]\nchannels = []", [], "model.channels is (); right is at least one stage"),
        ("[model]\nbase = 'kernel'", [], "unknown key model.base"),
        ("[model]\nlayers = 0", [], "model.layers: Input should be greater than or equal to 1, found 0"),
        ("[infer]\nnoise_copies = 2", [], "infer.noise_copies without infer.noise_level"),
        ("[train", [], "not a readable TOML file"),
        ("", ["--train.batch-size", "two"], "train.batch_size: Input should be a valid integer"),
        ("", ["--train.epoch", "2"], "command line: unknown key train.epoch; did you mean 'epochs'?"),
        ("", ["--train.epochs"], "--train.epochs needs a value"),
        ("", ["--epochs", "2"], "'--epochs' is not an option; a setting is changed as in --train.batch-size 2"),
    ],
)
def test_mistakes_are_named(tmp_path, text, overrides, named):
    with pytest.raises(UserError) as caught:
        config.load(write(tmp_path, text), overrides)
    assert named in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_preset_is_named(tmp_path):
    with pytest.raises(UserError, match=r"nowhere\.toml: no such file; right is a preset's file, or one of challenge"):
        config.load(tmp_path / "nowhere.toml")


@given(
    epochs=st.integers(1, 10**6),
    rate=st.floats(1e-12, 1e3),
    channels=st.lists(st.integers(4, 999), min_size=1, max_size=4),
    dt_s=st.floats(1e-6, 1.0),
)
def test_saving_and_loading_changes_nothing(tmp_path_factory, epochs, rate, channels, dt_s):
    values = {"train": {"epochs": epochs, "learning_rate": rate}, "model": {"channels": channels}}
    before = config.from_dict(values | {"survey": CHALLENGE.as_dict() | {"dt_s": dt_s}})
    path = tmp_path_factory.mktemp("config") / "run" / "config.toml"
    config.save(before, path)
    assert config.load(path) == before
    assert config.from_dict(config.as_dict(before)) == before
    assert set(tomllib.loads(path.read_text())) == set(config.as_dict(before))


@pytest.mark.parametrize("name", config.preset_names())
def test_every_preset_is_saved_as_it_is(name, tmp_path):
    before = config.load(name)
    config.save(before, tmp_path / "config.toml")
    assert config.load(tmp_path / "config.toml") == before


def test_a_preset_from_windows_is_read(tmp_path):
    path = tmp_path / "preset.toml"
    path.write_bytes(b"\xef\xbb\xbf[train]\r\nepochs = 7\r\n")
    assert config.load(path).train.epochs == 7


def test_doors_without_a_run_take_survey_and_simulator_only():
    settings = config.survey_and_simulator(None, "2.5", ["--simulator.boundary", "cpml", "--survey.nx", "100"])
    assert (settings.simulator.spacing_m, settings.simulator.boundary, settings.survey.nx) == (2.5, "cpml", 100)
    with pytest.raises(UserError, match=r"--train\.\* has no effect here"):
        config.survey_and_simulator(None, None, ["--train.epochs", "3"])


def test_groups_are_the_preset_with_what_they_change_and_have_names():
    group = {"members": 1, "base": "linear", "train": {"learning_rate": 3e-3}}
    other = {"model": {"name": "inversion", "embedding": 16, "heads": 2}, "loss": {"mape": 2.0}}
    found = config.from_dict(
        {
            "model": {"name": "traveltime", "width": 16, "heads": 2},
            "base": {"regression": "kernel"},
            "loss": {"time": 0.5},
            "ensemble": {"members": 2, "group": [group, other, group]},
        }
    )
    assert found.total_members == 5
    groups = found.groups
    assert list(groups) == ["traveltime", "traveltime_linear", "inversion", "traveltime_4"]
    own, linear, inversion, _ = groups.values()
    assert [g.base.regression for g in groups.values()] == ["kernel", "linear", "kernel", "linear"]
    assert (own.model.width, linear.model.width, inversion.model.embedding) == (16, 16, 16)
    assert (own.train.learning_rate, linear.train.learning_rate) == (1e-4, 3e-3)
    assert (own.loss.time, inversion.loss.time, inversion.loss.mape) == (0.5, 0.0, 2.0)
    assert [g.ensemble.members for g in groups.values()] == [2, 1, 1, 1]
    assert config.from_dict(config.as_dict(found)) == found


@pytest.mark.parametrize(
    "ensemble, said",
    [
        ({"group": [{"member": 2}]}, "unknown key ensemble.group.member; did you mean 'members'"),
        ({"group": [{"train": {"epochs": 2}}]}, "group 1: train.epochs is of the whole run; a group has optimiser"),
        ({"group": [{"model": {"widht": 2}}]}, "group 1: unknown key model.widht"),
        ({"group": [{}, {"base": "cubic"}]}, "ensemble.group.1.base"),
        ({"members": 1, "resample": "fold"}, "'fold' leaves a part out for each of several members"),
    ],
)
def test_a_group_that_is_wrong_is_named(ensemble, said):
    with pytest.raises(UserError, match=said):
        config.from_dict({"ensemble": ensemble})


def test_groups_are_not_written_on_the_command_line():
    with pytest.raises(UserError, match=r"\[\[ensemble.group\]\]"):
        config.with_overrides({}, ["--ensemble.group", "3"])
