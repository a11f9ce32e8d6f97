# shellcheck shell=sh
# What the other scripts share: where things are, and how to say things.
#
# The Makefile sets BASE (QEMU release line), JOBS (parallel compile jobs), TOPICS
# and QEMU_SRC (a QEMU tree or tarball of the user's, or nothing).

set -eu

ROOT=$(cd "$(dirname "$0")" && pwd)
while [ ! -e "$ROOT/scripts/lib.sh" ]; do ROOT=${ROOT%/*}; done
BASE=${BASE:-10.0}
JOBS=${JOBS:-$(nproc)}
QEMU_SRC=${QEMU_SRC:-}
TOPICS=${TOPICS-all}          # what to install, package or check

BUILD=$ROOT/build/$BASE
SRC=$BUILD/src               # the git tree to work in: base + one commit a patch
PATCHES=$ROOT/patches/$BASE
LOGS=$ROOT/build/logs

case $JOBS in
''|*[!0-9]*|0) printf 'JOBS=%s is no number of jobs; try JOBS=2\n' "$JOBS" >&2
               exit 1 ;;
esac
if [ ! -f "$PATCHES/series" ]; then
    printf 'BASE=%s: there are no patches for it; there are for: %s; %s\n' \
        "$BASE" "$(cd "$ROOT/patches" && echo *)" \
        "new ones begin with: make rebase ONTO=" >&2
    exit 1
fi

# Outside of the checkout, so that a clean clone is cheap
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/reversible-pvpanic
DOWNLOADS=$CACHE/downloads
export CCACHE_DIR="${CCACHE_DIR:-$CACHE/ccache}"
export CCACHE_BASEDIR="$ROOT"
export CCACHE_NOHASHDIR=1

# The same text and the same git, whoever runs this
export LC_ALL=C.UTF-8
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null

mkdir -p "$BUILD" "$LOGS" "$DOWNLOADS" "$CCACHE_DIR"

say() { printf '%s\n' "$*"; }
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

# show_life WHAT LOG: on a terminal, keep one line that has the end of the log,
# where ninja, pytest, apt and git count; in the background, until end_show
show_life() {
    printf '%s ...' "$1"
    life=
    [ -t 1 ] && [ "${TERM:-dumb}" != dumb ] || return 0
    (
        start=$(date +%s)
        columns=$(stty size < /dev/tty 2> /dev/null | cut -d' ' -f2)
        [ "${columns:-0}" -gt 0 ] || columns=80
        while sleep 1 && kill -0 "$$" 2> /dev/null; do
            last=$(tail -c 1000 "$2" 2> /dev/null | tr '\r' '\n' |
                sed 's/\x1b\[[0-9;]*[A-Za-z]//g' | grep '[^ ]' | tail -n 1 |
                tr -cd '[:print:]')
            line="$1 ... $(($(date +%s) - start)) s  $last"
            printf '\r\033[K%.*s' "$((columns - 1))" "$line"
        done
    ) &
    life=$!
}

# end_show WHAT: the line is the same as where there is no terminal
end_show() {
    [ -n "$life" ] || return 0
    kill "$life" 2> /dev/null || true
    wait "$life" 2> /dev/null || true
    printf '\r\033[K%s ...' "$1"
}

# try_step WHAT COMMAND...: run it, with its output in a log, and say how long
# it took; if it fails, show the end of the log.  The exit status is in step_rc:
# were it returned, a caller that tests it would turn off set -e in COMMAND.
try_step() {
    step_what=$1; shift
    step_log=$LOGS/$(printf '%s' "$step_what" | tr -c 'A-Za-z0-9.\n' -).log
    step_start=$(date +%s)
    : > "$step_log"
    show_life "$step_what" "$step_log"
    set +e
    (set -e; "$@") > "$step_log" 2>&1 < /dev/null
    step_rc=$?
    set -e
    end_show "$step_what"
    step_time="$(($(date +%s) - step_start)) s"
    if [ "$step_rc" -eq 0 ]; then
        printf ' %s\n' "$step_time"
    else
        printf ' failed after %s; the end of %s:\n' "$step_time" "$step_log"
        tail -n 25 "$step_log" | sed 's/^/    /'
    fi
}

# step WHAT COMMAND...: the same, and stop if it fails
step() {
    try_step "$@"
    [ "$step_rc" -eq 0 ] || exit "$step_rc"
}

# has_topic NAME: this line has it, whatever its number
has_topic() { grep -q "^[0-9]*-$1/" "$PATCHES/series"; }

# needs_topics NAME...: to do this
needs_topics() {
    for topic in "$@"; do
        has_topic "$topic" || die "this needs the topic '$topic', and the line" \
            "$BASE does not have it; leave out BASE=, for the default line"
    done
}

# absent_qtests: those of scripts/check/qtests whose topic this line does not have
absent_qtests() {
    awk '!/^#/ && NF == 3 { print $2, $3 }' "$ROOT/scripts/check/qtests" |
        while read -r name topic; do
            has_topic "$topic" || say "$name"
        done
}

# list_of FILE: a list in tests/, for this line: without the entries of qtests of
# topics that it does not have.  FILE-$BASE adds to it; what begins with "!" there
# says which entries are not for this line, by how a line of them begins.
list_of() {
    of_line=$ROOT/tests/$1-$BASE
    [ -e "$of_line" ] || of_line=/dev/null
    entries=1
    [ "$1" != mutants ] || entries=  # a paragraph each
    softmmu= # which has been system/ since 9.0
    [ ! -d "$SRC/softmmu" ] || softmmu=1
    ABSENT=$(absent_qtests) NOT_HERE=$(sed -n 's/^!//p' "$of_line") \
        awk -v lines="$entries" -v softmmu="$softmmu" '
        BEGIN {
            if (!lines) {
                RS = ""
            }
            qtests = split(ENVIRON["ABSENT"], absent)
            starts = split(ENVIRON["NOT_HERE"], not_here, "\n")
        }
        {
            entry = "\n" $0
            for (i = 1; i <= qtests; i++) {
                if (index(entry, "\n" absent[i] "|") ||
                    index(entry, "\ntest: " absent[i] " ")) {
                    next
                }
            }
            for (i = 1; i <= starts; i++) {
                if (index(entry, "\n" not_here[i])) {
                    used[i] = 1
                    next
                }
            }
            if (softmmu) {
                sub(/^\nsystem\//, "\nsoftmmu/", entry)
                sub(/\nfile: system\//, "\nfile: softmmu/", entry)
            }
            print substr(entry, 2) (lines ? "" : "\n")
        }
        END {
            for (i = 1; i <= starts; i++) {
                if (!used[i]) {
                    print FILENAME " has no " not_here[i] > "/dev/stderr"
                    exit 1
                }
            }
        }' "$ROOT/tests/$1" || return 1
    sed '/^!/d' "$of_line"
}

# The line that the pages are about, and that make takes by itself
default_line() { sed -n 's/^BASE ?= //p' "$ROOT/Makefile"; }

# git in the series' tree
git_src() { git -C "$SRC" "$@"; }

# run_module MODULE [ARGUMENT]...: of this checkout, or one of Debian's
run_module() { (cd "$ROOT" && exec /usr/bin/python3 -m "$@"); }

# features COLUMN: of scripts/package/features, options (1) or packages (2), as
# far as this release of Debian and this line have them
features() {
    awk -F '|' -v column="$1" -v release="$(. /etc/os-release &&
                                            say "${VERSION_CODENAME:-}")" \
        -v line="$BASE" '!/^#/ && NF && $3 != release && $4 != "!" line &&
            ($4 ~ /^(!|$)/ || $4 == line) { print $column }' \
        "$ROOT/scripts/package/features" | tr '\n' ' '
}
