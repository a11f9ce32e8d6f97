# shellcheck shell=sh
# Counting what passed, failed and was skipped.  Checks append to $RESULTS:
# "pass NAME", "fail NAME" or "skip NAME: REASON", a line each.

. "$(dirname "$0")/qtest.sh"

RESULTS=$(mktemp)
trap 'rm -rf "$RESULTS" "$SCRATCH"' EXIT
SCRATCH=$(mktemp -d)

# check NAME COMMAND...: one check, whose exit status decides
check() {
    check_name=$1
    try_step "$@"
    if [ "$step_rc" -eq 0 ]; then
        say "pass $check_name" >> "$RESULTS"
    else
        say "fail $check_name" >> "$RESULTS"
    fi
}

# skip NAME REASON: a check that cannot be made here
skip() { say "skip $1: $2" >> "$RESULTS"; }

# tap_lines: of the last step; what QEMU says can be on the same line, before it
tap_lines() {
    awk 'match($0, /(not )?ok [0-9]+ \//) { print substr($0, RSTART) }' \
        "$step_log"
}

# tap BUILD QTEST [ARGUMENT...]: a qtest of a build, each test in it counted
tap() {
    tap_what="$1${QTEST_TARGET:+, $QTEST_TARGET}: $(shift && say "$*")"
    try_step "$tap_what" run_qtest "$1" "$@"
    tap_plan=$(sed -n 's/^1\.\.//p' "$step_log" | tail -n 1)
    tap_ok=$(tap_lines | grep -cE '^ok [0-9]+ [^ ]+( # SKIP.*)?$' || true)
    tap_lines | sed -n 's/^ok [0-9]* \([^ ]*\)$/pass \1/p
        s/^ok [0-9]* \([^ ]*\) # SKIP */skip \1: /p' >> "$RESULTS"
    if [ "$step_rc" -ne 0 ] || [ "${tap_plan:-0}" -eq 0 ] ||
       [ "$tap_ok" -ne "$tap_plan" ]; then
        say "fail $tap_what: $tap_ok of ${tap_plan:-no} tests ran" |
            tee -a "$RESULTS"
    fi
}

# start_long_tests BUILD: these boot a firmware, or walk long tables: they run
# beside the other tests, and say what came of it when they are done.  First,
# whether guests run under KVM: where they hang, that takes its time, once.
start_long_tests() {
    QTEST_KVM=$(run_qtest "$1" "$1" pvpanic-guest-test --kvm) || true
    export QTEST_KVM
    say "$QTEST_KVM"
    long_what="$1: the tests that take long"
    {
        for test in $(qtests long); do
            tap "$1" "$test"
        done
        for path in $TABLES; do
            if tables_are_old; then
                skip "$path" "$TABLES_ARE_OLD"
            else
                tap "$1" bios-tables-test -p "$path"
            fi
        done
    } > "$SCRATCH/long" 2>&1 &
    long=$!
    trap 'kill "$long"; exit 130' INT TERM
}

end_long_tests() {
    long_start=$(date +%s)
    show_life "$long_what" "$SCRATCH/long"
    wait "$long" || say "fail $long_what" >> "$RESULTS"
    trap - INT TERM
    end_show "$long_what"
    say " waited for $(($(date +%s) - long_start)) s"
    cat "$SCRATCH/long"
}

# leaves_nothing_out BUILD: what is needed by a part of a qtest's tests is there;
# without it, that part is not in the qtest's plan
leaves_nothing_out() {
    cd "$BUILD/$1"
    ./qemu-img --version
    ./qemu-system-x86_64 -accel help | grep -x tcg
    ./qemu-system-x86_64 -machine help > "$SCRATCH/machines"
    for machine in pc q35 pc-i440fx-1.5; do
        grep "^$machine " "$SCRATCH/machines"
    done
}

# taps BUILD: the other qtests
taps() {
    check "$1: the qtests leave nothing out" leaves_nothing_out "$1"
    # Those of the base walk over every device, command and property there is
    for test in $(qtests series unit base); do
        tap "$1" "$test"
    done
}

# systems WHAT ARGUMENT...: system tests, each one counted; the arguments are
# for pytest
systems() {
    systems_what=$1; shift
    try_step "$systems_what" run_pytest "$@"
    sed -n 's/^PASSED /pass /p; s/^FAILED /fail /p; s/^ERROR /fail /p; s/^skipped /skip /p' \
        "$step_log" >> "$RESULTS"
    if [ "$step_rc" -ne 0 ] && ! grep -q '^FAILED\|^ERROR' "$step_log"; then
        say "fail $systems_what: pytest itself" >> "$RESULTS"
    fi
}

run_pytest() {
    run_module pytest -p no:cacheprovider -rA --tb=short --durations 0 "$@"
}

# ask_kvm: once more, when nothing else runs; the answer is in kvm_said
ask_kvm() {
    [ -z "${kvm_said+asked}" ] || return 0
    kvm_said=$(unset QTEST_KVM
               run_qtest patched patched pvpanic-guest-test --kvm) || true
}

# sees_syscalls: of a child
sees_syscalls() {
    sleep 9 &
    if read -r _ < "/proc/$!/syscall"; then syscall_rc=0; else syscall_rc=1; fi
    kill "$!"
    return "$syscall_rc"
}

# lacks REASON: this machine cannot do what that skip needs; where that can be
# had, this is not the word of the test that skipped
lacks() {
    case $1 in
    *': the base is '*) ! grep -q '^Debian ' "$SRC/.git/origin" ;;
    *': cannot fetch QEMU '*)
        ! env BASE="${1##* }" QEMU_SRC='' "$ROOT/scripts/series/tree" ;;
    *'a libvirtd of its own cannot be had here: '*)
        # shellcheck disable=SC2016 # for the inner shell
        ! unshare --user --map-root-user --mount sh -ec '
            mount -t overlay -o "lowerdir=$1:/usr" overlay /usr
            if [ -e /dev/kvm ]; then mount --bind "$2" /dev/kvm; fi
            exec unshare --user --map-user=1 --map-group=1 true' \
            sh "$SCRATCH" "$RESULTS" ;;
    *": $TABLES_ARE_OLD") tables_are_old ;;
    *': no mount namespace')
        ! unshare --map-root-user --mount --propagation private true ;;
    *userfaultfd*|*'background snapshots'*|*'no post-copy here'*)
        ! perl -e 'exit(syscall(323, 0) < 0)' ;; # userfaultfd(0)
    *'KVM: no crash MSRs of Hyper-V')
        [ "KVM: ${1##*KVM: }" = "$("$ROOT/scripts/check/hyperv_msrs.py")" ] ;;
    *'KVM: '*) # the words of the probe, so that one that cannot run is none
        ask_kvm
        [ "KVM: ${1##*KVM: }" = "$kvm_said" ] ;;
    *'/syscall'*) ! sees_syscalls ;;
    *) false ;;
    esac > /dev/null 2>&1 < /dev/null
}

# judge: $RESULTS, where a skip without a reason is a failure.  So is, with
# NO_SKIPS=1, one of what this machine can do; and if nothing has passed.
judge() {
    grep -q '^pass ' "$RESULTS" || say "fail to find a check that passed"
    while IFS= read -r result; do
        case $result in
        'skip '*': ') say "fail ${result#skip }skipped, and nobody says why" ;;
        'skip '*)
            if [ -n "${NO_SKIPS:-}" ] && ! lacks "$result"; then
                say "fail ${result#skip } (skipped, and this machine can do it)"
            else
                say "$result"
            fi ;;
        *) say "$result" ;;
        esac
    done < "$RESULTS"
}

# tally: why what was skipped, what failed, the last line, and the exit status
tally() {
    judge > "$SCRATCH/judged"
    sed -n 's/^skip /SKIPPED: /p' "$SCRATCH/judged"
    sed -n 's/^fail /FAILED: /p' "$SCRATCH/judged"
    tally_failed=$(grep -c '^fail ' "$SCRATCH/judged" || true)
    say "$(grep -c '^pass ' "$SCRATCH/judged" || true) passed," \
        "$tally_failed failed," \
        "$(grep -c '^skip ' "$SCRATCH/judged" || true) skipped"
    [ "$tally_failed" -eq 0 ]
}
