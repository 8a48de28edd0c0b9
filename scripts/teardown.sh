#!/usr/bin/env bash
# Whether a mount always ends, whatever ends it. See --help.
set -euo pipefail

readonly program=scripts/teardown.sh
# How long anything may take to end, on a busy machine.
readonly END_TIMEOUT_S=60

usage() {
    cat <<'USAGE'
Usage: scripts/teardown.sh [--rounds N] [--transport HOW] [--dir DIR] [--help]

Mounts a store, has clients write, read, commit and fork in it, and ends it while they do so: by an
unmount, by SIGTERM, by SIGKILL, by a forced or a lazy unmount, or after the clients were killed. Then
no mount, daemon, thread or client may be left after a minute. It does so again and again, prints how
often, and stops with 1 at the first round that leaves anything behind, which stays to be looked at.

  --rounds N       how often; 600 unless told, which takes a few minutes
  --transport HOW  how requests come: auto, fuser or ring; fuser unless told. For ring, the kernel's
                   switch is turned on, and set back at the end
  --dir DIR        where to make the store; the usual directory for temporary files unless told
  --help           print this
USAGE
}

on_exit() {
    restore_uring
    if ((status == 0)) || [[ -z ${tmp:-} ]]; then
        [[ -z ${tmp:-} ]] || remove_work "$tmp" "$store"
    else
        say "left to be looked at: $tmp"
    fi
}

# until_so COMMAND...: waits until a command succeeds; fails if it does not in time.
until_so() {
    local tries
    for ((tries = END_TIMEOUT_S * 100; tries > 0; tries--)); do
        ! "$@" || return 0
        sleep 0.01
    done
    return 1
}

# is_gone PID: a process that has ended and that nobody has waited for is gone too; some systems let
# seconds pass before they do.
is_gone() {
    local stat
    { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 0
    [[ ${stat##*) } == Z* ]]
}

is_unmounted() {
    ! grep -qF " $mnt " /proc/self/mounts
}

# Each ends at the first error, in a directory that is not there when the mount is not.
writer() {
    while echo text >"$mnt/d/w$1" && mv "$mnt/d/w$1" "$mnt/d/v$1" && rm "$mnt/d/v$1"; do :; done
}

reader() {
    while [[ $(<"$mnt/d/kept") == kept ]] && ls "$mnt/d" && touch "$mnt/.vst/commit"; do :; done
}

forker() {
    while (cd "$mnt/d" && : >"f$BASHPID" && rm "f$BASHPID"); do :; done
}

start_clients() {
    local client
    clients=()
    for client in 'writer 1' 'writer 2' reader forker; do
        $client >/dev/null 2>&1 &
        clients+=($!)
    done
}

# kill_clients SIGNAL: a client is several processes, of which the others end by themselves.
kill_clients() {
    kill "-$1" "${clients[@]}" 2>/dev/null || true
}

unmount() {
    # A process of a client's that still lives may be in there for a moment.
    until_so "$vst" umount "$mnt" 2>/dev/null
}

# end HOW: ends the mount.
end() {
    case $1 in
    unmount) kill_clients TERM && unmount ;;
    killed-clients) kill_clients KILL && unmount ;;
    term) kill -TERM "$daemon" ;;
    kill) kill -KILL "$daemon" && until_so is_gone "$daemon" && umount -l -- "$mnt" ;;
    force) umount -f -- "$mnt" 2>/dev/null || umount -l -- "$mnt" ;;
    lazy) umount -l -- "$mnt" ;;
    esac
}

# round NUMBER: mounts, and ends it.
round() {
    local how=${ends[$1 % ${#ends[@]}]} client
    "$vst" mount --transport "$transport" "$store" "$mnt" || die "round $1: no mount"
    daemon=$(daemon_of "$store")
    mkdir -p -- "$mnt/d"
    echo kept >"$mnt/d/kept"
    start_clients
    sleep "0.0$((RANDOM % 10))"
    end "$how" || die "round $1: $how fails"
    until_so is_unmounted || die "round $1, $how: still mounted"
    until_so is_gone "$daemon" || die "round $1, $how: the daemon $daemon is left"
    for client in "${clients[@]}"; do
        until_so is_gone "$client" || die "round $1, $how: the client $client is left"
    done
    wait
}

# shellcheck source=scripts/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
dir=${TMPDIR:-/tmp} rounds=600 transport=fuser
read_options "dir rounds transport" "$@"
dir=$(realpath -- "$dir")

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

check_cargo
check_fuse ''
((EUID == 0)) || die "needs root, to unmount by force"
cargo build --locked --quiet
vst=$(target_dir)/debug/vst

at_exit on_exit
tmp='' store='' clients=() daemon='' ends=(unmount term kill killed-clients force lazy)
tmp=$(mktemp -d -- "$dir/vst-teardown.XXXXXX")
store=$tmp/store mnt=$tmp/mnt
mkdir -- "$mnt"
if [[ $transport == ring ]]; then
    switch_uring >&2 || die "no rings, for the reason above"
fi
for ((number = 0; number < rounds; number++)); do
    round "$number"
    ((number % 100 != 99)) || say "$((number + 1)) rounds"
done
echo "$rounds mounts have ended, and nothing is left of them"
