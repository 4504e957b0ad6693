"""``python -m jax_inversion [verb ...]`` and the script ``jax-inversion``: lists the front doors or opens one."""

import importlib
import sys
from collections.abc import Sequence

from . import __version__
from .cli import completion, front_door

VERBS = {
    "convert": "OpenFWI, SEG-Y, HDF5 or .npz into samples, and samples or submissions into those (also: import)",
    "simulate": "make shot gathers and velocity models in the challenge's layout",
    "calibrate": "compare the simulator with samples that have gathers and model",
    "analyze": "count, check and draw the samples of a folder",
    "train": "train or resume an ensemble",
    "infer": "predict velocity models and write a submission",
    "refine": "correct predictions so that their gathers agree with those observed",
    "export": "write a trained run to one small file that predicts anywhere",
    "score": "score a submission against the truth",
    "pipeline": "all of it, from simulated data to a scored submission and a report",
    "report": "write a page that lists all runs in a folder, with scores and links to their reports",
    "doctor": "what is installed and set up here, and what to do about the rest",
}
ALSO = {"import": "convert"}  # a word of Python's own, which no module can have as its name


@front_door
def main(argv: Sequence[str]) -> int:
    if argv and (verb := ALSO.get(argv[0], argv[0])) in VERBS:
        return importlib.import_module(f"jax_inversion.{verb}").main(argv[1:])
    if argv and argv[0] == "--version":
        print(f"jax_inversion {__version__}")
        return 0
    if argv and argv[0] == "--print-completion":
        modules = {verb: f"jax_inversion.{ALSO.get(verb, verb)}" for verb in (*VERBS, *ALSO)}
        doors = {verb: importlib.import_module(module).parser() for verb, module in modules.items()}
        print(completion(doors, argv[1] if argv[1:] else ""))
        return 0
    print("usage: python -m jax_inversion <verb> [options]     (each verb has --help)\n")
    for verb, what in VERBS.items():
        print(f"  {verb:<10} {what}")
    print("\n  --version; --print-completion bash|zsh|tcsh: for the script jax-inversion")
    if argv and argv[0] not in ("-h", "--help"):
        print(f"error: {argv[0]!r} is not a verb; the verbs are {', '.join(VERBS)}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
