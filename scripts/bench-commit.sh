#!/usr/bin/env bash
# What a commit costs: in memory, with the store, and through the mount. See --help.
set -euo pipefail

readonly program=scripts/bench-commit.sh
readonly RSS_UNPACKED_MB_MAX=500
readonly RSS_REMOUNTED_MB_MAX=50

usage() {
    cat <<'USAGE'
Usage: scripts/bench-commit.sh [--quick] [--no-mount] [--dir DIR] [--json FILE] [--help]

Measures commits and prints one table. In memory and with the store it runs benches/commit; then
it mounts trees of 1 000 and 100 000 files of 1 KiB, 100 to a directory, and many times rewrites
some files and commits, through setxattr and by touching .vst/commit: with client and daemon
where the kernel puts them, and with both on one CPU. Of these the table tells what the client
sees and what the daemon counts. It also tells how much memory the daemon takes with the larger
tree, and after mounting it again. Removes all that it made but the JSON.

  --quick      only trees of 1 000 files, and fewer commits
  --no-mount   leave out what needs /dev/fuse
  --dir DIR    where to make stores; /var/tmp unless told
  --json FILE  where to write the figures; target/bench-commit.json unless told
  --help       print this
USAGE
}

on_exit() {
    [[ -z ${tmp:-} ]] || remove_work "$tmp" "${store:-}"
}

# memory_mb NAME: prints a figure of the daemon's memory, in MB.
memory_mb() {
    awk -v name="$1:" '$1 == name { printf "%.0f\n", $2 * 1024 / 1e6 }' \
        "/proc/$(daemon_of "$store")/status"
}

# Prints the time now, in milliseconds.
now_ms() {
    printf '%s\n' $((${EPOCHREALTIME/[.,]/} / 1000))
}

# row CASE VALUE [TARGET]: adds a figure that is no latency.
row() {
    printf '{"group":"mount","case":"%s","value":"%s","value_target":"%s"}\n' \
        "$1" "$2" "${3:-}" >>"$rows"
}

# verdict VALUE MAX: prints whether the value, in MB, is under the target.
verdict() {
    if (($1 < $2)); then
        printf 'under %s MB: met' "$2"
    else
        printf 'under %s MB: MISSED' "$2"
    fi
}

# measure PLACE FILES DIRTY SPREAD MEANS COMMAND...: times commits under a command, and adds a
# row of them.
measure() {
    local place=$1 files=$2 dirty=$3 spread=$4 means=$5 commits line
    shift 5
    commits=$((commits_max / dirty < commits_min ? commits_min : commits_max / dirty))
    say "$dirty of $files, $spread, $means, $place: $commits times"
    line=$("$@" "$client" commits "$mnt" "$files" "$commits" "$dirty" "$spread" "$means")
    [[ $line == \{*\} ]] || die "the client tells no figures"
    printf '{"group":"mount","case":"%s of %s %s, %s, %s",%s\n' \
        "$dirty" "$files" "$spread" "$means" "$place" "${line#\{}" >>"$rows"
}

# measure_all PLACE FILES COMMAND...: all that is measured of a tree in one placement.
measure_all() {
    local place=$1 files=$2 dirty means
    shift 2
    for means in setxattr touch; do
        for dirty in 1 10 100 1000; do
            measure "$place" "$files" "$dirty" spread "$means" "$@"
        done
    done
    # In the smaller tree a thousand files are all there are.
    if ((files > 1000)); then
        for dirty in 100 1000; do
            measure "$place" "$files" "$dirty" gathered setxattr "$@"
        done
    fi
}

# make_tree FILES: mounts a new store, and makes and commits a tree in it.
make_tree() {
    local files=$1
    store=$tmp/store-$files mnt=$tmp/mnt-$files
    mkdir -- "$mnt"
    say "makes $files files"
    "$vst" mount "$store" "$mnt"
    "$client" tree "$mnt" "$files"
    "$vst" -C "$mnt" commit -m "all files" >/dev/null
}

# measure_tree FILES: measures commits of a tree that was made and is mounted.
measure_tree() {
    local files=$1 cpu
    measure_all "placed freely" "$files" env
    # Any CPU that this shell may use.
    cpu=$(taskset -pc $$ | sed 's/.*[ ,-]//')
    taskset -acp "$cpu" "$(daemon_of "$store")" >/dev/null
    measure_all "on one CPU" "$files" taskset -c "$cpu"
}

# measure_memory FILES: makes a tree, mounts it anew, and tells of the daemon's memory.
measure_memory() {
    local files=$1 begin listed
    begin=$(now_ms)
    make_tree "$files"
    row "making and committing $files files" "$(($(now_ms) - begin)) ms"
    row "resident memory after that" "$(memory_mb VmRSS) MB" \
        "$(verdict "$(memory_mb VmRSS)" "$RSS_UNPACKED_MB_MAX")"
    row "its peak until then" "$(memory_mb VmHWM) MB"
    "$vst" umount "$mnt"
    begin=$(now_ms)
    "$vst" mount "$store" "$mnt"
    row "mounting $files files again" "$(($(now_ms) - begin)) ms"
    # shellcheck disable=SC2012 # The names are known, and it is about ls.
    listed=$(ls -l -- "$mnt" | tail -n +2 | wc -l)
    ((listed == files / 100)) || die "after mounting again the root has $listed entries"
    row "resident memory after mounting again and ls" "$(memory_mb VmRSS) MB" \
        "$(verdict "$(memory_mb VmRSS)" "$RSS_REMOUNTED_MB_MAX")"
    forget_tree
}

# Unmounts and removes the tree that was made last.
forget_tree() {
    "$vst" umount "$mnt"
    rm -r -- "$store" "$mnt"
}

measure_mounts() {
    local files
    measure_memory "${trees[-1]}"
    for files in "${trees[@]}"; do
        make_tree "$files"
        measure_tree "$files"
        forget_tree
    done
}

# shellcheck source=scripts/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
dir=/var/tmp json='' quick=0 no_mount=0
read_options "dir json quick! no-mount!" "$@"
trees=(1000 100000) commits_max=2000 commits_min=50 options=()
if ((quick)); then
    trees=(1000) commits_max=100 commits_min=5 options=(--files-max 1000 --rounds 200)
fi
dir=$(realpath -- "$dir")
[[ -z $json ]] || json=$(realpath -m -- "$json")

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
check_cargo
if ((!no_mount)); then
    install_packages fusermount3:fuse3 taskset:util-linux >&2
    check_fuse "--no-mount leaves out what needs it"
else
    install_packages >&2
fi
[[ -n $json ]] || json=$(target_dir)/bench-commit.json

say "builds"
bench=$(bench_path commit)
if ((!no_mount)); then
    cargo build --release --locked --quiet
    client=$(bench_path commit_latency)
    vst=$(target_dir)/release/vst
fi

at_exit on_exit
store='' tmp=''
tmp=$(mktemp -d -- "$dir/vst-bench.XXXXXX")
rows=$tmp/rows
: >"$rows"

((no_mount)) || measure_mounts
say "measures without a mount"
TMPDIR=$tmp "$bench" --report "$json" --also "$rows" "${options[@]}"
say "the figures are in $json"
