#!/usr/bin/env bash
# Everything that a change must pass, in one command. See --help.
set -euo pipefail

readonly program=scripts/test.sh
readonly DENY_VERSION=0.20.2
readonly FETCH_TIMEOUT_S=120

usage() {
    cat <<'EOF'
Usage: scripts/test.sh [--no-mount] [--help]

Checks formatting, lints, documentation and dependencies, and runs all tests. On Debian and its
relatives it first installs what is missing, as root or through sudo; a Rust toolchain must be
there. Stops at the first step that fails, names it, and exits with 1. What scripts/schedules.sh
explores is left out: it needs everything compiled once more.

  --no-mount  leave out the tests that mount, which need /dev/fuse
  --help      print this
EOF
}

# begin NAME: prints the heading of a step.
begin() {
    current=$1
    printf '\n== %s\n' "$current"
}

on_exit() {
    local status=$?
    if ((status != 0)); then
        printf '\nFAILED: %s\n' "$current" >&2
        status=1
    fi
    restore_uring
    # What a test has left mounted must not be deleted through its mount.
    if [[ -n ${tmp:-} && -z $(fuse_mounts "$tmp") ]]; then
        rm -rf --one-file-system -- "$tmp"
    fi
    exit "$status"
}

install_needs() {
    local needs=(git:git groff:groff-base)
    if ((!no_mount)); then
        needs+=(fusermount3:fuse3 getfattr:attr getfacl:acl rsync:rsync sqlite3:sqlite3
            tar:tar patch:patch mkfs.ext4:e2fsprogs)
    fi
    install_packages "${needs[@]}"
}

# install_component COMMAND COMPONENT: a part of the Rust toolchain.
install_component() {
    cargo "$1" --version >/dev/null 2>&1 && return
    command -v rustup >/dev/null || die "cargo $1 is missing, and there is no rustup to add it"
    echo "installs $2"
    rustup --quiet component add "$2"
}

install_deny() {
    local found
    found=$(cargo deny --version 2>/dev/null | awk '{print $2}') || found=
    if [[ -n $found && $(printf '%s\n' "$DENY_VERSION" "$found" | sort -V | head -n 1) == "$DENY_VERSION" ]]; then
        return
    fi
    echo "installs cargo-deny $DENY_VERSION from its source, which takes a minute or two"
    # Unoptimised it checks this tree in a second, and an optimised build takes far longer.
    CARGO_PROFILE_DEV_DEBUG=0 \
        cargo install --quiet --locked --profile dev "cargo-deny@$DENY_VERSION"
}

check_advisories() {
    # A separate fetch tells a network that is not there from an advisory that is.
    if ! timeout "$FETCH_TIMEOUT_S" cargo deny fetch db >"$tmp/fetch.log" 2>&1; then
        echo "NOT CHECKED: the database of advisories cannot be fetched:"
        grep -E 'fatal:|ERROR' "$tmp/fetch.log" | tail -n 1 || true
        return
    fi
    cargo deny --offline check advisories
}

run_tests() {
    if ((!no_mount)); then
        TMPDIR=$tmp VST_TEST_TRANSPORT=fuser cargo test --locked
        return
    fi
    local targets=(--lib --bins) file name
    for file in tests/*.rs tests/*/main.rs; do
        [[ -e $file ]] || continue
        name=${file#tests/} name=${name%/main.rs} name=${name%.rs}
        [[ $name == mount || $name == storm ]] || targets+=(--test "$name")
    done
    TMPDIR=$tmp cargo test --locked "${targets[@]}"
    TMPDIR=$tmp cargo test --locked --doc
}

# The tests that mount, once more.
run_mount_tests_on() {
    TMPDIR=$tmp VST_TEST_TRANSPORT=$1 cargo test --locked --test mount
}

# Prints the processes that run the binary which was built here.
daemons() {
    local exe target
    for exe in /proc/[0-9]*/exe; do
        # A process may be gone by now, or somebody else's.
        target=$(readlink "$exe" 2>/dev/null) || continue
        if [[ ${target% (deleted)} == "$binary" ]]; then
            exe=${exe#/proc/}
            printf '%s\n' "${exe%/exe}"
        fi
    done | sort
}

check_leftovers() {
    local mounts left
    mounts=$(fuse_mounts "$tmp")
    left=$(comm -13 <(printf '%s\n' "$daemons_before") <(daemons))
    [[ -z $mounts ]] || printf 'still mounted: %s\n' "$mounts"
    [[ -z $left ]] || printf 'still running: process %s\n' "$left"
    if [[ -n $mounts$left ]]; then
        die "the tests left mounts or daemons behind"
    fi
    echo "no mount and no daemon is left"
}

# shellcheck source=scripts/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
no_mount=0
read_options "no-mount!" "$@"

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

current=start
# The tests make their directories in here, so that what they leave is known as theirs.
tmp=$(realpath -- "$(mktemp -d -t vst-test.XXXXXX)")
# Other users must come through to the mounts in it, to be refused there.
chmod 711 -- "$tmp"
trap on_exit EXIT

begin "packages"
check_cargo
install_needs
if ((!no_mount)); then
    check_fuse "--no-mount leaves out the tests that need it"
fi

begin "tools"
install_component fmt rustfmt
install_component clippy clippy
install_deny
cargo --version
cargo deny --version

begin "formatting: cargo fmt --check"
cargo fmt --check

begin "lints: cargo clippy --all-targets -- -D warnings"
cargo clippy --locked --all-targets -- -D warnings

begin "documentation: cargo doc, warnings denied"
RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps --document-private-items

begin "dependencies: cargo deny check licenses bans sources"
cargo deny check licenses bans sources

begin "dependencies: cargo deny check advisories"
check_advisories

begin "tests: cargo test"
if ((no_mount)); then
    echo "without the tests that mount"
fi
binary=$(target_dir)/debug/vst
daemons_before=$(daemons)
run_tests

if ((!no_mount)); then
    begin "tests: the mount, through rings"
    # Without a subshell, which would keep what it was.
    if switch_uring; then
        run_mount_tests_on ring
        restore_uring
    else
        echo "NOT TESTED, for the reason above"
    fi
fi

begin "leftovers"
check_leftovers

printf '\nAll passed.\n'
