#!/usr/bin/env bash
# Runs real tools over real files on a mount, and compares with plain copies. See --help.
set -euo pipefail

readonly program=scripts/accept.sh
readonly FILES_MIN=20000
# How many text files are changed, one way or another.
readonly CHANGED_FILES=640
# What the changed files get as their time: they cannot be changed twice at the same one.
readonly CHANGED_AT=1700000000
readonly FAILURE_LINES_MAX=20
# What xargs makes of a grep that found nothing in its share of the files.
readonly GREP_FOUND_NONE=123

usage() {
    cat <<'USAGE'
Usage: scripts/accept.sh [--dir DIR] [--max-mib N] [--help] [SOURCE...]

Unpacks the files of the SOURCE directories on a mount with tar, commits, changes hundreds of them
with sed, git, mv, rm and the like, does the same to a plain copy, commits, and unmounts. After
mounting again the tree and both snapshots must be what the plain copies are, to rsync, to diff
and in every attribute. Then git, cargo and sqlite3 work on the mount, and what they made must be
good after another mount. Prints what passed and how long it took; exits with 1 if anything did
not. Removes all that it made.

  SOURCE       where to take files from; /usr/share and /usr/lib unless told; the sources must
               have at least 20000 files
  --dir DIR    where to work; /var/tmp unless told; needs about five times the size of the files
  --max-mib N  how much to take of all sources together, in MiB; 300 unless told
  --help       print this
USAGE
}

on_exit() {
    cd /
    [[ -z ${tmp:-} ]] || remove_work "$tmp" "$store"
}

begin() {
    printf '\n== %s\n' "$1"
}

# Prints the time now, in milliseconds.
now_ms() {
    printf '%s\n' $((${EPOCHREALTIME/[.,]/} / 1000))
}

# check NAME COMMAND...: runs the command, and tells whether it went well and how long it took.
check() {
    local name=$1 start status time_ms
    shift
    start=$(now_ms)
    # A condition around the command would keep it from stopping at its first failure.
    set +e
    (
        set -e
        "$@"
    ) >"$tmp/check.log" 2>&1 </dev/null
    status=$?
    set -e
    time_ms=$(($(now_ms) - start))
    printf -v time_s '%d.%03d' $((time_ms / 1000)) $((time_ms % 1000))
    if ((status == 0)); then
        passed=$((passed + 1))
        printf 'ok      %9s s  %s\n' "$time_s" "$name"
    else
        failed=$((failed + 1))
        printf 'FAILED  %9s s  %s\n' "$time_s" "$name"
        head -n "$FAILURE_LINES_MAX" "$tmp/check.log" | cut -c 1-300 | sed 's/^/          /'
    fi
}

# must NAME COMMAND...: as `check`, for what all the rest needs.
must() {
    local before=$failed
    check "$@"
    ((failed == before)) || die "cannot go on"
}

# Writes the paths of what is taken to `list`, relative to the root and ended by NUL.
select_files() {
    local line kind rest size path
    local left=$((max_mib * 1024 * 1024))
    files=0 bytes=0
    while IFS= read -r -d '' line; do
        kind=${line:0:1} rest=${line:2}
        size=${rest%%/*} path=${rest#*/}
        if [[ $kind == f ]]; then
            ((size <= left)) || continue
            left=$((left - size)) bytes=$((bytes + size)) files=$((files + 1))
        fi
        printf '%s\0' "$path"
    done < <(find "${sources[@]}" -xdev \( -type d -readable -executable -o -type l \
        -o -type f -readable \) -printf '%y %s%p\0' 2>/dev/null) >"$tmp/list"
}

# The archives keep times to the nanosecond, holes, owners, lists and attributes.
readonly TAR=(tar --format=posix --sparse --numeric-owner --acls --xattrs "--xattrs-include=*")

copy_sources() {
    "${TAR[@]}" -C / --null --no-recursion -T "$tmp/list" -cf - |
        "${TAR[@]}" -C "$second" -xpf -
}

unpack() {
    "${TAR[@]}" -C "$second" -cf - . | "${TAR[@]}" -C "$mnt" -xpf -
}

# Prints all attributes of the tree below the current directory. What a directory's size and
# count of links are is up to the filesystem.
attributes() {
    find . \( -type d -printf '%y %m %U %G %T@ %p\0' \) \
        -o -printf '%y %m %U %G %T@ %s %n %l %p\0' | sort -z
}

# same PLAIN TREE: fails, and tells what is different, unless both are the same.
same() {
    local different=0
    rsync -aHAXnc --numeric-ids --delete --itemize-changes -- "$1/" "$2/" >"$tmp/rsync.out"
    if [[ -s $tmp/rsync.out ]]; then
        echo "rsync:"
        head -n 8 -- "$tmp/rsync.out"
        different=1
    fi
    if ! diff -r --no-dereference -- "$1" "$2" >"$tmp/diff.out"; then
        echo "diff:"
        head -n 8 -- "$tmp/diff.out"
        different=1
    fi
    (cd -- "$1" && attributes) >"$tmp/plain.attributes"
    (cd -- "$2" && attributes) >"$tmp/tree.attributes"
    if ! cmp -s -- "$tmp/plain.attributes" "$tmp/tree.attributes"; then
        echo "attributes:"
        diff <(tr '\0' '\n' <"$tmp/plain.attributes") <(tr '\0' '\n' <"$tmp/tree.attributes") |
            head -n 8
        different=1
    fi
    return "$different"
}

# Chooses what is changed, from the plain copy: lists of paths ended by NUL, in `inputs`.
choose_inputs() {
    local paths path number=0 step directories count
    cd -- "$second"
    # Files with one link, so that each is changed in one way only.
    find . -type f -links 1 -size +0 -size -64k -print0 | sort -z |
        { xargs -0 grep -lIZ -e . -- || (($? == GREP_FOUND_NONE)); } >"$inputs/text"
    mapfile -d '' paths <"$inputs/text"
    ((${#paths[@]} >= CHANGED_FILES)) || die "the sources have too few text files"
    step=$((${#paths[@]} / CHANGED_FILES))
    for ((number = 0; number < CHANGED_FILES; number++)); do
        path=${paths[number * step]}
        case $((number % 8)) in
        0 | 1 | 2) printf '%s\0' "$path" >&3 ;;
        3) printf '%s\0' "$path" >&4 ;;
        4) printf '%s\0' "$path" >&5 ;;
        5) printf '%s\0' "$path" >&6 ;;
        6) printf '%s\0' "$path" >&7 ;;
        *) printf '%s\0' "$path" >&8 ;;
        esac
    done 3>"$inputs/sed" 4>"$inputs/editor" 5>"$inputs/rm" 6>"$inputs/mv" 7>"$inputs/in-place" \
        8>"$inputs/attributes"
    mapfile -d '' directories < <(find . -mindepth 3 -maxdepth 3 -type d -print0 | sort -z)
    count=${#directories[@]}
    ((count >= 10)) || die "the sources have too few directories"
    printf '%s\0' "${directories[count / 5]}" "${directories[count * 2 / 5]}" \
        "${directories[count * 3 / 5]}" "${directories[count * 4 / 5]}" >"$inputs/directories"
}

# change TREE: changes it, always in the same way.
change() {
    local path number=0 directories cutoff
    cd -- "$1"
    cutoff=$(date +%s)
    xargs -0 sed -i -e '1s/e/E/g' -e "\$a a line from sed" -- <"$inputs/sed"

    # As editors save: a copy, a new file that is synced and takes the place of the old one.
    while IFS= read -r -d '' path; do
        cp -p -- "$path" "$path~"
        { echo "a line from an editor" && cat -- "$path~"; } >"$path.swp"
        chmod --reference="$path" -- "$path.swp"
        sync -- "$path.swp"
        mv -f -- "$path.swp" "$path"
        rm -- "$path~"
    done <"$inputs/editor"
    # And as others do: the old file becomes the copy.
    while IFS= read -r -d '' path; do
        mv -- "$path" "$path.orig"
        tac -- "$path.orig" >"$path"
    done < <(head -z -n 20 -- "$inputs/editor")

    xargs -0 rm -- <"$inputs/rm"
    mkdir -p "a new place/deeper"
    while IFS= read -r -d '' path; do
        number=$((number + 1))
        mv -- "$path" "a new place/deeper/$number"
    done <"$inputs/mv"

    number=0
    while IFS= read -r -d '' path; do
        number=$((number + 1))
        case $((number % 4)) in
        0) echo "appended" >>"$path" ;;
        1) printf 'in the middle' | dd of="$path" bs=1 seek=100 conv=notrunc status=none ;;
        2) truncate -s 10 -- "$path" ;;
        *) truncate -s 5M -- "$path" && echo "behind a hole" >>"$path" ;;
        esac
    done <"$inputs/in-place"

    number=0
    while IFS= read -r -d '' path; do
        number=$((number + 1))
        case $((number % 4)) in
        0) chmod 0741 -- "$path" ;;
        1) ln -- "$path" "$path.link" && echo "through a link" >>"$path.link" ;;
        2) ln -s -- "${path##*/}" "$path.symlink" ;;
        *) setfattr -n user.comment -v "number $number" -- "$path" ;;
        esac
    done <"$inputs/attributes"

    commit_part_with_git

    mapfile -d '' directories <"$inputs/directories"
    mv -- "${directories[0]}" "a new place/a directory"
    rm -rf -- "${directories[1]}"
    mv -- "${directories[2]}" swap
    mv -- "${directories[3]}" "${directories[2]}"
    mv -- swap "${directories[3]}"

    find . -newermt "@$cutoff" -print0 | xargs -0 touch -h -d "@$CHANGED_AT" --
}

# Git without the user's settings, and with a clock that stands still.
git_alone() {
    GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 \
        GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.org GIT_AUTHOR_DATE="@$CHANGED_AT +0000" \
        GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.org \
        GIT_COMMITTER_DATE="@$CHANGED_AT +0000" \
        git -c gc.auto=0 -c maintenance.auto=false "$@"
}

commit_part_with_git() {
    mkdir part
    xargs -0 cp -a --parents -t part -- <"$inputs/sed"
    git_alone init -q -b main part
    git_alone -C part add -A
    git_alone -C part commit -q -m "a part"
    echo "one file more" >part/more
    git_alone -C part add more
    git_alone -C part commit -q -m "one file more"
    # The index remembers inode numbers and times, which no two trees share.
    rm part/.git/index
    git_alone -C part read-tree HEAD
}

# commit_tree MESSAGE: puts the new commit's id into the file `id`.
commit_tree() {
    "$vst" -C "$mnt" commit -m "$1" >"$tmp/id"
    [[ $(<"$tmp/id") =~ ^[0-9a-f]{64}$ ]]
}

is_unchanged() {
    [[ -z $("$vst" -C "$mnt" status | tee /dev/stderr) ]]
}

# Prints the id of all that the live tree holds.
tree_id() {
    getfattr --absolute-names --only-values -n user.vst.id -- "$mnt"
}

# Prints what a remount must not change, of every file.
identities() {
    (cd -- "$mnt" && find . -printf '%i %C@ %p\0' | sort -z)
}

identities_are_kept() {
    identities >"$tmp/identities.after"
    if ! cmp -s -- "$tmp/identities" "$tmp/identities.after"; then
        diff <(tr '\0' '\n' <"$tmp/identities") <(tr '\0' '\n' <"$tmp/identities.after") | head -n 8
        return 1
    fi
}

# is_tree ID: fails unless the live tree has this id.
is_tree() {
    local id
    id=$(tree_id)
    echo "the id of the tree is $id, and should be $1"
    [[ $id == "$1" ]]
}

restore_tree() {
    "$vst" -C "$mnt" restore "$1"
}

git_works() {
    local number
    cd -- "$mnt"
    git_alone clone -q --no-local part clone
    cd clone
    for ((number = 1; number <= 30; number++)); do
        echo "line $number" >>"more"
        git_alone commit -q -a -m "commit $number"
        # Between the steps of git, not only after them.
        ((number % 10)) || touch "$mnt/.vst/commit"
    done
    git_alone checkout -q -b side HEAD~10
    echo side >side
    git_alone add side
    git_alone commit -q -m side
    git_alone checkout -q main
    git_alone merge -q -m merge side
    git_alone gc -q --prune=now
    git_is_good
}

git_is_good() {
    cd -- "$mnt/clone"
    git_alone fsck --full --strict
    [[ $(git_alone rev-list --count HEAD) == 34 ]]
    [[ -z $(git_alone status --porcelain | tee /dev/stderr) ]]
}

# cargo_alone ARGUMENT...: cargo on the small crate, unmoved by where this repository builds.
cargo_alone() {
    env -u CARGO_TARGET_DIR -u CARGO_BUILD_TARGET_DIR cargo "$@" --offline
}

cargo_works() {
    local number
    mkdir -p -- "$mnt/small/src"
    cd -- "$mnt/small"
    printf '[package]\nname = "small"\nversion = "0.1.0"\nedition = "2021"\n\n[workspace]\n' \
        >Cargo.toml
    for ((number = 1; number <= 20; number++)); do
        echo "pub fn value() -> u32 { $number }" >"src/part$number.rs"
        echo "pub mod part$number;"
    done >src/lib.rs
    echo 'fn main() { println!("{}", small::part7::value() + small::part20::value()); }' \
        >src/main.rs
    cargo_alone build
    [[ $(./target/debug/small) == 27 ]]
    echo "pub fn value() -> u32 { 100 }" >src/part7.rs
    # Changed again within the granularity of a clock, and yet built again.
    cargo_alone build
    [[ $(./target/debug/small) == 120 ]]
    cargo_is_fresh
}

cargo_is_fresh() {
    local output
    cd -- "$mnt/small"
    output=$(cargo_alone build --verbose 2>&1)
    printf '%s\n' "$output"
    grep -q 'Fresh small' <<<"$output"
    [[ $output != *Compiling* ]]
    [[ $(./target/debug/small) == 120 ]]
}

# sql STATEMENTS: waits for the other writers.
sql() {
    sqlite3 -bail -cmd '.timeout 60000' "$mnt/data.sqlite" "$1"
}

sqlite_works() {
    local writer part writers=()
    [[ $(sql 'PRAGMA journal_mode=WAL; CREATE TABLE t(writer, number); CREATE INDEX i ON t(number);') == wal ]]
    for writer in 1 2 3; do
        for part in {1..20}; do
            sql "BEGIN IMMEDIATE; WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 500)
                INSERT INTO t SELECT $writer, $part * 1000 + n FROM c; COMMIT;"
        done &
        writers+=($!)
    done
    for writer in "${writers[@]}"; do
        # Commits while they write must harm nothing.
        touch "$mnt/.vst/commit"
        wait "$writer"
    done
    sqlite_is_good
}

sqlite_is_good() {
    [[ $(sql 'PRAGMA integrity_check; SELECT count(*), count(DISTINCT number) FROM t; PRAGMA journal_mode;' |
        tee /dev/stderr) == $'ok\n30000|10000\nwal' ]]
}

# shellcheck source=scripts/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
dir=/var/tmp max_mib=300 operands=()
read_options "dir max-mib ..." "$@"
[[ $max_mib =~ ^[1-9][0-9]*$ ]] || misused
((${#operands[@]})) || operands=(/usr/share /usr/lib)
for source in "${operands[@]}"; do
    [[ -d $source ]] || die "$source is no directory"
done
mapfile -d '' sources < <(realpath -z -- "${operands[@]}")
dir=$(realpath -- "$dir")

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
begin "What is needed"
check_cargo
install_packages fusermount3:fuse3 rsync:rsync git:git sqlite3:sqlite3 getfattr:attr tar:tar \
    diff:diffutils find:findutils
check_fuse ""
cargo build --release --locked --quiet
vst=$(target_dir)/release/vst

at_exit on_exit
export LC_ALL=C
umask 022
passed=0 failed=0 store='' tmp=''
tmp=$(mktemp -d -- "$dir/vst-accept.XXXXXX")
# The plain copies: of what was unpacked, and of what became of it.
first=$tmp/first second=$tmp/second
store=$tmp/store mnt=$tmp/mnt inputs=$tmp/inputs
mkdir -- "$first" "$second" "$mnt" "$inputs"
start_ms=$(now_ms)

begin "Files from ${sources[*]}"
select_files
printf '%s files, %s MiB\n' "$files" "$((bytes / 1024 / 1024))"
((files >= FILES_MIN)) || die "too few: name sources with at least $FILES_MIN files"
must "copied with tar to a plain directory" copy_sources
must "that copied with cp" cp -a --reflink=auto -- "$second/." "$first"
must "what is to be changed chosen" choose_inputs

begin "A tree and its changes"
must "mounted a new store" "$vst" mount "$store" "$mnt"
must "unpacked with tar on the mount" unpack
must "committed" commit_tree "as unpacked"
first_id=$(<"$tmp/id") first_tree=$(tree_id)
check "nothing has changed since" is_unchanged
check "the live tree is what was unpacked" same "$first" "$mnt"
must "changed the plain copy" change "$second"
must "changed the live tree" change "$mnt"
must "committed" commit_tree "as changed"
second_id=$(<"$tmp/id") second_tree=$(tree_id)
check "nothing has changed since" is_unchanged
identities >"$tmp/identities"

begin "After mounting again"
must "unmounted" "$vst" umount "$mnt"
must "mounted" "$vst" mount "$store" "$mnt"
check "nothing has changed" is_unchanged
check "the live tree is the changed copy" same "$second" "$mnt"
check "inode numbers and times of change are kept" identities_are_kept
check "the first snapshot is the first copy" same "$first" "$mnt/.snapshots/$first_id"
check "the second snapshot is the changed copy" same "$second" "$mnt/.snapshots/$second_id"
check "restored the first state" restore_tree "$first_id"
check "the live tree is the first copy" same "$first" "$mnt"
check "its id is that of then" is_tree "$first_tree"
check "restored the second state" restore_tree "$second_id"
check "the live tree is the changed copy" same "$second" "$mnt"
check "its id is that of then" is_tree "$second_tree"

begin "Tools at work"
check "git clones, commits, merges, collects garbage" git_works
check "cargo builds, and builds again what changed" cargo_works
check "three sqlite3 write in WAL mode" sqlite_works
must "committed" commit_tree "tools"
must "unmounted" "$vst" umount "$mnt"
must "mounted" "$vst" mount "$store" "$mnt"
check "nothing has changed" is_unchanged
check "git finds its repository good and clean" git_is_good
check "cargo finds nothing to build" cargo_is_fresh
check "sqlite3 finds its data" sqlite_is_good
must "unmounted" "$vst" umount "$mnt"

printf '\n%s passed, %s failed, in %s s\n' "$passed" "$failed" \
    "$((($(now_ms) - start_ms) / 1000))"
((failed == 0))
