#!/usr/bin/env bash
# Runs the tests that explore schedules of threads. See --help.
set -euo pipefail

usage() {
    cat <<'EOT'
Usage: scripts/schedules.sh [--help] [NAME]

Runs the protocols between threads (journal, packs, repository) in hundreds of schedules, with the
locks of the crate shuttle: those tests whose name contains NAME, or all. They take seconds, but
everything is compiled once more for them, into target/shuttle, which takes minutes; so
scripts/test.sh leaves them out. Run them after a change of a lock or of what is done under it.

  VST_SCHEDULES=N    try so many times as many schedules
  VST_SCHEDULE=TEXT  run one schedule, as a test that failed has printed it; give NAME as well
EOT
}

case ${1:-} in
--help | -h)
    usage
    exit
    ;;
-*)
    usage >&2
    exit 2
    ;;
esac

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
export RUSTFLAGS="${RUSTFLAGS:-} --cfg shuttle"
cargo test --locked --lib --target-dir target/shuttle "schedules::${1:-}"
