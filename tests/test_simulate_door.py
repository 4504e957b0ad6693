"""The simulate front door: layout, shards, resuming after a kill, workers that end, and what it refuses."""

import dataclasses
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import jax
import numpy as np
import one_process
import pytest

from jax_inversion import config, geology
from jax_inversion.data.folders import (
    MODEL_FILE,
    check_samples,
    find_samples,
    gather_files,
    read_velocity,
    write_sample,
)
from jax_inversion.errors import RunError, UserError
from jax_inversion.physics.settings import SimulatorConfig
from jax_inversion.simulate import main
from jax_inversion.simulate import simulate as make
from jax_inversion.simulation import Job, sets
from jax_inversion.simulation.record import RECORD
from jax_inversion.survey import Survey

# without the reference's own response of the water, a run that takes longer than all of these tests
PLAIN = SimulatorConfig(background_km_s="none")
simulate = partial(make, simulator=PLAIN)

TINY = Survey(
    nx=16, nz=24, spacing_m=5.0, nt=101, dt_s=1e-3, source_x_m=(0.0, 75.0), source_z_m=20.0,
    receiver_x_m=(0.0, 40.0, 75.0), receiver_z_m=10.0,
)  # fmt: skip
COUNT, SEED, PRESET = 5, 3, "layered"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The set that an uninterrupted run makes."""
    out = tmp_path_factory.mktemp("whole") / "set"
    simulate(out, COUNT, seed=SEED, geology=PRESET, workers=2, survey=TINY)
    return out


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sets, "run", one_process.run)


def content(folder: Path) -> dict[str, bytes]:
    """Every file below ``folder``, hidden ones too."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def command(folder: Path, out: Path, *options: object, **kwargs: object) -> subprocess.Popen:
    preset = folder / "tiny.toml"
    config.save(config.Config(survey=TINY, simulator=PLAIN), preset)
    fixed = ["--out", out, "--seed", SEED, "--geology", PRESET, "--survey", preset]
    words = [sys.executable, "-m", "jax_inversion.simulate", *fixed, *options]
    return subprocess.Popen(
        [str(w) for w in words], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **kwargs
    )


def wait_for(condition, what: str) -> None:
    until = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < until, f"waited in vain for {what}"
        time.sleep(0.05)


def children_of(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in found.read_text().split()] if found.exists() else []


def alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_samples_have_the_challenges_layout(whole: Path) -> None:
    samples = find_samples(whole, None, TINY)
    assert [s.id for s in samples] == [f"layered-s3-{k:08d}" for k in range(COUNT)]
    assert check_samples(samples, TINY, velocity=True) == samples
    assert np.load(samples[0].path / gather_files(TINY)[1]).dtype == np.float32
    assert np.load(samples[0].path / MODEL_FILE).dtype == np.float64


def test_model_depends_on_seed_and_number_only(whole: Path) -> None:
    key = jax.random.fold_in(jax.random.key(SEED), 4)
    drawn = geology.draw(key, TINY, PRESET)
    found = read_velocity(find_samples(whole, None, TINY)[4], TINY)
    np.testing.assert_allclose(found, drawn, rtol=1e-5)


def test_shards_side_by_side_make_the_same_set(whole: Path, tmp_path: Path) -> None:
    shards = [
        command(tmp_path, tmp_path / "set", "--start", a, "--count", n, "--workers", 1) for a, n in ((0, 2), (2, 3))
    ]
    for shard in shards:
        _, said = shard.communicate()
        assert shard.returncode == 0, said
    assert content(tmp_path / "set") == content(whole)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="follows processes in /proc")
def test_killed_run_leaves_no_process_and_is_completed_by_the_next(whole: Path, tmp_path: Path, caplog) -> None:
    out = tmp_path / "set"
    run = command(tmp_path, out, "--count", COUNT, "--workers", 1)
    wait_for(lambda: out.is_dir() and any(not p.name.startswith(".") for p in out.iterdir()), "a sample")
    (worker,) = children_of(run.pid)
    run.kill()
    run.communicate()
    wait_for(lambda: not alive(worker), "the worker's end")
    names = {p.name for p in find_samples(out, None, TINY)[0].path.iterdir()}
    assert names == {*gather_files(TINY), MODEL_FILE}
    torn = out / f".layered-s3-{COUNT - 1:08d}.abcdefgh.partial"  # as a kill in the middle of writing leaves
    (torn / "inside").mkdir(parents=True)
    others = out / ".layered-s3-00000999.abcdefgh.partial"  # another shard's, at work
    others.mkdir()
    caplog.set_level("INFO", logger="jax_inversion")
    simulate(out, COUNT, seed=SEED, geology=PRESET, workers=1, survey=TINY)
    assert f"of {COUNT} samples are there already" in caplog.text
    assert not torn.exists() and others.exists()
    assert content(out) == content(whole)


def hear_interrupts() -> None:
    """What a shell starts in the background ignores Ctrl-C, and all that it starts does: the tests, and this run."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="follows processes in /proc")
@pytest.mark.parametrize("victim", ["run", "worker"])
def test_interrupted_run_and_killed_worker_end_everything(victim: str, tmp_path: Path) -> None:
    run = command(
        tmp_path, tmp_path / "set", "--count", 50, "--workers", 2, start_new_session=True, preexec_fn=hear_interrupts
    )
    wait_for(lambda: len(children_of(run.pid)) == 2, "two workers")
    workers = children_of(run.pid)
    os.kill(*((run.pid, signal.SIGINT) if victim == "run" else (workers[0], signal.SIGKILL)))
    _, said = run.communicate(timeout=120)
    assert run.returncode == 1 and "Traceback" not in said
    wanted = "interrupted; run the same command again" if victim == "run" else "its worker was killed by signal 9"
    assert wanted in said
    wait_for(lambda: not any(map(alive, workers)), "the workers' end")
    assert [p.name for p in (tmp_path / "set").iterdir() if p.name.startswith(".")] == [RECORD]


def test_existing_samples_are_left_alone(whole: Path, in_process, caplog) -> None:
    caplog.set_level("INFO", logger="jax_inversion")
    before = {p: p.stat().st_mtime_ns for p in whole.rglob("*")}
    assert len(simulate(whole, 3, start=2, seed=SEED, geology=PRESET, survey=TINY)) == 3
    assert {p: p.stat().st_mtime_ns for p in whole.rglob("*")} == before
    assert "3 of 3 samples are there already" in caplog.text


def test_truth_apart_and_given_models(whole: Path, in_process, tmp_path: Path) -> None:
    ids = simulate(tmp_path / "set", None, source=whole, start=1, truth=tmp_path / "truth", survey=TINY)
    assert ids == [s.id for s in find_samples(whole, None, TINY)][1:]
    assert sorted(p.name for p in (tmp_path / "set" / ids[0]).iterdir()) == sorted(gather_files(TINY))
    for sample_id in ids:
        for root, name in ((tmp_path / "truth", MODEL_FILE), (tmp_path / "set", gather_files(TINY)[0])):
            known = np.load(whole / sample_id / name)
            np.testing.assert_allclose(np.load(root / sample_id / name), known, atol=1e-5 * np.abs(known).max())


def test_no_truth(in_process, tmp_path: Path) -> None:
    (sample_id,) = simulate(tmp_path, 1, geology=PRESET, truth=False, survey=TINY)
    assert not (tmp_path / sample_id / MODEL_FILE).exists()


def test_blends_are_new_models_within_the_old_ones_bounds(whole: Path, in_process, tmp_path: Path) -> None:
    old = np.stack([read_velocity(s, TINY) for s in find_samples(whole, None, TINY)])
    for name in ("a", "b"):
        assert simulate(tmp_path / name, 2, blend=whole, survey=TINY) == ["blend-s0-00000000", "blend-s0-00000001"]
    assert content(tmp_path / "a") == content(tmp_path / "b")
    new = np.stack([read_velocity(s, TINY) for s in find_samples(tmp_path / "a", None, TINY)])
    assert new.min() >= old.min() and new.max() <= old.max()
    assert np.abs(new[0] - new[1]).max() > 0.01
    assert all(np.abs(model - other).max() > 0.01 for model in new for other in old)


def test_a_full_disk_leaves_nothing_partial(in_process, tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, hard))  # room for the gathers, not for all of the model
    try:
        with pytest.raises(RunError, match=r"sample layered-s0-00000000: .*larger than a file may be there"):
            simulate(tmp_path, 1, geology=PRESET, survey=TINY)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [p.name for p in tmp_path.iterdir()] == [RECORD]


def test_a_model_that_cannot_be_simulated_is_named(in_process, tmp_path: Path) -> None:
    models = tmp_path / "models"
    write_sample(models, "quick", TINY, np.zeros(TINY.gathers_shape), np.full(TINY.model_shape, 9.0))
    with pytest.raises(UserError, match=r"sample quick: .*Courant"):
        simulate(tmp_path / "set", None, source=models, survey=TINY)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"survey": TINY.with_interval(2e-3)}, r"survey.dt_s 0.001 -> 0.002; survey.nt 101 -> 51"),
        ({"survey": dataclasses.replace(TINY, peak_hz=20.0)}, r"survey.peak_hz 15.0 -> 20.0"),
        ({"simulator": dataclasses.replace(PLAIN, spacing_m=2.5)}, r"simulator.spacing_m 5.0 -> 2.5"),
        ({"simulator": dataclasses.replace(PLAIN, boundary="cpml")}, r"simulator.boundary 'damping' -> 'cpml'"),
    ],
)
def test_samples_made_with_other_settings_do_not_pass_for_these(whole: Path, change: dict, said: str) -> None:
    before = content(whole)
    with pytest.raises(UserError, match=f"its samples were made with another {said}; give another --out"):
        simulate(whole, 1, **({"seed": SEED, "geology": PRESET, "survey": TINY} | change))
    assert content(whole) == before


def test_gathers_of_models_that_have_changed_do_not_pass_for_theirs(whole: Path, in_process, tmp_path: Path) -> None:
    models, out = shutil.copytree(whole, tmp_path / "models"), tmp_path / "set"
    first, second = simulate(out, 2, source=models, truth=False, survey=TINY)
    shutil.rmtree(out / second)
    np.save(models / second / MODEL_FILE, np.full(TINY.model_shape, 2.0))
    assert simulate(out, 2, source=models, truth=False, survey=TINY) == [first, second]  # not there, so made anew
    np.save(models / first / MODEL_FILE, np.full(TINY.model_shape, 2.0))
    with pytest.raises(UserError, match=f"made with another model {first}"):
        simulate(out, 2, source=models, truth=False, survey=TINY)


def test_a_sample_that_was_cut_short_is_made_again(whole: Path, in_process, tmp_path: Path) -> None:
    out = shutil.copytree(whole, tmp_path / "set")
    path = out / "layered-s3-00000001" / MODEL_FILE
    path.write_bytes(path.read_bytes()[:-8])
    simulate(out, COUNT, seed=SEED, geology=PRESET, survey=TINY)
    assert path.stat().st_size == (whole / "layered-s3-00000001" / MODEL_FILE).stat().st_size


def test_samples_that_nobody_knows_the_making_of_are_not_taken(whole: Path, tmp_path: Path) -> None:
    out = shutil.copytree(whole, tmp_path / "set")
    (out / RECORD).unlink()
    with pytest.raises(UserError, match=r"layered-s3-00000000 is there already and nothing says what it was made with"):
        simulate(out, 1, seed=SEED, geology=PRESET, survey=TINY)


def test_one_sample_is_never_in_both_sets(in_process, tmp_path: Path) -> None:
    simulate(tmp_path / "train", 2, geology=PRESET, survey=TINY)
    with pytest.raises(UserError, match="has layered-s0-00000001 already, and one sample cannot train and test"):
        simulate(tmp_path / "test", 2, start=1, geology=PRESET, survey=TINY)
    simulate(tmp_path / "test", 1, seed=1, geology=PRESET, survey=TINY)


def test_a_mixture_draws_each_sample_from_its_seed_and_number() -> None:
    job = Job(out=Path("set"), survey=TINY, seed=1, geology="layered:3 folded:1")
    presets = [job.id_of(k).partition("-")[0] for k in range(400)]
    assert presets == [geology.preset_of("layered:3 folded:1", 1, k) for k in range(400)]
    assert presets.count("layered") == pytest.approx(300, abs=40) and set(presets) == {"layered", "folded"}
    for wrong, said in (("layered:x", "right is a preset"), ("", "names no preset"), ("folded:-1", "folded:2")):
        with pytest.raises(UserError, match=said):
            geology.shares(wrong)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"geology": "lunar"}, "'lunar' is unknown; there are marine, "),
        ({"count": -1}, "--count is -1"),
        ({"start": -1}, "--start is -1"),
        ({"seed": -1}, "--seed is -1"),
        ({"workers": -1}, "--workers is -1"),
        ({"count": None}, "--count N"),
        ({"blend": "a", "source": "b"}, "not both"),
        ({"blend": "nowhere"}, "nowhere: no such folder"),
        ({"out": __file__}, "is a file"),
    ],
)
def test_refusals(given: dict, said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=said):
        simulate(**({"out": tmp_path / "set", "count": 1, "survey": TINY} | given))
    assert not (tmp_path / "set").exists()


def test_models_may_not_come_from_where_samples_go(whole: Path) -> None:
    with pytest.raises(UserError, match="is where the models come from"):
        simulate(whole, 1, blend=whole, survey=TINY)


def test_wrong_command_ends_with_code_2(capsys, tmp_path: Path) -> None:
    assert main(["--out", str(tmp_path / "set"), "--count", "1", "--geology", "lunar"]) == 2
    assert capsys.readouterr().err.startswith("error: geology 'lunar' is unknown")
    assert main(["--out", str(tmp_path / "set"), "--count", "1", "--spacing", "0"]) == 2
    assert "simulator.spacing_m: Input should be greater than 0" in capsys.readouterr().err
    assert main(["--out", str(tmp_path / "set"), "--count", "1", "--train.epochs", "3"]) == 2
    assert "--train.* has no effect here" in capsys.readouterr().err
