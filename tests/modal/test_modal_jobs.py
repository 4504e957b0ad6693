"""The commands as a user types them, with the real client, in real containers, without a GPU or an account.

The tests go on with each other's volume, as a user does, in the order they stand here.
"""

import re
import shutil
import signal
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
from grpclib import GRPCError, Status
from modal._utils.jwt_utils import DecodedJwt
from modal_proto import api_pb2

from jax_inversion import config as configs
from jax_inversion.inference.submission import check_submission
from jax_inversion.training import restore

pytestmark = pytest.mark.slow
TESTS = [f"sample{k}" for k in range(12, 16)]


def figures(path: Path) -> dict[str, np.ndarray]:
    """All that a checkpoint predicts with."""
    import jax

    leaves = jax.tree_util.tree_leaves_with_path(restore(path).variables)
    return {jax.tree_util.keystr(name): np.asarray(leaf) for name, leaf in leaves}


@pytest.fixture(scope="module")
def piped(cloud, tmp_path_factory):
    """The bare command on the uploaded data, and the results fetched. No wandb key is set, and wandb is not off."""
    local = tmp_path_factory.mktemp("fetched")
    server, results = cloud.run(
        "run modal_jobs.py --config tiny.toml --run demo --overrides track.wandb=auto",
        f"volume get --force speed-structure-vol results/demo {local}/",
    )
    return server, results, local


def test_one_command_goes_from_samples_to_a_scored_submission_on_the_local_disk(cloud, piped):
    server, [(code, output), (fetched, _)], local = piped
    assert (code, fetched) == (0, 0), output
    stages = ["analyze_data", "prepare", "train", "generate_submission", "finish", "pipeline"]
    assert [(name, status) for name, _, _, status in server.attempts] == [(name, "SUCCESS") for name in stages]
    (file,) = (path for path in (local / "demo").glob("submission_best_*.npz") if "spread" not in path.name)
    check_submission(file, TESTS, configs.load(cloud.volume / "tiny.toml").survey)
    assert (local / "demo" / "submission.npz").read_bytes() == file.read_bytes()
    assert (local / "demo" / "report.html").stat().st_size > 10_000
    assert "modal volume get --force speed-structure-vol results/demo fetched/results/" in output
    assert "12 samples packed in models/demo/store/train; next: modal run modal_jobs.py::train --run demo" in output
    assert "MAPE" in output
    assert (cloud.volume / "models/demo/wandb").is_dir()
    assert any((cloud.volume / "logs").glob("*_train_*.log"))


def preempt(local_modal, cloud, monkeypatch, command, end):
    """The statuses of the attempts of a training whose machine is taken away, with ``end``, at its first commit."""

    def kill(self, task, why):
        task.stopped_for = task.stopped_for or why
        if task.proc and task.proc.returncode is None:
            task.proc.send_signal(end)

    monkeypatch.setattr(local_modal.LocalModal, "_kill", kill)
    # The first commit says who trains, the second has a checkpoint.
    server, [(code, output)] = cloud.run(f"run modal_jobs.py::{command} --config tiny.toml", preempt_at_commit=2)
    assert code == 0, output
    return [(name, status) for name, _, _, status in server.attempts], output


def test_a_training_that_was_killed_after_a_commit_ends_with_the_same_weights(local_modal, cloud, piped, monkeypatch):
    attempts, output = preempt(local_modal, cloud, monkeypatch, "train --run cut", signal.SIGKILL)
    assert attempts == [("train", "PREEMPTED"), ("train", "SUCCESS")]
    assert "going on after step 2 of 4" in output
    whole, cut = (figures(cloud.volume / "models" / each / "latest") for each in ("demo", "cut"))
    assert whole.keys() == cut.keys()
    for leaf in whole:
        np.testing.assert_array_equal(whole[leaf], cut[leaf], err_msg=leaf)


def test_a_training_that_is_told_of_its_end_loses_nothing(local_modal, cloud, piped, monkeypatch):
    command = "train_sota_model --run told --overrides train.epochs=3"  # as the original guide calls it
    attempts, output = preempt(local_modal, cloud, monkeypatch, command, signal.SIGTERM)
    assert attempts == [("train_sota_model", "PREEMPTED"), ("train_sota_model", "SUCCESS")]
    assert "train_sota_model is called train here" in output and "SIGTERM: saving after this step" in output
    assert re.search("going on after step [345] of 6", output), "it goes on while a checkpoint is written"


def test_submissions_of_other_checkpoints_and_of_none(cloud, piped):
    command = "run modal_jobs.py::generate_submission_from_checkpoint --run demo"
    server, [(code, output), (wrong, complaint)] = cloud.run(
        f"{command} --checkpoint_name checkpoint_epoch_1.pth --overrides infer.smoothing-m=20",
        f"{command} --checkpoint-name epoch_7",
    )
    assert code == 0, output
    assert "checkpoint_epoch_1.pth is called epoch_1 here" in output
    survey = configs.load(cloud.volume / "tiny.toml").survey
    check_submission(cloud.volume / "results/demo/submission_epoch_1.npz", TESTS, survey)
    assert wrong != 0
    assert "demo has no checkpoint 'epoch_7'; it has best, latest, epoch_1, epoch_2" in complaint
    assert complaint.count("error:") == 1 and "Traceback" not in complaint
    assert len(server.attempts) == 1, "what is on the volume is looked at before a machine with a card starts"


def test_parts_predicted_side_by_side_are_the_submission_of_one(cloud, piped):
    name = "submission_epoch_1.npz"
    before = dict(np.load(cloud.volume / "models/demo" / name))
    parts = "infer_sharded --run demo --checkpoint-name epoch_1 --chunk 2 --overrides infer.smoothing-m=20"
    server, [(code, output), (scored, scores)] = cloud.run(
        f"run modal_jobs.py::{parts}", f"run modal_jobs.py::score --run demo --submission results/demo/{name}"
    )
    assert (code, scored) == (0, 0), output + scores
    assert sum(called == "infer_chunk" for called, *_ in server.attempts) == 2
    after = dict(np.load(cloud.volume / "results/demo" / name))
    assert sorted(after) == TESTS
    for sample_id in TESTS:
        np.testing.assert_array_equal(after[sample_id], before[sample_id])
    assert "MAPE by depth" in scores


def test_predictions_are_refined_in_parts_side_by_side(cloud):
    cloud.fill("more", train=28)  # enough to learn a prior from
    server, [(trained, said), (code, output)] = cloud.run(
        "run modal_jobs.py::train --config tiny.toml --run also --data more --overrides train.epochs=1",
        "run modal_jobs.py::refine --run also --data more --chunk 2 --overrides refine.products=4",
    )
    assert (trained, code) == (0, 0), said + output
    parts = [status for name, _, _, status in server.attempts if name == "refine_chunk"]
    assert parts == ["SUCCESS"] * 2
    assert re.search(r"\d of 4 models refined; 2 parts merged and checked", output)
    (refined,) = (cloud.volume / "results/also").glob("submission_*_refined.npz")
    tests = [f"sample{k}" for k in range(28, 32)]
    check_submission(refined, tests, configs.load(cloud.volume / "tiny.toml").survey)


def test_resume_and_finish_insist_on_what_they_go_on_with(cloud, piped):
    _, [(code, output), (resumed, there), (finished, complaint)] = cloud.run(
        "run modal_jobs.py::resume --run dmeo",
        "run modal_jobs.py::resume --run told",
        "run modal_jobs.py::finish --run told",
    )
    assert code != 0
    assert "no run 'dmeo'" in output and "demo, told" in output
    assert resumed == 0 and "nothing is left to train; raise train.epochs" in there
    assert finished != 0 and "no submission of its best epoch" in complaint


def test_the_uploaded_zip_is_unpacked_and_looked_at(cloud, empty_cloud, tmp_path):
    survey = configs.load(cloud.volume / "tiny.toml").survey
    with zipfile.ZipFile(tmp_path / "train.zip", "w") as archive:
        for file in (cloud.volume / "train").rglob("*.npy"):
            archive.write(file, f"challenge/{file.parent.name}/{file.name}")
    shutil.copytree(cloud.volume / "test", empty_cloud.volume / "test")
    _, results = empty_cloud.run(
        f"volume put speed-structure-vol {tmp_path}/train.zip /",
        "run modal_jobs.py::unpack --archive train.zip --into train",
        "run modal_jobs.py::analyze_data --config tiny.toml",
        "run modal_jobs.py --plan --config configs/quickstart.toml --simulated",
        cli_env={"SPEED_WANDB_SECRET": "key-of-mine", "SPEED_GPU": "H100:2"},
        secrets={"key-of-mine": {"WANDB_API_KEY": "secret"}},
    )
    assert [code for code, _ in results] == [0] * 4, results
    unpacked, analyzed, planned = (output for _, output in results[1:])
    assert "train/: 12 samples of train.zip" in unpacked
    assert "modal volume rm speed-structure-vol train.zip" in unpacked
    assert "12 of 16 samples have one" in analyzed and str(survey.gathers_shape[1:]) in analyzed
    assert "modal volume get --force speed-structure-vol results/analysis fetched/results/" in analyzed
    assert (empty_cloud.volume / "results/analysis/spectrum.png").stat().st_size > 1000
    assert "note: H100:2: training spreads members and batch" in planned and "simulate_shard" in planned


def test_what_stops_a_detached_pipeline_or_a_missing_secret_is_said_in_a_line(cloud):
    server, [(code, output)] = cloud.run(
        "run --detach modal_jobs.py --simulated --config tiny.toml --run none --overrides simulate.train-count=0"
    )
    assert code != 0 and "error: no data: give --data DIR, or simulate.train-count" in output
    assert "Traceback" not in output and len(server.attempts) == 1
    _, [(code, output)] = cloud.run("run modal_jobs.py::train --run x", cli_env={"SPEED_WANDB_SECRET": "nope"})
    assert code != 0 and "'nope' not found" in output and "Traceback" not in output


def test_simulation_on_several_containers_outlives_the_failure_of_one(local_modal, cloud, monkeypatch):
    failed = threading.Event()

    class Flaky(local_modal.LocalModal):
        """The first commit of a shard fails, and with it the shard.

        Inputs are named by tokens that say their place, as Modal's are: the client reads it to retry one of a map.
        """

        async def _put(self, call, idx, item):
            token = DecodedJwt.encode_without_signature({"idx": idx, "id": self.new("in")})
            put = local_modal.Input(call, idx, token, item)
            self.inputs[token] = call.inputs[token] = put
            await self._enqueue(put)
            return api_pb2.FunctionPutInputsResponseItem(idx=idx, input_id=token, input_jwt=token)

        def _commit(self, task, volume):
            if (
                self.functions[task.function_id].function_name == "simulate_shard"
                and task.running
                and not failed.is_set()
            ):
                failed.set()
                raise GRPCError(Status.FAILED_PRECONDITION, "the volume is having a bad day")
            super()._commit(task, volume)

    monkeypatch.setattr(local_modal, "LocalModal", Flaky)
    server, [(code, output)] = cloud.run(
        "run modal_jobs.py::simulate --count 2 --shard 1 --config tiny.toml --out made/train"
    )
    assert code == 0, output
    statuses = [status for name, _, _, status in server.attempts if name == "simulate_shard"]
    assert sorted(statuses) == ["FAILURE", "SUCCESS", "SUCCESS"]
    # what the failed container had written was committed when it went: its other attempt may find the sample made
    assert re.search(r"made/train: 2 samples, [12] of them new, \d+ samples/h, about \$", output)
    monkeypatch.undo()
    command = "run modal_jobs.py::simulate --count 2 --config tiny.toml --out made/test --machine gpu"
    server, [(code, output)] = cloud.run(command, cli_env={"SPEED_GPU": "X9000"})
    assert code == 0 and [name for name, *_ in server.attempts] == ["simulate_shard_gpu", "simulate"]
    assert re.search(r"made/test: 2 samples, 2 of them new, \d+ samples/h, about unknown", output)
    assert "modal volume get --force speed-structure-vol made/test fetched/made/" in output
    models = [np.load(path) for path in (cloud.volume / "made").glob("*/*/vp_model.npy")]
    assert len({model.tobytes() for model in models}) == 4, "no sample is in two sets"


def test_what_a_volume_lacks_is_told_before_any_work(cloud, empty_cloud):
    shutil.copytree(cloud.volume / "train", empty_cloud.volume / "train")
    server, [(code, output), (without, complaint)] = empty_cloud.run(
        "run modal_jobs.py::train --config tiny.toml --data other", "run modal_jobs.py --config tiny.toml"
    )
    assert code != 0 and "modal volume put speed-structure-vol train.zip" in output
    assert without != 0 and "has no test samples" in complaint and "--out test --seed 2" in complaint
    assert [name for name, *_ in server.attempts] == ["pipeline"], "the others would do their work for nothing"

    asked = server.definition("train")
    assert asked["gpu"][0] == ("A100-80GB", 1) and len(asked["gpu"]) > 1
    assert asked["memory"] == 64 * 1024 and asked["timeout"] == 24 * 3600
    assert asked["retries"] > 0 and asked["single_use"] and asked["volumes"] == {"/vol": "speed-structure-vol"}
    files = asked["files"]
    for name in ("__init__.py", "train.py", "training/loop.py", "physics/simulate.py", "remote/stages.py"):
        assert f"/root/jax_inversion/{name}" in files
    assert "/root/configs/challenge.toml" in files and "/root/configs/quickstart.toml" in files
    image = " ".join(asked["image"])
    assert "jax[cuda12]" in image and "orbax-checkpoint" in image
