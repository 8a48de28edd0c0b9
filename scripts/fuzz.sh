#!/usr/bin/env bash
# Fuzzes the decoders and the operations. See --help.
set -euo pipefail

readonly program=scripts/fuzz.sh
readonly FUZZ_VERSION=0.13.2
readonly targets=(formats pack journal tree ops text requests)

usage() {
    cat <<'EOF'
Usage: scripts/fuzz.sh [--minutes N] [TARGET...] [--help]

Runs fuzz targets one after the other, with the address sanitizer: all of them unless some are
named. They are formats, pack, journal, tree, ops, text and requests. Needs rustup, and installs a
nightly toolchain and cargo-fuzz if they are missing. What it learns stays in target/fuzz-corpus.
It stops at the first input that fails, and tells where that is; one that was mended belongs into
tests/fuzz/regressions/TARGET, from where the tests take it.

  --minutes N  how long for each target; 10 unless told
  --help       print this
EOF
}

# shellcheck source=scripts/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
minutes=10 operands=()
read_options "minutes ..." "$@"
[[ $minutes =~ ^[1-9][0-9]*$ ]] || misused
for target in "${operands[@]}"; do
    [[ " ${targets[*]} " == *" $target "* ]] || misused
done
((${#operands[@]})) || operands=("${targets[@]}")

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
check_cargo
install_packages c++:g++ >&2
command -v rustup >/dev/null || die "needs rustup, for a nightly toolchain"
rustup toolchain list | grep -q "^nightly" ||
    rustup --quiet toolchain install --profile minimal nightly
[[ $(cargo fuzz --version 2>/dev/null) == *" $FUZZ_VERSION" ]] ||
    cargo install --quiet --locked --profile dev "cargo-fuzz@$FUZZ_VERSION"

# Some targets make a store for each input: on a disk that takes its syncs seriously they try one or
# two a second, in memory hundreds.
if [[ -z ${TMPDIR:-} && -w /dev/shm ]]; then
    export TMPDIR=/dev/shm
fi
corpus=$(target_dir)/fuzz-corpus
for target in "${operands[@]}"; do
    printf '\n== %s, %s minutes\n' "$target" "$minutes"
    mkdir -p -- "$corpus/$target"
    seeds=()
    [[ ! -d tests/fuzz/regressions/$target ]] || seeds=("tests/fuzz/regressions/$target")
    cargo +nightly fuzz run --fuzz-dir tests/fuzz --target-dir "$(target_dir)/fuzz" "$target" \
        "$corpus/$target" "${seeds[@]}" -- \
        -max_total_time=$((minutes * 60)) -max_len=8192 -timeout=20 -rss_limit_mb=4096 \
        -print_final_stats=1 2>&1 | grep -vE '^#[0-9]+[[:space:]]+(NEW|REDUCE|pulse|RELOAD)'
done
