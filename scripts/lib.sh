# shellcheck shell=bash
# What the scripts here share. Whoever sources it has set `program` to the name that its messages
# begin with. What is called needs the top directory of the source, but for `read_options`.

# A shell that is not a login shell may know neither of these.
PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin:/usr/sbin:/sbin

# How long a daemon may take to end when its mount is gone.
readonly DAEMON_END_TIMEOUT_S=30

die() {
    printf '%s: %s\n' "${program:?}" "$*" >&2
    exit 1
}

# misused: the end of a script that was not called as `usage` says.
misused() {
    usage >&2
    exit 2
}

# read_options "NAME..." ARGUMENT...: sets the variable of each of these names, in which dashes are
# underscores, to what follows the option `--NAME`. That of a name with `!` behind it is set to 1, and
# nothing follows. With `...` among the names, what is no option comes into `operands`. Prints `usage`
# for --help, and fails with it for all else.
read_options() {
    local names=" $1 " name
    shift
    while (($# > 0)); do
        name=${1#--}
        if [[ $1 == --help || $1 == -h ]]; then
            usage
            exit
        elif [[ $1 == --* && $names == *" $name! "* ]]; then
            printf -v "${name//-/_}" 1
        elif [[ $1 == --* && $names == *" $name "* ]] && (($# > 1)); then
            printf -v "${name//-/_}" %s "$2"
            shift
        elif [[ $1 != -* && $names == *' ... '* ]]; then
            operands+=("$1")
        else
            misused
        fi
        shift
    done
}

as_root() {
    if ((EUID == 0)); then
        "$@"
    else
        command -v sudo >/dev/null || die "needs root or sudo to run: $*"
        sudo "$@"
    fi
}

# missing_packages COMMAND:PACKAGE...: prints the packages that are missing, one a line; to these
# come those that cargo needs. In place of a command there can be the path of a file.
missing_packages() {
    local need
    for need in cc:gcc "$@"; do
        [[ $need == /* && -e ${need%%:*} ]] || command -v "${need%%:*}" >/dev/null ||
            printf '%s\n' "${need#*:}"
    done
    # gcc only recommends the headers, without which it links nothing.
    [[ -e /usr/include/stdio.h ]] || printf 'libc6-dev\n'
    # What git and cargo trust when they fetch.
    [[ -e /etc/ssl/certs/ca-certificates.crt ]] || printf 'ca-certificates\n'
}

# install_packages COMMAND:PACKAGE...: installs the packages of those commands that are missing.
install_packages() {
    local missing output
    mapfile -t missing < <(missing_packages "$@")
    if ((${#missing[@]} == 0)); then
        echo "nothing is missing"
        return
    fi
    echo "installs ${missing[*]}"
    command -v apt-get >/dev/null || die "no apt-get here: install ${missing[*]} and try again"
    local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq)
    as_root "${apt[@]}" update
    output=$(as_root "${apt[@]}" install -y --no-install-recommends "${missing[@]}" 2>&1) || {
        printf '%s\n' "$output"
        die "apt-get cannot install ${missing[*]}"
    }
}

check_cargo() {
    command -v cargo >/dev/null || die "no cargo here: install a Rust toolchain (https://rustup.rs)"
}

# check_fuse REMARK: fails, with the remark if it is not empty, unless this user can mount.
check_fuse() {
    local remark=${1:+; $1}
    [[ -e /dev/fuse ]] || die "/dev/fuse is missing: load the kernel's module (modprobe fuse)," \
        "or in a container run it with --device /dev/fuse --cap-add SYS_ADMIN$remark"
    [[ -r /dev/fuse && -w /dev/fuse ]] || die "/dev/fuse cannot be opened by $(id -un)$remark"
}

# Prints where cargo puts what it builds.
target_dir() {
    realpath -m -- "${CARGO_TARGET_DIR:-target}"
}

# bench_path NAME: prints the path of a benchmark, after building it.
bench_path() {
    local path
    path=$(cargo bench --locked --quiet --no-run --bench "$1" --message-format=json |
        sed -n 's/.*"executable":"\([^"]*\/'"$1"'-[^"]*\)".*/\1/p')
    [[ -x $path ]] || die "cargo does not tell where it put $1"
    printf '%s\n' "$path"
}

# fuse_mounts TOP: prints the FUSE mounts on the directory or in it, the innermost first.
fuse_mounts() {
    local top=$1 at kind
    # Spaces and the like are octal in this file.
    while read -r _ at kind _; do
        printf -v at %b "$at"
        if [[ $kind == fuse || $kind == fuse.* ]] && [[ $at/ == "$top"/* ]]; then
            printf '%s\n' "$at"
        fi
    done </proc/self/mounts | tac
}

# daemon_of STORE: prints the process that serves the store; fails if there is none.
daemon_of() {
    local pid exe
    pid=$(cat -- "$1/lock" 2>/dev/null) && [[ -n $pid && -d /proc/$pid ]] || return
    # The file stays behind, and another process may have that number by now.
    exe=$(readlink -- "/proc/$pid/exe" 2>/dev/null) || return
    exe=${exe% (deleted)}
    [[ ${exe##*/} == vst ]] || return
    printf '%s\n' "$pid"
}

# The kernel's switch for FUSE over io_uring, which decides for mounts that come after.
readonly URING_SWITCH=/sys/module/fuse/parameters/enable_uring

# switch_uring: turns it on and leaves in `uring_was` what it was, for `restore_uring`. Prints why it
# cannot be and fails.
switch_uring() {
    if ((EUID != 0)); then
        echo "only root can turn on mounts through rings"
    elif [[ ! -e $URING_SWITCH ]]; then
        echo "this kernel has no FUSE over io_uring"
    elif [[ $(cat /proc/sys/kernel/io_uring_disabled 2>/dev/null || echo 2) == 2 ]]; then
        echo "this system has io_uring disabled"
    elif uring_was=$(<"$URING_SWITCH") && echo Y 2>/dev/null >"$URING_SWITCH"; then
        return
    else
        echo "$URING_SWITCH cannot be set"
    fi
    uring_was=
    return 1
}

restore_uring() {
    [[ -z ${uring_was:-} ]] || echo "$uring_was" >"$URING_SWITCH"
    uring_was=
}

# end_mounts TOP STORE: takes away what is mounted on TOP or in it, in use or not, and waits for
# the daemon of STORE to end.
end_mounts() {
    local at pid tries
    pid=$(daemon_of "$2") || pid=
    while read -r at; do
        if ((EUID == 0)); then
            umount -- "$at" 2>/dev/null || umount -l -- "$at"
        else
            fusermount3 -u -- "$at" 2>/dev/null || fusermount3 -uz -- "$at"
        fi
    done < <(fuse_mounts "$1")
    for ((tries = DAEMON_END_TIMEOUT_S * 10; tries > 0; tries--)); do
        [[ -n $pid && -d /proc/$pid ]] || return 0
        sleep 0.1
    done
    kill -KILL "$pid" 2>/dev/null || true
}

# remove_work TOP [STORE]: ends the mounts of a store in a directory, and removes the directory.
remove_work() {
    [[ -z ${2:-} ]] || end_mounts "$1" "$2" || true
    # What is still mounted must not be deleted through its mount.
    if grep -qF " $1/" /proc/self/mounts; then
        printf '%s: left behind: %s\n' "${program:?}" "$1" >&2
    else
        rm -rf --one-file-system -- "$1"
    fi
}

# at_exit COMMAND: has the command run when the script ends, whatever ends it. It finds the exit
# status in `status`, and nothing interrupts it.
at_exit() {
    # shellcheck disable=SC2064 # The command is that of now.
    trap "status=\$?; trap '' INT TERM HUP; $1; exit \$status" EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
}

say() {
    printf '%s\n' "$*" >&2
}
