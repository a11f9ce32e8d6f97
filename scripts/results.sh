# shellcheck shell=sh
# Counting what passed, failed and was skipped.  Checks append to $RESULTS:
# "pass NAME", "fail NAME" or "skip NAME: REASON", a line each.

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

# tap BUILD QTEST [ARGUMENT...]: a qtest of a build, each test in it counted
tap() {
    tap_what="$1${QTEST_TARGET:+, $QTEST_TARGET}: $(shift && say "$*")"
    try_step "$tap_what" run_qtest "$1" "$@"
    tap_plan=$(sed -n 's/^1\.\.//p' "$step_log" | tail -n 1)
    tap_ok=$(grep -cE '^ok [0-9]+ [^ ]+( # SKIP.*)?$' "$step_log" || true)
    sed -n 's/^ok [0-9]* \([^ ]*\)$/pass \1/p; s/^ok [0-9]* \([^ ]*\) # SKIP */skip \1: /p' \
        "$step_log" >> "$RESULTS"
    if [ "$step_rc" -ne 0 ] || [ "${tap_plan:-0}" -eq 0 ] ||
       [ "$tap_ok" -ne "$tap_plan" ]; then
        say "fail $tap_what: $tap_ok of ${tap_plan:-no} tests ran" |
            tee -a "$RESULTS"
    fi
}

# qtests KIND...: those of scripts/qtests
qtests() {
    for kind in "$@"; do
        sed -n "s/^$kind //p" "$ROOT/scripts/qtests"
    done
}

# start_long_tests BUILD: these boot a firmware, or walk long tables: they run
# beside the other tests, and say what came of it when they are done.  First,
# whether guests run under KVM: where they hang, that takes its time, once.
start_long_tests() {
    QTEST_KVM=$(run_qtest "$1" "$1" pvpanic-guest-test --kvm) || true
    export QTEST_KVM
    say "$QTEST_KVM"
    {
        for test in $(qtests long); do
            tap "$1" "$test"
        done
        for test in pvpanic-builtin pvpanic-isa-neutralised; do
            tap "$1" bios-tables-test -p "/x86_64/acpi/q35/$test"
        done
    } > "$SCRATCH/long" 2>&1 &
    long=$!
    trap 'kill "$long"; exit 130' INT TERM
}

end_long_tests() {
    wait "$long" || say "fail the tests that take long" >> "$RESULTS"
    trap - INT TERM
    cat "$SCRATCH/long"
}

# leaves_nothing_out BUILD: what is needed by a part of a qtest's tests is there;
# without it, that part is not in the qtest's plan
leaves_nothing_out() {
    cd "$BUILD/$1"
    ./qemu-img --version
    ./qemu-system-x86_64 -accel help | grep -x tcg
    ./qemu-system-x86_64 -machine help > "$SCRATCH/machines"
    for machine in pc q35 pc-1.5; do
        grep "^$machine " "$SCRATCH/machines"
    done
}

# taps BUILD: the other qtests
taps() {
    check "$1: the qtests leave nothing out" leaves_nothing_out "$1"
    # Those of the base walk over every device, command and property there is
    for test in $(qtests series base); do
        tap "$1" "$test"
    done
}

# run_qtest BUILD BINARY QTEST [ARGUMENT...]: a qtest of one build, against
# the binary of another; it is one for $QTEST_TARGET, or for x86_64
run_qtest() {
    run_build=$1 run_binary=$2/qemu-system-${QTEST_TARGET:-x86_64} run_name=$3
    shift 3
    cd "$BUILD/$run_build"
    # Its temporary files, also if it crashes, end in the scratch folder
    set -- env TMPDIR="$SCRATCH" QTEST_QEMU_BINARY="$BUILD/$run_binary" \
        QTEST_QEMU_IMG="$BUILD/$run_build/qemu-img" \
        timeout "${QTEST_TIMEOUT:-600}" "tests/qtest/$run_name" "$@"
    if [ "$run_name" = bios-tables-test ]; then
        without_kvm "$@"
    else
        "$@"
    fi
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
    cd "$ROOT"
    /usr/bin/python3 -m pytest -p no:cacheprovider -rA --tb=short \
        --durations 0 "$@"
}

# kvm_works: asked once more, when nothing else runs
kvm_works() {
    if [ -z "${kvm_rc:-}" ]; then
        kvm_rc=0
        (unset QTEST_KVM; run_qtest patched patched pvpanic-guest-test --kvm) ||
            kvm_rc=$?
    fi
    [ "$kvm_rc" -eq 0 ]
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
    *'a libvirtd of its own cannot be had here: '*)
        # shellcheck disable=SC2016 # for the inner shell
        ! unshare --user --map-root-user --mount sh -ec '
            mount -t overlay -o "lowerdir=$1:/usr" overlay /usr
            if [ -e /dev/kvm ]; then mount --bind "$2" /dev/kvm; fi
            exec unshare --user --map-user=1 --map-group=1 true' \
            sh "$SCRATCH" "$RESULTS" ;;
    *userfaultfd*|*'background snapshots'*|*'no post-copy here'*)
        ! perl -e 'exit(syscall(323, 0) < 0)' ;; # userfaultfd(0)
    *'KVM: no crash MSRs of Hyper-V') ;; # the host's kernel has them or not
    *'KVM: '*) ! kvm_works ;;
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
