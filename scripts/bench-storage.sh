#!/usr/bin/env bash
# What commits cost on the disk. See --help.
set -euo pipefail

readonly program=scripts/bench-storage.sh
readonly SMALL_FILES=100000
readonly SMALL_COMMITS=100
readonly SMALL_KB_MAX=1000
readonly SMALL_COLLECTED_KB_MAX=500
readonly LARGE_FILE_BYTES=$((1 << 30))
readonly LARGE_COMMITS=10
readonly LARGE_WRITE_BYTES=4096
readonly LARGE_KB_MAX=1500
readonly SOURCE_FILES=20000
readonly SOURCE_GIT_PERCENT_MAX=130

usage() {
    cat <<'USAGE'
Usage: scripts/bench-storage.sh [--quick] [--only small|large|source] [--dir DIR] [SOURCE]...
                                [--help]

Measures through a mount how much the store grows, and prints a table of it:

  small   100 000 files of 1 KiB, and 100 commits of one changed file each
  large   a file of 1 GiB that does not compress, and 10 commits of 4 KiB written somewhere in it
  source  20 000 source files, against a git repository of the same files, packed

What is counted are the bytes of all files of the store but those of its journal, which it gives
back, after an unmount; and again after vst gc --repack, with which the tree without the commits
has been gone over as well. Removes all that it made.

  --quick       a hundredth of the files and of the large file
  --only NAME   only that one
  --dir DIR     where to make stores; /var/tmp unless told
  --help        print this
  SOURCE        a directory to take the source files from. Unless told: from /usr/include, from the
                newest of every crate that cargo has unpacked, and from /usr/lib
USAGE
}

on_exit() {
    [[ -z ${tmp:-} ]] || remove_work "$tmp" "${store:-}"
}

# sum_bytes: adds up the lengths of the files that find lists with their lengths.
sum_bytes() {
    awk '{ sum += $1 } END { printf "%.0f\n", sum }'
}

# Prints the bytes of the store without its journal.
store_bytes() {
    find "$store" -path "$store/journal" -prune -o -type f -printf '%s\n' | sum_bytes
}

# Prints the room that the journal takes on the disk, in bytes.
journal_bytes() {
    find "$store/journal" -type f -printf '%b\n' | awk '{ sum += $1 * 512 } END { print sum + 0 }'
}

# row CASE BYTES [KB_MAX]: adds a line to the table.
row() {
    local verdict=
    if [[ -n ${3:-} ]]; then
        verdict="under $3 kB: $( (($2 < $3 * 1000)) && echo met || echo MISSED)"
    fi
    printf '%s\t%s\t%s\n' "$1" "$(awk -v bytes="$2" 'BEGIN { printf "%.1f kB", bytes / 1000 }')" \
        "$verdict" >>"$rows"
}

# begin NAME: mounts a new store.
begin() {
    store=$tmp/store-$1 mnt=$tmp/mnt-$1
    mkdir -- "$mnt"
    "$vst" mount "$store" "$mnt"
}

# Removes the store, which is not mounted.
forget() {
    rm -r -- "$store" "$mnt"
    store=
}

# Copies what is live in the store anew, and removes the rest. It is not mounted.
collect() {
    "$vst" --store "$store" gc --repack >/dev/null
}

# growth CASE KB_MAX KB_COLLECTED_MAX BEFORE: adds what the store has grown by since it was that
# large, before and after a collection. It is mounted.
growth() {
    local name=$1 before=$4
    row "$name: room of the journal before unmounting" "$(journal_bytes)"
    "$vst" umount "$mnt"
    row "$name: growth" $(($(store_bytes) - before)) "$2"
    collect
    row "$name: growth, collected" $(($(store_bytes) - before)) "$3"
}

# Unmounts, collects, and mounts again.
settle() {
    "$vst" umount "$mnt"
    collect
    "$vst" mount "$store" "$mnt"
}

measure_small() {
    local files=$((SMALL_FILES / divisor)) before
    say "makes $files files"
    begin small
    "$client" tree "$mnt" "$files"
    "$vst" -C "$mnt" commit -m "all files" >/dev/null
    settle
    before=$(store_bytes)
    row "$files files of 1 KiB, collected" "$before"
    say "$SMALL_COMMITS commits of one file each"
    "$client" commits "$mnt" "$files" "$SMALL_COMMITS" 1 spread setxattr >/dev/null
    growth "$SMALL_COMMITS commits of one of them" "$SMALL_KB_MAX" "$SMALL_COLLECTED_KB_MAX" \
        "$before"
    forget
}

measure_large() {
    local bytes=$((LARGE_FILE_BYTES / divisor)) before commit at
    say "makes a file of $bytes bytes"
    begin large
    head -c "$bytes" /dev/urandom >"$mnt/large"
    "$vst" -C "$mnt" commit -m "the file" >/dev/null
    settle
    before=$(store_bytes)
    row "a file of $((bytes >> 20)) MiB, collected" "$before"
    say "$LARGE_COMMITS commits of $LARGE_WRITE_BYTES bytes each"
    # The same places each time.
    RANDOM=1
    for ((commit = 0; commit < LARGE_COMMITS; commit++)); do
        at=$(((RANDOM << 15 | RANDOM) % (bytes / LARGE_WRITE_BYTES)))
        dd if=/dev/urandom of="$mnt/large" bs="$LARGE_WRITE_BYTES" count=1 seek="$at" \
            conv=notrunc status=none
        "$vst" -C "$mnt" commit -m "change $commit" >/dev/null
    done
    growth "$LARGE_COMMITS commits of 4 KiB in it" "$LARGE_KB_MAX" "$LARGE_KB_MAX" "$before"
    forget
}

# Prints the directories that source files are taken from. A tree has a package once: many versions
# of the same ones would be a history and no tree.
default_sources() {
    printf '/usr/include\n'
    printf '%s\n' "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/* | sort -V |
        awk '{ name = $0; sub(/-[0-9][^\/]*$/, "", name); newest[name] = $0 }
             END { for (name in newest) print newest[name] }' | sort
    printf '/usr/lib\n'
}

# Prints the paths of source files, each with a NUL behind it.
find_sources() {
    local top
    for top in "${sources[@]}"; do
        find "$top" -xdev -type f -size -512k \( -name '*.[ch]' -o -name '*.h??' -o -name '*.c??' \
            -o -name '*.rs' -o -name '*.py' -o -name '*.p[lm]' -o -name '*.js' -o -name '*.ts' \
            -o -name '*.go' -o -name '*.sh' -o -name '*.md' -o -name '*.toml' \) -print0 | sort -z
    done
}

# percent_of_git CASE BYTES GIT: adds a line that compares.
percent_of_git() {
    local percent=$(($2 * 100 / $3)) verdict=met
    ((percent <= SOURCE_GIT_PERCENT_MAX)) || verdict=MISSED
    row "$1" "$2"
    printf '%s\t%s\t%s\n' "$1, against git" "$percent %" \
        "at most $SOURCE_GIT_PERCENT_MAX %: $verdict" >>"$rows"
}

measure_source() {
    local tree=$tmp/source git bytes
    # What this user has set must not count.
    export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null
    say "copies source files"
    mkdir -- "$tree"
    # The lists are longer than what is taken of them.
    { find_sources || true; } | head -z -n $((SOURCE_FILES / divisor)) >"$tmp/list"
    tar -C / --null --transform 's,^/,,' -P -cf - -T "$tmp/list" | tar -C "$tree" -xf -
    row "$(tr -dc '\0' <"$tmp/list" | wc -c) source files" \
        "$(find "$tree" -type f -printf '%s\n' | sum_bytes)"
    git=$tmp/git
    git init -q "$git"
    # It would repack in the background, and both would be counted.
    git --git-dir "$git/.git" config gc.auto 0
    git --git-dir "$git/.git" --work-tree "$tree" -c core.autocrlf=false add -f .
    git --git-dir "$git/.git" -c user.name=x -c user.email=x commit -qm all
    # One thread finds the same deltas each time.
    git --git-dir "$git/.git" -c pack.threads=1 repack -adq
    git --git-dir "$git/.git" prune-packed
    git=$(find "$git/.git/objects/pack" -type f -printf '%s\n' | sum_bytes)
    row "they, packed by git" "$git"
    begin source
    cp -a -- "$tree/." "$mnt"
    "$vst" -C "$mnt" commit -m "all files" >/dev/null
    "$vst" umount "$mnt"
    bytes=$(store_bytes)
    percent_of_git "they, committed" "$bytes" "$git"
    collect
    bytes=$(store_bytes)
    percent_of_git "they, collected" "$bytes" "$git"
    forget
}

# shellcheck source=scripts/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
dir=/var/tmp only='' quick=0 operands=()
read_options "dir only quick! ..." "$@"
divisor=$((quick ? 100 : 1))
case $only in
'' | small | large | source) ;;
*) misused ;;
esac
dir=$(realpath -- "$dir")
if ((${#operands[@]})); then
    for source in "${operands[@]}"; do
        [[ -d $source ]] || die "$source is no directory"
    done
    mapfile -d '' sources < <(realpath -z -- "${operands[@]}")
else
    mapfile -t sources < <(default_sources)
fi

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
check_cargo
install_packages fusermount3:fuse3 git:git column:bsdextrautils >&2
check_fuse ''
say "builds"
cargo build --release --locked --quiet
vst=$(target_dir)/release/vst
client=$(bench_path commit_latency)

at_exit on_exit
store='' tmp=''
tmp=$(mktemp -d -- "$dir/vst-storage.XXXXXX")
rows=$tmp/rows
: >"$rows"
for name in small large source; do
    [[ -n $only && $only != "$name" ]] || "measure_$name"
done
column -t -s $'\t' -N 'case,bytes,target' -- "$rows"
