"""What is asked of Modal, without Modal: definitions, help, prices. No container is started."""

import json
import math
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

modal = pytest.importorskip("modal")

from jax_inversion.errors import UserError  # noqa: E402
from jax_inversion.remote import endings, machines, places, volume  # noqa: E402
from jax_inversion.survey import CHALLENGE  # noqa: E402

REPO = Path(__file__).resolve().parent.parent
COMMANDS = (
    "main", "pipeline", "analyze_data", "prepare", "train", "train_sota_model", "resume", "generate_submission",
    "generate_submission_from_checkpoint", "simulate", "infer_sharded", "refine", "score", "finish", "unpack",
)  # fmt: skip
CONDUCTORS = ("pipeline", "simulate", "infer_sharded", "refine")
ON_GPU = (
    "train", "train_sota_model", "resume", "generate_submission", "generate_submission_from_checkpoint", "infer_chunk",
    "simulate_shard_gpu",
)  # fmt: skip


@pytest.fixture(scope="module")
def jobs():
    sys.path.insert(0, str(REPO))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", modal.exception.DeprecationError)
            import modal_jobs
    finally:
        sys.path.remove(str(REPO))
    return modal_jobs


def python(code: str, **env: str) -> str:
    """The output of ``code`` in a fresh interpreter at the repository's top."""
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=REPO, env=os.environ | env, capture_output=True, text=True, timeout=120
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_training_has_a_card_memory_and_a_day_and_another_try(jobs):
    for function in (jobs.train, jobs.resume):
        info = function.info()
        assert info.gpus[0] == ("A100-80GB", 1) and len(info.gpus) > 1
        assert info.memory_mib == 64 * 1024 and info.cpu >= 4
        assert info.timeout == 24 * 3600 and info.max_retries >= 3
        assert info.single_use_containers and not info.nonpreemptible


def test_all_stages_share_volume_and_secrets_and_only_some_have_a_card(jobs):
    functions = {name: f for name, f in vars(jobs).items() if isinstance(f, modal.Function)}
    assert set(COMMANDS) - {"main"} <= set(functions)
    for name, function in functions.items():
        info = function.info()
        assert {mount: v.name for mount, v in info.volumes.items()} == {"/vol": "speed-structure-vol"}, name
        assert len(info.secrets) == 2 and info.single_use_containers, name
        assert bool(info.gpus) == (name in ON_GPU), name
        assert info.nonpreemptible == (name in CONDUCTORS), name


def test_open_files_stop_the_reload_after_a_commit_but_not_the_training(jobs, monkeypatch):
    class Volume:
        def commit(self):
            raise RuntimeError(self.reason)

    monkeypatch.setattr(jobs, "volume", Volume())
    jobs.volume.reason = "there are open files preventing the operation"
    jobs.commit()
    jobs.volume.reason = "no such volume"
    with pytest.raises(RuntimeError, match="no such volume"):
        jobs.commit()


def test_the_file_needs_neither_jax_nor_pydantic():
    blocked = "import sys; sys.modules |= dict.fromkeys(['jax', 'jaxtyping', 'numpy', 'pydantic', 'orbax', 'flax'])"
    assert python(f"{blocked}; import modal_jobs; print(modal_jobs.app.name)").strip() == "jax-inversion"


def modal_commands(*commands: list[str]) -> list[tuple[int, str]]:
    """Exit code and output of ``modal run modal_jobs.py...`` that ends before anything is asked of a server."""
    code = f"""
import json
import math
from click.testing import CliRunner
from modal.cli.entry_point import entrypoint_cli
for command in {commands!r}:
    result = CliRunner().invoke(entrypoint_cli, ["run", *command])
    print(json.dumps([result.exit_code, result.output]))
"""
    return [tuple(json.loads(line)) for line in python(code, MODAL_SERVER_URL="http://127.0.0.1:9").splitlines()]


def test_every_command_describes_itself_and_its_options():
    helps = modal_commands(*([f"modal_jobs.py::{name}", "--help"] for name in COMMANDS))
    for name, (code, text) in zip(COMMANDS, helps, strict=True):
        assert code == 0 and "Usage" in text, name
        before, _, options = text.partition("Options:")
        assert len(before.strip().splitlines()) > 1, f"{name} says nothing of itself"
        entries = re.findall(r"^  (--\S+)(.*(?:\n {6,}\S.*)*)", options, re.MULTILINE)
        assert entries and all(re.search(r"[a-z]{3,}", words) for _, words in entries), f"{name}: {entries}"


def test_what_is_mistyped_is_told_before_anything_is_started():
    train, submission = "modal_jobs.py::train", "modal_jobs.py::generate_submission_from_checkpoint"
    cases = {
        (train, "--run", "../x"): "--run '../x': right is a plain name",
        (train, "--data", "../x"): "--data ../x: not on the volume",
        (train, "--overrides", "train.epoch=30"): "unknown key train.epoch; did you mean 'epochs'",
        ("modal_jobs.py", "--overrides", "train.epochs=none"): "train.epochs",
        (train, "--overrides", "num_models=1"): 'num_models is called ensemble.members here: --overrides "ensemble',
        (submission, "--checkpoint_name", "../best"): "right is best, latest or epoch_<n>",
    }
    for (words, says), (code, said) in zip(cases.items(), modal_commands(*map(list, cases)), strict=True):
        assert code == 2 and said.startswith("error: ") and says in said and said.count("\n") == 1, (words, said)


def test_names_and_paths_stay_on_the_volume_and_each_set_has_its_own_seed(tmp_path):
    assert places.run_name("", "configs/challenge.toml") == "challenge"
    for path in ("train", "/vol/train", f"{tmp_path}/train"):
        assert places.inside(tmp_path, path, "data") == tmp_path / "train"
    with pytest.raises(UserError, match="--out /other: not on the volume"):
        places.inside(tmp_path, "/other", "out")
    assert len({places.seed_of(out) for out in ("train", "test", "simulated/train", "simulated/test")}) == 4
    (tmp_path / "results").write_text("")
    with pytest.raises(UserError, match="results: is a file, where a folder is wanted"):
        places.writable(tmp_path / "results" / "demo")
    assert [places.checkpoint(name) for name in ("checkpoint_epoch_10.pth", "best_model.pth", "epoch_3")] == [
        "epoch_10", "best", "epoch_3"
    ]  # fmt: skip


def test_hints_are_in_the_words_of_the_command():
    said = endings.as_typed_here("leave them out with --data.skip-bad true (see --train.clip-norm or --out)")
    right = 'leave them out with --overrides "data.skip-bad=true" (see --overrides "train.clip-norm=..." or --out)'
    assert said == right


def test_one_option_chooses_the_cards_and_says_what_stays_idle():
    code = (
        "import modal_jobs as m; print(m.train.info().gpus, m.train.info().secrets); m.print_plan(m.CONFIG, '', False)"
    )
    output = python(code, SPEED_GPU="H100:2, L40S")
    assert output.startswith("[('H100', 2), ('L40S', 1)]")
    assert "SPEED_GPU" in output.splitlines()[0], "containers price what they run on"
    assert "note: H100:2: training spreads members and batch over a machine's GPUs" in output
    with pytest.raises(UserError, match="H100:none"):
        machines.gpu_list("H100:none")


def test_a_missing_key_of_wandb_changes_nothing_and_a_key_travels():
    code = "import modal_jobs as m; print(m.train.info().secrets)"
    assert "WANDB" not in python(code, WANDB_API_KEY="")
    assert "WANDB_API_KEY" in python(code, WANDB_API_KEY="secret")
    assert "'my-wandb'" in python(code, SPEED_WANDB_SECRET="my-wandb")


def test_the_plan_adds_up_by_hand():
    assert machines.gpu_price("H100:2") == 2 * 3.95
    train = machines.MACHINES["train"]
    hour = 2.50 + 8 * 0.0472 + 64 * 0.0080
    assert train.price(["L40S", "A100-80GB"]) == pytest.approx(hour)
    table = machines.plan(epochs=10, members=2, gpus=["A100-80GB"], samples={"train": 1000, "test": 10})
    row = next(line for line in table.splitlines() if line.startswith("train"))
    hours = 1000 * 10 * 2 * machines.TRAIN_S / 3600 + 0.05
    assert row.split()[-3:] == [f"{hours:.2f}", f"${hours * hour:.2f}", f"${5 * 24 * hour:.2f}"]
    refining = 10 * machines.REFINE_CORE_S / 8 / 3600 + 0.05
    price = refining * (8 * 0.0472 + 32 * 0.0080)
    assert f"not in the sums): {refining:.2f} hours on 1 x 8 cores, 32 GiB, ${price:.2f}" in table
    assert "simulate_shard" not in table and "prices as listed in May 2026" in table


def test_the_plans_bytes_are_those_of_the_challenges_shapes():
    packed, cells = CHALLENGE.with_interval(1e-3), math.prod(CHALLENGE.model_shape)
    assert 4 * math.prod(CHALLENGE.gathers_shape) + 8 * cells == machines.FOLDER_BYTES
    assert 4 * math.prod(packed.gathers_shape) + 4 * cells == machines.PACKED_BYTES
    plan = machines.plan(epochs=1, members=1, gpus=["A100"], samples={"train": 5000, "test": 150})
    assert "47 GB of samples and 11 GB packed" in plan


def test_the_plan_knows_the_guides_card_and_says_what_it_does_not_know():
    plans = {gpu: machines.plan(epochs=1, members=1, gpus=[gpu]) for gpu in ("A100", "A10G", "X9000")}
    assert "are guesses" in plans["A100"] and "note:" not in plans["A100"]
    assert (
        "A10G has 24 GB" in plans["A10G"] and "train.batch-size=1" in plans["A10G"] and "unknown" not in plans["A10G"]
    )
    assert "note: X9000: no price and no speed known here; known are B200" in plans["X9000"]
    assert "unknown" in next(line for line in plans["X9000"].splitlines() if line.startswith("train"))


def test_conductors_pay_for_not_being_preempted():
    conductor = machines.MACHINES["pipeline"]
    assert conductor.price(["H200"]) == pytest.approx(3 * (0.5 * 0.0472 + 4 * 0.0080))


def test_the_log_has_what_was_printed(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SPEED_VOL", str(tmp_path))
    for name in ("JAX_COMPILATION_CACHE_DIR", "MPLCONFIGDIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    with volume.at_work("train") as root:
        print("hello")
    assert root == tmp_path
    assert [log.read_text() for log in (tmp_path / "logs").iterdir()] == ["hello\n"]
    assert capsys.readouterr().out == "hello\n"
    command = volume.fetch_command(tmp_path / "results" / "demo", tmp_path)
    assert command.endswith(
        "mkdir -p fetched/results && modal volume get --force speed-structure-vol results/demo fetched/results/"
    )


def test_a_gpu_is_insisted_on(monkeypatch):
    from jax_inversion.remote.gpu import need_gpu

    monkeypatch.delenv("SPEED_ALLOW_CPU", raising=False)
    with pytest.raises(UserError, match="not on a GPU; SPEED_ALLOW_CPU=1"):
        need_gpu()
    monkeypatch.setenv("SPEED_ALLOW_CPU", "1")
    need_gpu()


def test_overrides_are_those_of_the_front_doors():
    from jax_inversion.remote.settings import settings

    chosen = settings(REPO, "configs/quickstart.toml", "train.epochs=30 --train.batch-size=2 model.width 80")
    assert (chosen.train.epochs, chosen.train.batch_size, chosen.model.width) == (30, 2, 80)
    with pytest.raises(UserError, match="did you mean 'epochs'"):
        settings(REPO, "configs/quickstart.toml", "train.epoch=30")
    assert np.isclose(settings(REPO, "configs/quickstart.toml").preprocess.dt_s, 4e-3)
    assert settings(REPO, "", "simulator.spacing-m=2").simulator.spacing_m == 2
    with pytest.raises(
        UserError,
        match=r"--config mine.toml: neither a preset \(configs/challenge.toml, configs/openfwi.toml, configs/qu",
    ):
        settings(REPO, "mine.toml")
