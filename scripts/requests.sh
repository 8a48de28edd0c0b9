#!/usr/bin/env bash
# Counts the requests that workloads send to a mount of vst. See --help.
set -euo pipefail

readonly program=scripts/requests.sh

usage() {
    cat <<'EOT'
Usage: scripts/requests.sh [--files N] [--dir DIR] [--transport HOW] [--help]

Counts, by kind, what the kernel asks of a mount of vst while people's work is done on it: an archive
is unpacked, git adds and commits, all is listed and read, a crate is built, all is removed. Prints
how many requests of each kind come to a file. The kernel counts (its tracepoint fuse_request_send),
so nothing of vst is measured with it; what is asked does not depend on the machine.

  --files N        files of the archive; 2000 unless told
  --dir DIR        where to make the store; TMPDIR or /tmp unless told
  --transport HOW  how requests come: auto, fuser or ring; fuser unless told. For ring, the kernel's
                   switch is turned on, and set back at the end
  --help           print this

Installs what is missing. Needs root and a kernel with tracefs.
EOT
}

# shellcheck source=scripts/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
files=2000 dir=${TMPDIR:-/tmp} transport=fuser
read_options "files dir transport" "$@"
dir=$(realpath -- "$dir")

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

readonly TRACING=/sys/kernel/tracing
# For each CPU; a request takes some 50 bytes.
readonly TRACE_KIB=65536

on_exit() {
    restore_uring
    [[ -z ${trace:-} ]] || rmdir -- "$trace" || true
    remove_work "$tmp" "$tmp/store"
}

# count NAME FILES COMMAND...: what the command asks for, as rows: workload, kind, requests a file.
count() {
    local name=$1 per=$2
    shift 2
    echo >"$trace/trace"
    "$@" >"$tmp/said" 2>&1 || die "$name failed: $(tail -n 3 "$tmp/said")"
    awk -v name="$name" -v per="$per" -v connection="connection $connection " '
        index($0, connection) && match($0, /\(FUSE_[A-Z_0-9]+\)/) {
            count[tolower(substr($0, RSTART + 6, RLENGTH - 7))]++
        }
        END { for (kind in count) printf "%s\t%s\t%.3f\n", name, kind, count[kind] / per }
    ' "$trace/trace" >>"$tmp/rows"
    ! grep -q 'LOST' "$trace/trace" || die "$name: more requests than could be counted"
}

make_archive() {
    python3 - "$files" "$tmp/archive.tar" <<'END'
import io, sys, tarfile
files, path = int(sys.argv[1]), sys.argv[2]
with tarfile.open(path, "w") as tar:
    for number in range(files):
        content = (f"{number} " * 200)[: 300 + number % 700].encode()
        info = tarfile.TarInfo(f"tree/{number // 100:03}/{number:05}.txt")
        info.size, info.mtime, info.mode = len(content), 1700000000, 0o644
        tar.addfile(info, io.BytesIO(content))
END
}

git_in() {
    git -C "$mnt/tree" -c user.name=root -c user.email=root@example.com -c gc.auto=0 "$@"
}

add_and_commit() {
    git_in init --quiet && git_in add . && git_in commit --quiet -m all
}

make_crate() {
    mkdir -p -- "$mnt/crate/src"
    printf '[package]\nname = "sample"\nversion = "0.1.0"\nedition = "2021"\n' >"$mnt/crate/Cargo.toml"
    for ((number = 0; number < 50; number++)); do
        echo "pub fn f$number() -> u32 { $number }" >"$mnt/crate/src/m$number.rs"
        echo "mod m$number;"
    done >"$mnt/crate/src/main.rs"
    echo 'fn main() { println!("{}", m1::f1()); }' >>"$mnt/crate/src/main.rs"
}

print_table() {
    awk -F'\t' '
        !($1 in seen) { seen[$1] = ++columns; names[columns] = $1 }
        { value[$2, $1] = $3; total[$1] += $3; sum[$2] += $3 }
        END {
            printf "| |"; for (c = 1; c <= columns; c++) printf " %s |", names[c]; printf "\n|---|"
            for (c = 1; c <= columns; c++) printf "--:|"
            printf "\n"
            # The most frequent first.
            while (1) {
                best = ""
                for (kind in sum) if (best == "" || sum[kind] > sum[best]) best = kind
                if (best == "") break
                printf "| %s |", best
                for (c = 1; c <= columns; c++) {
                    v = value[best, names[c]]
                    if (v == "") printf " |"; else printf " %.2f |", v
                }
                printf "\n"
                delete sum[best]
            }
            printf "| all |"; for (c = 1; c <= columns; c++) printf " %.2f |", total[names[c]]
            printf "\n"
        }
    ' "$tmp/rows"
}

((EUID == 0)) || die "needs root: the kernel lets nobody else look at requests"
[[ -e $TRACING/events/fuse/fuse_request_send ]] || die "this kernel has no tracepoint of that name"
check_cargo
install_packages fusermount3:fuse3 python3:python3 git:git tar:tar find:findutils >&2
check_fuse ''
cargo build --locked --release --quiet
vst=$(target_dir)/release/vst

at_exit on_exit
tmp='' trace=''
tmp=$(mktemp -d -- "$dir/vst-requests.XXXXXX")
mnt=$tmp/mnt
mkdir -- "$mnt"
make_archive
if [[ $transport == ring ]]; then
    switch_uring >&2 || die "no rings, for the reason above"
fi
"$vst" mount --transport "$transport" "$tmp/store" "$mnt" >/dev/null
connection=$(python3 -c 'import os, sys; print(os.stat(sys.argv[1]).st_dev)' "$mnt")
trace=$TRACING/instances/vst-requests.$$
mkdir -- "$trace"
echo "$TRACE_KIB" >"$trace/buffer_size_kb"
echo 1 >"$trace/events/fuse/fuse_request_send/enable"

count untar "$files" tar -C "$mnt" -xf "$tmp/archive.tar"
count 'git add, commit' "$files" add_and_commit
count 'git status' "$files" git_in status
count 'find -ls' "$files" find "$mnt/tree" -ls
count 'grep -r' "$files" grep -rc 7 "$mnt/tree" --exclude-dir=.git
make_crate
count 'cargo build' 50 cargo build --offline --quiet --manifest-path "$mnt/crate/Cargo.toml" \
    --target-dir "$mnt/crate/target"
count 'rm -rf' "$files" rm -rf -- "$mnt/tree"
print_table
