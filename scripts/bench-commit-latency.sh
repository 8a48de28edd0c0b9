#!/usr/bin/env bash
# What a commit costs in a large tree, and how much memory the daemon takes. See --help.
set -euo pipefail

readonly program=scripts/bench-commit-latency.sh
readonly RSS_UNPACKED_MB_MAX=500
readonly RSS_REMOUNTED_MB_MAX=50

usage() {
    cat <<'USAGE'
Usage: scripts/bench-commit-latency.sh [--dir DIR] [--files N] [--commits N] [--help]

Makes a tree of files of 1 KiB, 100 to a directory, in a new store, commits it, and then many
times rewrites one file and commits through setxattr. It does so twice: with client and daemon
where the kernel puts them, and with both on one CPU. Then it unmounts, mounts again and lists
the root. Prints the latencies that the client sees, the daemon's own mean, and the daemon's
memory, as a table. Removes all that it made.

  --dir DIR    where to make the store; /var/tmp unless told
  --files N    files in the tree, a multiple of 100; 100000 unless told
  --commits N  commits to time; 2000 unless told
  --help       print this
USAGE
}

on_exit() {
    local status=$?
    trap '' INT TERM HUP
    if [[ -n ${tmp:-} ]]; then
        end_mounts "$tmp" "$store" || true
        # What is still mounted must not be deleted through its mount.
        if [[ -z $(fuse_mounts "$tmp") ]]; then
            rm -rf --one-file-system -- "$tmp"
        else
            printf '%s: left behind: %s\n' "$program" "$tmp" >&2
        fi
    fi
    exit "$status"
}

say() {
    printf '%s\n' "$*" >&2
}

# Prints the path of the client, after building it.
client_path() {
    local path
    path=$(cargo bench --locked --quiet --no-run --bench commit_latency --message-format=json |
        sed -n 's/.*"executable":"\([^"]*\/commit_latency-[^"]*\)".*/\1/p')
    [[ -x $path ]] || die "cargo does not tell where it put the client"
    printf '%s\n' "$path"
}

# stat_of NAME: prints a number of the mount's statistics of commits.
stat_of() {
    local value
    value=$(sed -n '/^  "commits": {/,/^  }/ s/^ *"'"$1"'": \([0-9]*\),\{0,1\}$/\1/p' "$mnt/.vst/stats")
    [[ -n $value ]] || die "the statistics of the mount do not tell $1"
    printf '%s\n' "$value"
}

# Prints the resident memory of the daemon, in MB.
rss_mb() {
    awk '/^VmRSS:/ { printf "%.0f\n", $2 * 1024 / 1e6 }' "/proc/$(daemon_of "$store")/status"
}

# Prints the peak of it.
rss_peak_mb() {
    awk '/^VmHWM:/ { printf "%.0f\n", $2 * 1024 / 1e6 }' "/proc/$(daemon_of "$store")/status"
}

# measure COMMAND...: runs the commits under a command, and puts p50, p95, p99, the p50 of
# rewriting and the daemon's mean, in nanoseconds, into `measured`.
measure() {
    local made nanoseconds line
    made=$(stat_of made) nanoseconds=$(stat_of nanoseconds)
    line=$("$@" "$client" commits "$mnt" "$files" "$commits")
    made=$(($(stat_of made) - made)) nanoseconds=$(($(stat_of nanoseconds) - nanoseconds))
    ((made == commits)) || die "$commits commits were asked for, and $made made"
    read -ra measured <<<"$line $((nanoseconds / made))"
}

# Prints the time now, in milliseconds.
now_ms() {
    printf '%s\n' $((${EPOCHREALTIME/[.,]/} / 1000))
}

# us NANOSECONDS: prints them as microseconds.
us() {
    awk -v ns="$1" 'BEGIN { printf "%.1f µs", ns / 1000 }'
}

row() {
    local IFS='|'
    printf '|%s|\n' "$*"
}

# verdict VALUE MAX: prints whether the value, in MB, is under the target.
verdict() {
    if (($1 < $2)); then
        printf 'under %s MB: met' "$2"
    else
        printf 'under %s MB: MISSED' "$2"
    fi
}

dir=/var/tmp files=100000 commits=2000
while (($# > 0)); do
    case $1 in
    --dir | --files | --commits)
        if (($# < 2)); then
            usage >&2
            exit 2
        fi
        printf -v "${1#--}" %s "$2"
        shift 2
        ;;
    --help | -h)
        usage
        exit
        ;;
    *)
        usage >&2
        exit 2
        ;;
    esac
done
if [[ ! $files =~ ^[1-9][0-9]*00$ || ! $commits =~ ^[1-9][0-9]*$ ]]; then
    usage >&2
    exit 2
fi
dir=$(realpath -- "$dir")

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh

check_cargo
install_packages fusermount3:fuse3 taskset:util-linux >&2
check_fuse ""

say "builds"
cargo build --release --locked --quiet
client=$(client_path)
vst=$(target_dir)/release/vst

trap on_exit EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
store='' tmp=''
tmp=$(mktemp -d -- "$dir/vst-bench.XXXXXX")
store=$tmp/store mnt=$tmp/mnt
mkdir -- "$mnt"

say "makes $files files"
"$vst" mount "$store" "$mnt"
begin=$(now_ms)
"$client" tree "$mnt" "$files"
unpack_ms=$(($(now_ms) - begin))
begin=$(now_ms)
"$vst" -C "$mnt" commit -m "all files" >/dev/null
first_ms=$(($(now_ms) - begin))
rss_unpacked=$(rss_mb) rss_peak=$(rss_peak_mb)

say "commits $commits times, placed freely"
measure env
free=("${measured[@]}")

# Any CPU that this shell may use.
cpu=$(taskset -pc $$ | sed 's/.*[ ,-]//')
say "commits $commits times, client and daemon on CPU $cpu"
taskset -acp "$cpu" "$(daemon_of "$store")" >/dev/null
measure taskset -c "$cpu"
pinned=("${measured[@]}")

say "mounts again"
"$vst" umount "$mnt"
begin=$(now_ms)
"$vst" mount "$store" "$mnt"
mount_ms=$(($(now_ms) - begin))
# shellcheck disable=SC2012 # The names are known, and it is about ls.
listed=$(ls -l -- "$mnt" | tail -n +2 | wc -l)
((listed == files / 100)) || die "after mounting again the root has $listed entries"
rss_remounted=$(rss_mb)

printf '%s, %s CPUs, kernel %s, store on %s\n' \
    "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1 | grep . || uname -m)" \
    "$(nproc)" "$(uname -r)" "$(stat -f -c %T -- "$store")"
printf '%s files of 1 KiB made in %s ms and committed in %s ms; then %s times: 1 file, 1 commit\n\n' \
    "$files" "$unpack_ms" "$first_ms" "$commits"
row what "placed freely" "on one CPU" target
row --- ---: ---: ---
for at in 0 1 2 3 4; do
    names=("commit, median" "commit, p95" "commit, p99" "rewriting the file, median"
        "commit inside the daemon, mean")
    row "${names[at]}" "$(us "${free[at]}")" "$(us "${pinned[at]}")" ""
done
row "resident memory after unpacking" "$rss_unpacked MB" "" \
    "$(verdict "$rss_unpacked" "$RSS_UNPACKED_MB_MAX")"
row "its peak until then" "$rss_peak MB" "" ""
row "resident memory after mounting again and ls" "$rss_remounted MB" "" \
    "$(verdict "$rss_remounted" "$RSS_REMOUNTED_MB_MAX")"
row "mounting again" "$mount_ms ms" "" ""
