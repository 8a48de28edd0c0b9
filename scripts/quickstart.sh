#!/usr/bin/env bash
# Builds vst and shows what it does, on a mount that stays to play with. See --help.
set -euo pipefail

readonly program=scripts/quickstart.sh
# Tells a directory that this script made from one that it must not touch.
readonly MARK=.made-by-vst-quickstart
readonly COMMITS=200

usage() {
    cat <<'USAGE'
Usage: scripts/quickstart.sh [--help] [DIR]

Builds vst, mounts a new store, and shows with ordinary tools what it does: commits, history,
bringing files back. The mount stays, to play with. On Debian and its relatives the script first
installs what is missing, as root or through sudo; a Rust toolchain must be there.

DIR is ${TMPDIR:-/tmp}/vst-demo unless told; it gets the store and the directory it is mounted
on. What an earlier run left there is unmounted and removed first, and nothing else ever is.
USAGE
}

on_exit() {
    local status=$?
    if ((status != 0 && made)); then
        cd /
        end_mounts "$work" "$store" || true
        printf '\n%s: stopped; the store is left in %s\n' "$program" "$dir" >&2
    fi
    exit "$status"
}

begin() {
    printf '\n%s== %s%s\n' "$bold" "$1" "$plain"
}

# run COMMAND: shows a command as one would type it, and runs it.
run() {
    printf '%s$ %s%s\n' "$bold" "$1" "$plain"
    eval "$1"
}

say() {
    printf '%s\n' "$@"
}

# Removes what an earlier run made in `dir`.
clear_dir() {
    if [[ -L $dir || (-e $dir && ! -d $dir) ]]; then
        die "$dir is no directory: name another one"
    fi
    [[ -d $dir ]] || return 0
    [[ -O $dir ]] || die "$dir belongs to somebody else: name another one"
    if [[ ! -e $dir/$MARK ]]; then
        [[ -z $(ls -A -- "$dir") ]] || die "$dir is in use, and not by this script: name another one"
        return 0
    fi
    if [[ -n $(fuse_mounts "$work") ]]; then
        echo "ends the mount of an earlier run"
        end_mounts "$work" "$store"
        [[ -z $(fuse_mounts "$work") ]] || die "$work cannot be unmounted: end what uses it"
    fi
    if [[ -d $work ]]; then
        rmdir -- "$work" || die "$work holds files that are in no store: move them away"
    fi
    rm -rf --one-file-system -- "$store"
}

# Commits many times, each after one small change, and prints how long the median one took. The
# shell does it without starting a program, so that the time is that of the commits.
time_commits() {
    local number begin end times=()
    for ((number = 1; number <= COMMITS; number++)); do
        echo "change $number" >counter
        begin=${EPOCHREALTIME/[.,]/}
        echo "change $number" >.vst/commit
        end=${EPOCHREALTIME/[.,]/}
        times+=($((end - begin)))
    done
    mapfile -t times < <(printf '%s\n' "${times[@]}" | sort -n)
    printf '%s commits; half of them took less than %s µs, as the shell sees it\n' \
        "$COMMITS" "${times[COMMITS / 2]}"
}

# shellcheck source=scripts/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
operands=()
read_options "..." "$@"
((${#operands[@]} < 2)) && [[ -n ${operands[0]-unset} ]] || misused
dir=${operands[0]:-${TMPDIR:-/tmp}/vst-demo}
# The last part is not resolved: a link there is nobody's demonstration.
dir=$(realpath -m -- "$(dirname -- "$dir")")/$(basename -- "$dir")
dir=${dir/#\/\//\/}
store=$dir/store work=$dir/work

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
bold='' plain=''
if [[ -t 1 && -z ${NO_COLOR:-} && ${TERM:-dumb} != dumb ]]; then
    bold=$'\e[1m' plain=$'\e[0m'
fi
made=0
trap on_exit EXIT

begin "What is needed"
check_cargo
install_packages fusermount3:fuse3
check_fuse ""
clear_dir

begin "Build"
run "cargo build --release --locked"
bin=$(target_dir)/release
PATH=$bin:$PATH

begin "A store, mounted on a directory"
mkdir -p -- "$work"
: >"$dir/$MARK"
made=1
# So that the commands below are what one would type.
cd -- "$dir"
say "in $dir:"
run "vst mount store work"
run "cd work"
run "df -h ."

begin "Ordinary tools make files"
run "mkdir src"
run "printf 'milk\nbread\n' > list.txt"
run "echo 'fn main() { println!(\"hello\"); }' > src/main.rs"
run "cp src/main.rs src/other.rs && ln -s src/main.rs link"

begin "A commit is a touch, a line of text, or a command"
run "touch .vst/commit"
run "cat .vst/commit"
first=$(<.vst/commit)
run "sed -i s/hello/goodbye/ src/main.rs"
run "echo 'Say goodbye' > .vst/commit"
run "echo eggs >> list.txt && rm src/other.rs && mv link shortcut"
run "vst status"
run "vst diff -p -- list.txt"
run "vst commit -m 'Eggs, and less of the rest'"

begin "History"
run "vst log --stat"
run "ls .snapshots"
run "ls -l .snapshots/${first:0:12}/"
run "diff .snapshots/${first:0:12}/list.txt list.txt || true"
run "vst cat HEAD~2:src/main.rs"
say "Every snapshot is a read-only directory; a listing of the root shows neither it nor .vst:"
run "ls -A"

begin "Something goes wrong, and is brought back"
run "rm -r src"
run "ls"
run "vst restore HEAD src"
run "cat src/main.rs"

begin "What a commit costs"
time_commits
say "and what the daemon itself measured, in nanoseconds:"
run "sed -n '/\"latency\"/,/}/p' .vst/stats"

begin "Unmount, mount again: all is there"
run "cd .."
run "vst umount work"
run "ls -A work"
run "vst mount store work"
run "cd work"
run "ls -lA . src"
run "vst log -n 3"
run "cat .snapshots/${first:0:12}/list.txt"

begin "It is yours"
printf -v quoted_work %q "$work"
printf -v quoted_dir %q "$dir"
printf -v quoted_bin %q "$bin"
cat <<END
The mount stays. Try:

  PATH=$quoted_bin:\$PATH
  cd $quoted_work
  echo tea >> list.txt && touch .vst/commit
  vst log
  vst restore HEAD~1 list.txt
  ls .snapshots/latest/
  vst --help

To end it, and to remove all that was made here:

  cd / && vst umount $quoted_work
  rm -r $quoted_dir
END
