#!/usr/bin/env bash
# All that is to be known of a card, in 25 minutes, on a machine that has one: tests of equality, then times.
# The table goes to benchmarks/device.md and is to be copied into benchmarks/README.md.
set -euo pipefail
cd "$(dirname "$0")/.."
export XLA_PYTHON_CLIENT_PREALLOCATE=false JAX_COMPILATION_CACHE_DIR="${JAX_COMPILATION_CACHE_DIR:-.jax_cache}"
nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader
timeout 1200 python -m benchmarks.device | tee benchmarks/device.md
JAX_PLATFORMS='' timeout 300 python -m pytest -n 0 -q tests/test_physics_gradient.py tests/test_physics_linearize.py || true
