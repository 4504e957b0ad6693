"""Two calls on two machines that would train one run."""

import json

import pytest

from jax_inversion.errors import UserError
from jax_inversion.remote import lease


def test_a_second_call_is_refused_until_the_first_ends_or_is_long_silent(tmp_path, monkeypatch):
    run, commits, clock = tmp_path / "demo", [], [1000.0]
    monkeypatch.setattr(lease.time, "time", lambda: clock[0])

    def commit():
        commits.append(json.loads((run / lease.NOTE).read_text()) if (run / lease.NOTE).exists() else None)

    def other():
        with lease.sole_trainer(run, "fc-2", commit):
            pass

    with lease.sole_trainer(run, "fc-1", commit) as kept:
        clock[0] += 1500
        kept()
        clock[0] += 600
        with pytest.raises(UserError, match=r"demo: the call fc-1 trains this run, last heard of 10 min.*volume rm"):
            other()
        with lease.sole_trainer(run, "fc-1", commit):  # its next attempt
            pass
    assert commits[1] == {"call": "fc-1", "time": 2500.0} and commits[-1] is None
    other()
    (run / lease.NOTE).write_text(json.dumps({"call": "fc-1", "time": clock[0] - lease.VALID_S}))
    other()
    (run / lease.NOTE).write_text("torn")
    other()


def test_nothing_is_written_where_a_call_has_no_name(tmp_path):
    with lease.sole_trainer(tmp_path, None, lambda: None) as kept:
        kept()
    assert not list(tmp_path.iterdir())
