#!/usr/bin/env bash
# All that is to be known of a card, in 25 minutes, on a machine that has one: right results first, then times.
#
#   benchmarks/gpu.sh                   # all steps, the most important first
#   benchmarks/gpu.sh check infer       # some of check, train, infer and simulate, each of less than ten minutes
#
# Each step's table goes to device_<step>.md in $OUT (default: this folder), to be copied into README.md here. What
# fails or takes too long does not keep the rest from being measured, and makes the status other than 0.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
python=${PYTHON:-python3} out=${OUT:-benchmarks}
export JAX_PLATFORMS=${JAX_PLATFORMS:-cuda,cpu}    # the tests take the CPU otherwise
export XLA_PYTHON_CLIENT_PREALLOCATE=false PYTHONUNBUFFERED=1

within() { # SECONDS COMMAND..., which is told to stop, and ten seconds later made to
    timeout --kill-after=10 "$@"
}

measure() { # SECONDS STEP
    within "$1" "$python" -m benchmarks.device "$2" | tee "$out/device_$2.md"
}

step() { # NAME
    case $1 in
        check)
            JAX_DISABLE_MOST_OPTIMIZATIONS=0 within 140 "$python" -m pytest -n 0 tests/test_gpu.py
            local tests=$?
            measure 140 check && ((tests == 0))
            ;;
        train) measure 480 train ;;
        infer) measure 420 infer ;;
        simulate) measure 240 simulate ;;
        *)
            echo "$1 is not one of check, train, infer, simulate" >&2
            false
            ;;
    esac
}

((${#})) || set -- check train infer simulate
command -v nvidia-smi >/dev/null && nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader
# JAX falls back on the CPU, where tests for a card are skipped and figures mean nothing
"$python" -c 'from jax_inversion.remote.gpu import need_gpu; need_gpu()' || exit
failed=()
for name in "$@"; do
    step "$name" || failed+=("$name")
done
((${#failed[@]} == 0)) || echo "failed: ${failed[*]}" >&2
((${#failed[@]} == 0))
