#!/usr/bin/env bash
# Kills the daemon again and again amid work, and checks what is left each time. See --help.
set -euo pipefail

readonly program=scripts/soak.sh

usage() {
    cat <<'USAGE'
Usage: scripts/soak.sh --minutes N [--seed S] [--dir DIR] [--help]

Builds vst, mounts a store, and kills the daemon with SIGKILL again and again: amid writes,
renames, commits and restores, while it starts, recovers and ends. After each time it mounts the
store again and compares all of it with what was acknowledged. Stops at the first difference,
prints what was done to the path, keeps the store, and exits with 1. Prints how far it has got
every ten seconds, and at the end how often it killed, what was acknowledged, how long recovery
took, and the seed.

  --minutes N  how long to go on; a number like 30 or 0.5
  --seed S     repeat the choices of another run; the kernel's scheduler makes its own
  --dir DIR    where to make the store; TMPDIR or /tmp unless told
  --help       print this
USAGE
}

on_exit() {
    local status=$?
    trap '' INT TERM HUP
    if [[ -n ${soak:-} ]]; then
        kill -TERM "$soak" 2>/dev/null || true
        wait "$soak" 2>/dev/null || true
    fi
    if [[ -n ${tmp:-} ]]; then
        local store
        for store in "$tmp"/*/store; do
            [[ ! -e $store ]] || end_mounts "$tmp" "$store" || true
        done
        # What is still mounted must not be deleted through its mount.
        if ((status == 0 || status == 130)) && [[ -z $(fuse_mounts "$tmp") ]]; then
            rm -rf --one-file-system -- "$tmp"
        else
            printf '%s: kept: %s\n' "$program" "$tmp" >&2
        fi
    fi
    exit "$status"
}

# shellcheck source=scripts/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
minutes='' seed='' dir=${TMPDIR:-/tmp}
read_options "minutes seed dir" "$@"
[[ $minutes =~ ^[0-9]+(\.[0-9]+)?$ && $seed =~ ^[0-9]*$ ]] || misused
dir=$(realpath -- "$dir")
seconds=$(awk -v minutes="$minutes" 'BEGIN { printf "%d\n", minutes * 60 + 0.5 }')
seed=${seed:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

check_cargo
check_fuse ""
trap on_exit EXIT
trap 'exit 130' INT TERM HUP
cargo test --locked --test storm --no-run
# Started without cargo, which would not hand a signal on.
storm=$(cargo test --locked --quiet --test storm --no-run --message-format=json |
    sed -n 's/.*"executable":"\([^"]*\/storm-[^"]*\)".*/\1/p')
[[ -x $storm ]] || die "cargo does not tell where it put the storm"
tmp=$(mktemp -d -- "$dir/vst-soak.XXXXXX")
echo "seed $seed, for $seconds s"
# In the background, so that a signal is heeded at once.
TMPDIR=$tmp VST_SOAK_SECONDS=$seconds VST_SOAK_SEED=$seed VST_STORM_KEEP=1 \
    "$storm" --ignored --exact --nocapture soak &
soak=$!
status=0
wait "$soak" || status=1
soak=
echo "seed $seed"
((status == 0)) || die "the storm has found a difference (above)"
