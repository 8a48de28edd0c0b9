#!/usr/bin/env bash
# Runs the suites that filesystems are measured by on a mount. See --help.
set -euo pipefail

readonly program=scripts/conformance.sh
readonly PARTS=(pjdfstest fsx stress-ng fio dbench million)
readonly PJDFSTEST_VERSION=0.2.2
readonly FSX_VERSION=0.3.2
readonly PJDFSTEST_TIMEOUT_S=900
readonly FSX_TIMEOUT_S=3600
readonly FIO_TIMEOUT_S=900
readonly MILLION_TIMEOUT_S=1800
# What a program may take beyond the time that it was told to run for.
readonly GRACE_S=180
# Between two commits that are made while the suites run.
readonly COMMIT_PAUSE_S=0.05
# Lines of its output that are shown of what has failed.
readonly SHOWN_LINES=15

usage() {
    cat <<'USAGE'
Usage: scripts/conformance.sh [OPTION...] [PART...]

Builds vst, mounts a new store as root, and runs on it, while a commit is made every 50 ms:

  pjdfstest  what POSIX says of 398 cases, by the crate of that name
  fsx        runs of random operations on one file, mappings, holes and copies among them, each
             read compared with what was written; then the file is compared with its commit
  stress-ng  each stressor of the class `filesystem`, verifying
  fio        random writes that are read back and checked: by threads, mapped, past the cache
  dbench     the load of a file server, and what its clients do not expect
  million    a directory of a million files: made, listed, committed, mounted again, removed; on a
             mount of its own

Without a PART it runs all. At the end it looks whether every commit can be read, whether a remount
shows the same tree, and prints a line for each failure and a last one, `passed N failed M`. Exits
with 0 if nothing failed, with 1 otherwise.

On Debian and its relatives it first installs what is missing; the two crates are built into the
target directory.

  --seed N             the first seed of fsx; 1 unless told
  --fsx-runs N         runs of fsx, each with a seed of its own; 10 unless told
  --fsx-operations N   operations in each; 100000 unless told
  --seconds N          how long each stressor runs, and a fourth of dbench; 5 unless told
  --dir DIR            where to make the store; TMPDIR or /tmp unless told
  --transport HOW      how requests come: auto, fuser or ring; fuser unless told. For ring, the
                       kernel's switch is turned on, and set back at the end
  --keep               keep what the suites printed, even if nothing failed
  --help               print this
USAGE
}

on_exit() {
    local status=$?
    trap '' INT TERM HUP
    stop_commits
    restore_uring
    if [[ -n ${tmp:-} ]]; then
        umount -- "$tmp/second" 2>/dev/null || true
        unbind_short || true
        end_mounts "$tmp" "$tmp/store" || true
        # What is still mounted must not be deleted through its mount.
        if ((!keep && (status == 0 || status == 130))) && [[ -z $(fuse_mounts "$tmp") ]]; then
            rm -rf --one-file-system -- "$tmp"
        else
            rm -rf --one-file-system -- "$tmp/store"
            printf '%s: kept: %s\n' "$program" "$tmp" >&2
        fi
    fi
    exit "$status"
}

passed=0
failures=()

pass() {
    passed=$((passed + 1))
    printf 'ok       %s\n' "$1"
}

# fail CASE LOG: counts a failure and shows the end of what it printed.
fail() {
    failures+=("$1")
    printf 'FAILED   %s\n' "$1"
    tail -n "$SHOWN_LINES" -- "$2" | sed 's/^/         | /'
}

skip() {
    printf 'skipped  %s: %s\n' "$1" "$2"
}

# check CASE SECONDS COMMAND...: one case, which passes if the command succeeds in that time.
check() {
    local name=$1 seconds=$2 log=$tmp/log/${1//\//_} status=0
    shift 2
    timeout -k 10 "$seconds" "$@" >"$log" 2>&1 </dev/null || status=$?
    if ((status == 124 || status == 137)); then
        echo "not done after $seconds s" >>"$log"
    fi
    if ((status == 0)); then
        pass "$name"
    else
        fail "$name" "$log"
    fi
}

committer=
start_commits() {
    while :; do
        touch "$mnt/.vst/commit" 2>>"$tmp/log/commits" || true
        sleep "$COMMIT_PAUSE_S"
    done &
    committer=$!
}

stop_commits() {
    [[ -n $committer ]] || return 0
    kill "$committer" 2>/dev/null || true
    wait "$committer" 2>/dev/null || true
    committer=
}

# install_crate NAME VERSION: builds the program of a crate, unless it is there.
install_crate() {
    local root=$cache/$1-$2
    [[ -x $root/bin/$1 ]] && return
    echo "builds $1 $2, which takes a minute or two"
    cargo install --quiet --locked --root "$root" "$1@$2"
}

# The path of a socket has room for 107 bytes, and pjdfstest makes some in directories with long names
# below the one that it is given: so this gets a second name, which is short wherever the store is.
short=
bind_short() {
    short=$(mktemp -d /tmp/vst-XXXXXX)
    mount --bind -- "$1" "$short"
}

unbind_short() {
    [[ -n $short ]] || return 0
    umount -- "$short" 2>/dev/null || umount -l -- "$short" 2>/dev/null || true
    rmdir -- "$short" && short=
}

# pjdfstest_run LABEL CONFIG DIRECTORY PATTERN...: runs those of its tests that match, and counts each.
pjdfstest_run() {
    local label=$1 config=$2 directory=$3 log=$tmp/log/pjdfstest-$1 status=0
    local name result reason
    shift 3
    # The helper of `mount` for FUSE, if there is one, knows no remount: -i leaves it out.
    (cd "$directory" && PATH=$tmp/bin:$PATH timeout -k 10 "$PJDFSTEST_TIMEOUT_S" \
        "$cache/pjdfstest-$PJDFSTEST_VERSION/bin/pjdfstest" -c "$config" -p "$directory" \
        -s "$tmp/second" -- "$@") >"$log.raw" 2>&1 </dev/null || status=$?
    sed 's/\x1b\[[0-9;]*m//g' "$log.raw" >"$log"
    while read -r name result; do
        case $result in
        ok) pass "pjdfstest/$name" ;;
        skipped)
            # Those that need a remount have a run of their own.
            [[ $label == rest && ${name##*::} == erofs* ]] && continue
            reason=$(grep -aA1 -- "^$name  *skipped" "$log" | tail -n 1)
            skip "pjdfstest/$name" "${reason#"${reason%%[![:space:]]*}"}"
            ;;
        *)
            grep -aA8 -- "^$name  *$result" "$log" >"$log.case" || true
            fail "pjdfstest/$name" "$log.case"
            ;;
        esac
    done < <(sed -nE 's/^([a-z_0-9:]+) +(ok|skipped|FAILED)$/\1 \2/p' "$log")
    grep -q '^Summary: ' "$log" || fail "pjdfstest/$label (status $status)" "$log"
}

part_pjdfstest() {
    local config=$PWD/tests/pjdfstest.toml
    mkdir -p "$tmp/bin" "$tmp/second"
    printf '#!/bin/sh\nexec %s -i "$@"\n' "$(command -v mount)" >"$tmp/bin/mount"
    chmod +x "$tmp/bin/mount"
    mount -t tmpfs second "$tmp/second"
    # The suite leaves files open, and what is open keeps a mount from becoming read-only. So does
    # a commit being made.
    mkdir -m 777 "$mnt/pjdfstest-erofs" "$mnt/pjdfstest-rest"
    pjdfstest_run erofs "$config" "$mnt/pjdfstest-erofs" erofs
    sed 's/^allow_remount = true/allow_remount = false/' "$config" >"$tmp/pjdfstest.toml"
    bind_short "$mnt/pjdfstest-rest"
    start_commits
    pjdfstest_run rest "$tmp/pjdfstest.toml" "$short"
    stop_commits
    unbind_short
    umount "$tmp/second"
}

# The sizes of each kind of run of fsx: length of the file, largest operation, what they are
# multiples of.
readonly FSX_SHAPES=("262144 65536 1" "2097152 131072 1" "20000 300 1" "1048576 65536 4096")

fsx_case() {
    local seed=$1 directory=$tmp/fsx-$1 length largest align room=2
    read -r length largest align <<<"${FSX_SHAPES[seed % ${#FSX_SHAPES[@]}]}"
    # Whole blocks up to the end of the file come to none there, and it asks for room for nothing.
    ((align == 1)) || room=0
    mkdir "$directory"
    cat >"$directory/fsx.toml" <<CONFIG
flen = $length
[opsize]
max = $largest
min = $align
align = $align
[weights]
close_open = 1
read = 10
write = 10
mapread = 10
mapwrite = 10
invalidate = 1
truncate = 5
fsync = 0.05
fdatasync = 0.05
posix_fallocate = $room
punch_hole = 4
sendfile = 2
posix_fadvise = 1
copy_file_range = 4
CONFIG
    check "fsx/seed $seed" "$FSX_TIMEOUT_S" "$cache/fsx-$FSX_VERSION/bin/fsx" \
        -N "$fsx_operations" -S "$seed" -f "$directory/fsx.toml" -P "$directory" "$mnt/fsx-$seed"
}

part_fsx() {
    local run
    start_commits
    for ((run = 0; run < fsx_runs; run++)); do
        fsx_case "$((seed + run))"
    done
    stop_commits
    touch "$mnt/.vst/commit"
    for ((run = 0; run < fsx_runs; run++)); do
        check "fsx/seed $((seed + run)), its commit" "$GRACE_S" \
            cmp "$mnt/fsx-$((seed + run))" "$mnt/.snapshots/latest/fsx-$((seed + run))"
    done
    rm -f "$mnt"/fsx-*
}

# Stressors whose default sizes are meant for a disk of their own.
stressor_options() {
    case $1 in
    copy-file) echo --copy-file-bytes 128m ;;
    dirdeep) echo --dirdeep-inodes 5000 ;;
    fallocate) echo --fallocate-bytes 64m ;;
    hdd) echo --hdd-bytes 64m ;;
    iomix) echo --iomix-bytes 64m ;;
    readahead) echo --readahead-bytes 64m ;;
    revio) echo --revio-bytes 64m ;;
    sync-file) echo --sync-file-bytes 32m ;;
    mmap) echo --mmap-file --mmap-bytes 32m ;;
    esac
}

stressor_case() {
    local name=$1 log=$tmp/log/stress-ng-$1 directory=$mnt/stress-$1 status=0 options
    read -ra options <<<"$(stressor_options "$name")"
    mkdir -m 777 "$directory"
    timeout -k 10 $((seconds + GRACE_S)) stress-ng "--$name" 2 -t "$seconds" --verify \
        "${options[@]}" --temp-path "$directory" >"$log" 2>&1 </dev/null || status=$?
    # 3 and 4: it needs something that this machine, not the mount, does not have. And some are
    # not run at all unless one insists, since they may take the machine down.
    if ((status == 3 || status == 4)) || grep -q "disabled '$name'" "$log" ||
        { ((status == 0)) && grep -qE 'skipped: [1-9]' "$log"; }; then
        skip "stress-ng/$name" "$(grep -iE 'skip|not |disabled' "$log" | head -n 1 | sed 's/.*\] //')"
    elif ((status == 0)); then
        pass "stress-ng/$name"
    else
        fail "stress-ng/$name" "$log"
    fi
    rm -rf -- "$directory"
}

part_stress_ng() {
    local stressors name
    read -ra stressors <<<"$(stress-ng --class 'filesystem?' | sed -n 's/.*stressors: //p')"
    ((${#stressors[@]} > 30)) || die "stress-ng does not tell which stressors its class has"
    start_commits
    # And those outside the class that map files or move many blocks.
    for name in "${stressors[@]}" aio aiol mmap msync readahead revio seek sendfile splice; do
        stressor_case "$name"
    done
    stop_commits
}

fio_case() {
    local name=$1
    shift
    mkdir "$mnt/fio"
    check "fio/$name" "$FIO_TIMEOUT_S" fio --name=job --directory="$mnt/fio" --size=64m \
        --verify=crc32c --verify_fatal=1 --do_verify=1 --verify_state_save=0 --fallocate=none "$@"
    rm -rf "$mnt/fio"
}

part_fio() {
    start_commits
    fio_case randwrite --rw=randwrite --bs=4k --ioengine=psync
    fio_case mmap --rw=randwrite --bs=4k --ioengine=mmap
    fio_case threads --rw=randwrite --bs=4k --ioengine=psync --thread --numjobs=4 --size=24m
    fio_case mixed --rw=randrw --bs=8k --ioengine=psync --numjobs=4 --size=24m
    fio_case unaligned --rw=randwrite --bsrange=512-70000 --bs_unaligned=1 --ioengine=psync
    fio_case fsync --rw=write --bs=128k --fsync=16 --ioengine=psync
    fio_case libaio --rw=randwrite --bs=16k --ioengine=libaio --iodepth=16
    fio_case direct --rw=randwrite --bs=4k --ioengine=libaio --iodepth=16 --direct=1 --size=16m
    stop_commits
}

part_dbench() {
    start_commits
    mkdir "$mnt/dbench"
    check dbench $((4 * seconds + GRACE_S)) dbench -D "$mnt/dbench" \
        -c /usr/share/dbench/client.txt -t $((4 * seconds)) 4
    # It goes on after what it did not expect.
    if grep -qE 'failed|ERROR' "$tmp/log/dbench"; then
        fail "dbench/expectations" "$tmp/log/dbench"
    fi
    rm -rf "$mnt/dbench"
    stop_commits
}

part_million() {
    check million "$MILLION_TIMEOUT_S" \
        env VST_TEST_TRANSPORT="$transport" cargo test --locked --test mount -- \
        --ignored --exact limits::a_directory_holds_a_million_files
}

# listing DIRECTORY: kinds, modes, owners, sizes and names of all that is in it.
listing() {
    (cd "$1" && find . -printf '%y %m %U:%G %s %p %l\n' | LC_ALL=C sort)
}

# What the suites have left behind is a tree like any other.
part_afterwards() {
    mkdir "$mnt/left"
    cp -a /usr/share/dbench "$mnt/left/"
    touch "$mnt/.vst/commit"
    listing "$mnt" >"$tmp/before"
    check "afterwards/every commit can be read" "$GRACE_S" \
        find "$mnt/.snapshots" -mindepth 1 -maxdepth 1 -type d -execdir test -d '{}/.' ';'
    "$vst" umount "$mnt"
    "$vst" mount "$tmp/store" "$mnt" "${MOUNT_OPTIONS[@]}"
    listing "$mnt" >"$tmp/after"
    check "afterwards/the tree is the same after a remount" "$GRACE_S" \
        diff "$tmp/before" "$tmp/after"
    listing "$mnt/.snapshots/latest" >"$tmp/commit"
    check "afterwards/the tree is that of its commit" "$GRACE_S" diff "$tmp/after" "$tmp/commit"
    check "afterwards/its content is that of its commit" "$GRACE_S" \
        diff -r "$mnt/left" "$mnt/.snapshots/latest/left"
    if [[ -s $tmp/log/commits ]]; then
        fail "afterwards/a commit failed" "$tmp/log/commits"
    fi
}

# shellcheck source=scripts/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
seed=1 fsx_runs=10 fsx_operations=100000 seconds=5 dir=${TMPDIR:-/tmp} transport=fuser
keep=0 operands=()
read_options "seed fsx-runs fsx-operations seconds dir transport keep! ..." "$@"
readonly MOUNT_OPTIONS=(--allow-other --dev --transport "$transport")
for number in "$seed" "$fsx_runs" "$fsx_operations" "$seconds"; do
    [[ $number =~ ^(0|[1-9][0-9]{0,8})$ ]] || misused
done
for part in "${operands[@]}"; do
    [[ " ${PARTS[*]} " == *" $part "* ]] || misused
done
((${#operands[@]})) || operands=("${PARTS[@]}")
dir=$(realpath -- "$dir")

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
((EUID == 0)) || die "must be run as root: the suites become other users and make device nodes"
check_cargo
check_fuse ""
install_packages stress-ng:stress-ng fio:fio dbench:dbench setfacl:acl setfattr:attr \
    /usr/include/sys/acl.h:libacl1-dev pkg-config:pkg-config
cache=$(target_dir)/conformance
install_crate pjdfstest "$PJDFSTEST_VERSION"
install_crate fsx "$FSX_VERSION"
cargo build --release --locked
vst=$(target_dir)/release/vst
trap on_exit EXIT
trap 'exit 130' INT TERM HUP
tmp=$(mktemp -d -- "$dir/vst-conformance.XXXXXX")
chmod 755 "$tmp"
mnt=$tmp/mnt
mkdir "$mnt" "$tmp/log"
if [[ $transport == ring ]]; then
    switch_uring >&2 || die "no rings, for the reason above"
fi
"$vst" mount "$tmp/store" "$mnt" "${MOUNT_OPTIONS[@]}"
chmod 777 "$mnt"
for part in "${operands[@]}"; do
    printf '\n== %s\n' "$part"
    "part_${part//-/_}"
done
printf '\n== afterwards\n'
part_afterwards
printf '\n'
for failure in "${failures[@]}"; do
    printf 'FAILED %s\n' "$failure"
done
printf 'passed %d failed %d\n' "$passed" "${#failures[@]}"
((${#failures[@]} == 0))
