#!/usr/bin/env bash
# What a mount costs beside ext4, tmpfs and an empty filesystem. See --help.
set -euo pipefail

readonly program=scripts/bench-fs.sh
readonly MOUNT_TIMEOUT_S=10
readonly NATIVE_IMAGE_GIB=16

usage() {
    cat <<'USAGE'
Usage: scripts/bench-fs.sh [--quick] [--dir DIR] [--json FILE] [--rounds N] [--sets "SET..."]
                           [--only TEXT] [--placements "PLACEMENT..."] [--clients "N..."]
                           [--transport HOW] [--help]

Measures the same operations and workloads on a mount of vst, on an empty filesystem in memory
with the same settings (benches/empty_fs), on ext4, and on tmpfs. They take turns, several rounds;
the medians are printed as tables, with ratios and with what they should be. What is measured is
in benches/operations: single operations (floor), untar, find, grep, git, cargo, rm (work), large
files (bulk), writers while commits are made (commits), and 10 000 snapshots (snapshots).

Client and daemons run on one CPU (one), since placement decides more than all else, and then
where the kernel puts them (free). Removes all that it made but the JSON. Root is needed for tmpfs,
for ext4 where --dir is on something else, and for cold caches.

  --quick               smaller trees and files, and fewer rounds
  --dir DIR             where to make stores and files; /var/tmp unless told
  --json FILE           where to write the figures; target/bench-fs.json unless told
  --rounds N            rounds; 5 unless told
  --sets "SET..."       some of floor, work, bulk, commits, snapshots; all unless told
  --only TEXT           of floor and bulk only the cases with this in their names
  --placements "P..."   some of one, free; both unless told
  --clients "N..."      how many at a time; 1 and 2 unless told
  --transport HOW       how requests come to vst: auto, fuser or ring; fuser unless told. For ring, the
                        kernel's switch is turned on, and set back at the end
  --help                print this
USAGE
}

on_exit() {
    restore_uring
    [[ -n ${tmp:-} ]] || return 0
    end_mounts "$tmp" "$store" || true
    [[ -z ${empty_pid:-} ]] || wait "$empty_pid" 2>/dev/null || true
    mountpoint -q -- "$tmp/tmpfs" && as_root umount -- "$tmp/tmpfs"
    mountpoint -q -- "$tmp/ext4" && as_root umount -- "$tmp/ext4"
    remove_work "$tmp"
}

mount_vst() {
    mkdir -- "$tmp/vst"
    if [[ $transport == ring ]]; then
        switch_uring >&2 || die "no rings, for the reason above"
    fi
    "$vst" mount --transport "$transport" "$store" "$tmp/vst"
    restore_uring
    places+=("vst=$tmp/vst")
    daemons+=("$(daemon_of "$store")")
}

mount_empty() {
    local tries
    mkdir -- "$tmp/empty"
    "$empty_fs" "$tmp/empty" &
    empty_pid=$!
    for ((tries = MOUNT_TIMEOUT_S * 10; tries > 0; tries--)); do
        mountpoint -q -- "$tmp/empty" && break
        sleep 0.1
    done
    ((tries > 0)) || die "the empty filesystem does not come"
    places+=("empty=$tmp/empty")
    daemons+=("$empty_pid")
}

# The directory itself where it is on ext4, and an image of ext4 in it elsewhere.
mount_native() {
    mkdir -- "$tmp/ext4"
    if [[ $(stat -f -c %T -- "$tmp") != ext2/ext3 ]]; then
        truncate -s "${NATIVE_IMAGE_GIB}G" "$tmp/ext4.image"
        mkfs.ext4 -q -- "$tmp/ext4.image"
        as_root mount -o loop -- "$tmp/ext4.image" "$tmp/ext4"
        as_root chown "$(id -u):$(id -g)" "$tmp/ext4"
    fi
    places+=("ext4=$tmp/ext4")
}

mount_tmpfs() {
    mkdir -- "$tmp/tmpfs"
    as_root mount -t tmpfs -o "uid=$(id -u),gid=$(id -g)" tmpfs "$tmp/tmpfs"
    places+=("tmpfs=$tmp/tmpfs")
}

# place_daemons CPUS: puts the daemons on these CPUs. Where there is a choice, threads that have a CPU
# of their own get it back.
place_daemons() {
    local pid task name
    for pid in "${daemons[@]}"; do
        taskset -acp "$1" "$pid" >/dev/null
        [[ $1 == *[-,]* ]] || continue
        for task in "/proc/$pid/task"/*; do
            name=$(<"$task/comm")
            [[ $name != ring-[0-9]* ]] || taskset -cp "${name#ring-}" "${task##*/}" >/dev/null
        done
    done
}

# measure CPUS NAME CLIENTS SET ARG...: measures a set with the client on these CPUs.
measure() {
    local on=$1 name=$2 clients=$3 set=$4
    shift 4
    say "$set, $name, $clients at a time"
    taskset -c "$on" "$client" "$set" --placement "$name" --clients "$clients" \
        --rounds "$rounds" --scratch "$tmp/scratch" "${sizes[@]}" "$@" >>"$tmp/rows"
}

# measure_set SET CPUS NAME CLIENTS: what a set needs.
measure_set() {
    local set=$1
    case $set in
    floor) measure "$2" "$3" "$4" "$set" --only "$only" "${places[@]}" ;;
    bulk) measure "$2" "$3" "$4" "$set" --only "$only" "${places[@]}" ;;
    work) measure "$2" "$3" "$4" "$set" "${places[@]}" ;;
    commits) measure "$2" "$3" "$4" "$set" "${places[0]}" ;;
    *) die "there is no set $set" ;;
    esac
}

# Reading live and under .snapshots, and 10 000 snapshots: last, since they stay.
measure_snapshots() {
    local top=$tmp/vst id
    "$client" tree --files 2000 "x=$top/read"
    "$vst" -C "$top" commit -m "to be read" >/dev/null
    id=$(<"$top/.vst/head")
    measure "$cpu" "one CPU, snapshot as vst" 1 read \
        "ext4=$top/read" "vst=$top/.snapshots/$id/read"
    measure "$cpu" "one CPU" 1 snapshots --files "$commits" "vst=$top"
}

# shellcheck source=scripts/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
dir=/var/tmp json='' rounds='' sets='floor work bulk commits snapshots' only=''
placements='one free' clients='1 2' transport=fuser quick=0
read_options "dir json rounds sets only placements clients transport quick!" "$@"
commits=10000 sizes=()
if ((quick)); then
    commits=1000 sizes=(--files 2000 --mib 128)
fi
[[ -n $rounds ]] || rounds=$((quick ? 3 : 5))
dir=$(realpath -- "$dir")
[[ -z $json ]] || json=$(realpath -m -- "$json")

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
check_cargo
install_packages fusermount3:fuse3 taskset:util-linux mkfs.ext4:e2fsprogs git:git tar:tar \
    find:findutils >&2
check_fuse ''
[[ -n $json ]] || json=$(target_dir)/bench-fs.json

say "builds"
cargo build --release --locked --quiet
client=$(bench_path operations)
empty_fs=$(bench_path empty_fs)
vst=$(target_dir)/release/vst

at_exit on_exit
tmp='' store='' empty_pid='' places=() daemons=()
tmp=$(mktemp -d -- "$dir/vst-bench-fs.XXXXXX")
store=$tmp/store
mkdir -- "$tmp/scratch"
: >"$tmp/rows"
mount_vst
mount_empty
mount_native
mount_tmpfs

cpus=$(taskset -pc $$ | sed 's/.*: //')
# Any CPU that this shell may use.
cpu=${cpus##*[,-]}
for placement in $placements; do
    case $placement in
    one) on=$cpu name='one CPU' ;;
    free) on=$cpus name=free ;;
    *) die "there is no placement $placement" ;;
    esac
    place_daemons "$on"
    for count in $clients; do
        for set in $sets; do
            [[ $set == snapshots ]] || measure_set "$set" "$on" "$name" "$count"
        done
    done
done
place_daemons "$cpu"
[[ " $sets " != *' snapshots '* ]] || measure_snapshots

mkdir -p -- "$(dirname -- "$json")"
"$client" report "ext4=$json" <"$tmp/rows"
say "the figures are in $json"
