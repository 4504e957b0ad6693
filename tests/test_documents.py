"""Every block in README and docs is what it says: Python runs, commands parse, settings exist. The site builds.

Comments before a block, which readers do not see, say what the test must know: ``given: CODE`` is run first, ``file:
NAME`` keeps the block under that name in the page's folder, ``needs weights``, ``slow: why`` (only compiled) and ``not
run: why``.
"""

import ast
import importlib
import itertools
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import jax
import nbformat
import numpy as np
import pytest
import tomli_w
from conftest import REPO
from physics_tiny import TINY

import jax_inversion
from jax_inversion import CHALLENGE
from jax_inversion import config as configs
from jax_inversion.__main__ import VERBS
from jax_inversion.config import Config
from jax_inversion.data.folders import write_sample
from jax_inversion.training import model_file

DOCS, NOTEBOOKS = REPO / "docs", REPO / "docs" / "notebooks"
PAGES = [REPO / "README.md", REPO / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md")), *sorted(DOCS.glob("howto/*.md"))]
FENCED = re.compile(r"((?:^<!--.*?-->\n)*)^```([^\n`]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NOTE = re.compile(r"<!--\s*(.*?)\s*-->", re.DOTALL)
PLAIN = ("export", "git", "mkdir", "pre-commit", "pyright", "pytest", "ruff", "sphinx-build")  # no options of ours
VOLUME = ("create", "get", "put", "rm")
FEW = 3
weights = pytest.mark.skipif(not model_file.SHIPPED.is_file(), reason="this checkout came without weights")


@dataclass(frozen=True)
class Block:
    language: str
    code: str
    notes: tuple[str, ...]

    def said(self, name: str) -> list[str]:
        """What the notes ``name: ...`` say."""
        return [note.removeprefix(name).removeprefix(":").strip() for note in self.notes if note.startswith(name)]


@cache
def blocks(page: Path) -> list[Block]:
    found = FENCED.findall(page.read_text())
    return [Block(language, code, tuple(NOTE.findall(notes))) for notes, language, code in found]


def pages(*languages: str, weights: bool = False) -> list[Path]:
    """Those with blocks in one of these languages, and of such that need weights."""
    wanted = {page: [block for block in blocks(page) if block.language in languages] for page in PAGES}
    return [page for page, some in wanted.items() if any(not weights or b.said("needs weights") for b in some)]


def name_of(page: Path) -> str:
    return str(page.relative_to(REPO))


def challenge_sample(folder: str) -> None:
    """One of the small reference samples, brought to the challenge's own sampling."""
    with np.load(REPO / "tests" / "data" / "ref00100.npz") as kept:
        coarse, steps = kept["gathers"], kept["velocity_steps"]
    row = np.arange(CHALLENGE.nt) * (coarse.shape[1] - 1) / (CHALLENGE.nt - 1)
    near = np.minimum(row.astype(int), coarse.shape[1] - 2)
    share = (row - near)[:, None]
    gathers = coarse[:, near] * (1 - share) + coarse[:, near + 1] * share
    velocity = np.cumsum(steps, axis=0, dtype=np.uint16) * 1e-4
    if not Path(folder).exists():
        write_sample(Path(folder).parent, Path(folder).name, CHALLENGE, gathers, velocity)


def tiny_survey(path: str) -> None:
    Path(path).write_text(tomli_w.dumps({"survey": TINY.as_dict()}))


GIVEN = {"challenge_sample": challenge_sample, "tiny_survey": tiny_survey}


@pytest.fixture
def elsewhere(tmp_path, monkeypatch, plain_figures, few_windows) -> Iterator[Path]:
    """An empty folder, and JAX as users have it."""
    monkeypatch.chdir(tmp_path)
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield tmp_path


def run_page(page: Path, with_weights: bool) -> None:
    names: dict = dict(GIVEN)
    for block in blocks(page):
        for name in block.said("file"):
            Path(name).write_text(block.code)
        if block.language != "python" or block.said("not run"):
            continue
        code = compile(block.code, name_of(page), "exec")
        if block.said("slow") or (block.said("needs weights") and not with_weights):
            continue
        for given in block.said("given"):
            exec(given, names)
        exec(code, names)


@pytest.mark.slow
@pytest.mark.parametrize("page", pages("python"), ids=name_of)
def test_python_of_a_page_runs_in_order(page, elsewhere):
    run_page(page, with_weights=False)


@weights
@pytest.mark.slow
@pytest.mark.parametrize("page", pages("python", weights=True), ids=name_of)
def test_python_that_needs_the_weights_runs_too(page, elsewhere):
    run_page(page, with_weights=True)


@pytest.mark.parametrize("page", pages("sh", "bash", "toml"), ids=name_of)
def test_commands_parse_and_settings_exist(page, elsewhere):
    for block in blocks(page):
        if block.language == "toml":
            configs.from_dict(tomllib.loads(block.code), name_of(page))
        for name in block.said("file"):
            Path(name).write_text(block.code)
        for given in block.said("given"):
            exec(given, dict(GIVEN))
    for block in blocks(page):
        if block.language in ("sh", "bash") and not block.said("not run"):
            for words in commands(block.code):
                check(words)


def commands(code: str) -> Iterator[list[str]]:
    """The words of each command, without its variables and where its output goes."""
    for line in code.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="&|;<>")
        lexer.whitespace_split, words = True, []
        for word in [*lexer, "&&"]:
            if not set(word) <= set("&|;"):
                words.append(word)
                continue
            words = words[: words.index(">")] if ">" in words else words
            while words and re.match(r"[A-Z_]+=", words[0]):
                words = words[1:]
            if words:
                yield words
            words = []


def check(words: list[str]) -> None:
    match words:
        case ["python", "-m", module, *rest] if module.startswith("jax_inversion."):
            check_door(module.removeprefix("jax_inversion."), rest)
        case ["jax-inversion", verb, *rest] if not verb.startswith("-"):
            check_door(verb, rest)
        case ["jax-inversion"] | ["jax-inversion", "--version"] | ["jax-inversion", "--print-completion", _]:
            pass
        case ["python", script, *_] if script.endswith(".py"):
            assert (REPO / script).is_file(), script
        case ["modal", "run", *rest]:
            check_modal([word for word in rest if word != "--detach"])
        case ["modal", "setup"]:
            pass
        case ["modal", "volume", what, *_]:
            assert what in VOLUME, words
        case ["pip", "install", *rest]:
            check_extras(rest)
        case ["docker", "build" | "run", *_]:
            assert (REPO / "Dockerfile").is_file()
        case _:
            assert words[0] in PLAIN, f"the test knows no command {words}"


def check_door(verb: str, words: list[str]) -> None:
    assert verb in VERBS, verb
    door = importlib.import_module(f"jax_inversion.{verb}").parser()
    try:
        options, overrides = door.read([word for word in words if word != "--help"])
    except SystemExit:
        raise AssertionError(f"{verb} {' '.join(words)}") from None
    file = getattr(options, "config", None) or getattr(options, "survey", None)
    if file is not None and file.suffix and not file.is_file():
        file = REPO / file
    if getattr(options, "config", None) is None and file is not None and not file.is_file():
        file = None  # --survey of a file of the reader's own
    before = configs.load(file) if file is not None else Config()
    given = configs.parse_overrides(overrides)
    assert {*given} <= {*door.sections}, f"{verb} takes no {given}"
    configs.from_dict(configs.with_overrides(configs.as_dict(before), overrides), f"{verb} {' '.join(words)}")


def check_modal(words: list[str]) -> None:
    file, _, name = words[0].partition("::")
    functions = {node.name: node for node in ast.parse((REPO / file).read_text()).body if hasattr(node, "args")}
    known = [argument.arg for argument in functions[name or "main"].args.args]
    for word, following in itertools.pairwise([*words[1:], ""]):
        if word.startswith("--"):
            assert word[2:].replace("-", "_") in known, f"modal_jobs.py::{name} has no {word}"
        if word == "--overrides":
            changes = [part if part.startswith("--") else f"--{part}" for part in shlex.split(following)]
            configs.with_overrides(configs.as_dict(Config()), changes)


def check_extras(words: list[str]) -> None:
    project = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
    for extras in re.findall(r"\[(.*?)\]", " ".join(words)):
        assert {*extras.split(",")} <= {*project["optional-dependencies"]}, extras


def test_few_blocks_are_left_out_and_each_says_why():
    left = [(name_of(p), b.said("not run") + b.said("slow")) for p in PAGES for b in blocks(p)]
    left = [(page, why) for page, why in left if why]
    assert len(left) <= FEW and all(len(why[0]) > 10 for _, why in left), left


def test_links_of_the_readme_lead_somewhere():
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", (REPO / "README.md").read_text())
    missing = [link for link in links if "://" not in link and not (REPO / link).exists()]
    assert len(links) > 10 and not missing


def notebooks() -> list:
    found = [path for path in sorted(NOTEBOOKS.glob("*.py")) if path.name != "pair.py"]
    wanting = [path for path in found if re.search(r'^[^#\n]*load\("pretrained"\)', path.read_text(), re.MULTILINE)]
    return [pytest.param(path, marks=[weights] if path in wanting else [], id=path.stem) for path in found]


@pytest.mark.slow
@pytest.mark.parametrize("source", notebooks())
def test_a_notebook_runs(source, elsewhere):
    exec(compile(source.read_text(), source.name, "exec"), {"__name__": "__main__"})


def test_notebooks_and_their_sources_are_in_step():
    sys.path.insert(0, str(NOTEBOOKS))
    try:
        pair = importlib.import_module("pair")
    finally:
        sys.path.remove(str(NOTEBOOKS))
    assert len(pair.sources()) == 4
    for source in pair.sources():
        kept = nbformat.read(source.with_suffix(".ipynb"), as_version=4)
        assert nbformat.writes(kept) == nbformat.writes(pair.paired(source)), "run docs/notebooks/pair.py"
        assert not any(cell.get("outputs") for cell in kept.cells)


def test_the_reference_has_every_name_of_the_interface():
    text = (DOCS / "api.md").read_text()
    assert not [name for name in jax_inversion.__all__ if not re.search(rf":: {name}$", text, re.MULTILINE)]


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path):
    pytest.importorskip("furo")
    command = [sys.executable, "-m", "sphinx", "-W", "-q", "-d", tmp_path / "trees", DOCS, tmp_path / "site"]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "site" / "cli.html").read_text()
    assert all(f"jax_inversion.{verb}" in text for verb in VERBS) and "learning-rate" in text
