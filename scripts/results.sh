# shellcheck shell=sh
# Counting what passed and failed.  Checks append to $RESULTS:
# "pass NAME", "fail NAME" or "skip NAME", a line each.

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

# tap BUILD QTEST [ARGUMENT...]: a qtest of a build, each test in it counted
tap() {
    tap_what="$1: $(shift && say "$*")"
    try_step "$tap_what" run_qtest "$1" "$@"
    tap_plan=$(sed -n 's/^1\.\.//p' "$step_log" | tail -n 1)
    tap_ok=$(grep -c '^ok ' "$step_log" || true)
    sed -n 's/^ok [0-9]* \([^ ]*\)$/pass \1/p; s/^ok [0-9]* \([^ ]*\) # SKIP.*/skip \1/p' \
        "$step_log" >> "$RESULTS"
    grep '^ok .*# SKIP' "$step_log" | sed 's/^ok [0-9]*/    skipped:/' || true
    if [ "$step_rc" -ne 0 ] || [ "${tap_plan:-0}" -eq 0 ] ||
       [ "$tap_ok" -ne "$tap_plan" ]; then
        say "fail $tap_what: $tap_ok of ${tap_plan:-no} tests passed" |
            tee -a "$RESULTS"
    fi
}

# start_long_tests BUILD: these boot a firmware, or walk long tables: they run
# beside the other tests, and say what came of it when they are done
start_long_tests() {
    {
        tap "$1" pvpanic-model-test
        tap "$1" pvpanic-moments-test
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

# taps BUILD: the series' other qtests
taps() {
    tap "$1" pvpanic-test
    tap "$1" pvpanic-pci-test
    tap "$1" pvpanic-guest-test
    tap "$1" pvpanic-gdb-test
    tap "$1" dump-test
    # These walk over every device, command and property there is
    tap "$1" device-introspect-test
    tap "$1" qmp-cmd-test
}

# run_qtest BUILD BINARY QTEST [ARGUMENT...]: a qtest of one build, against
# the binary of another
run_qtest() {
    run_build=$1 run_binary=$2 run_name=$3; shift 3
    cd "$BUILD/$run_build"
    # Its temporary files, also if it crashes, end in the scratch folder
    TMPDIR=$SCRATCH QTEST_QEMU_BINARY="$BUILD/$run_binary/qemu-system-x86_64" \
        QTEST_QEMU_IMG="$BUILD/$run_build/qemu-img" \
        timeout "${QTEST_TIMEOUT:-600}" "tests/qtest/$run_name" "$@"
}

# systems WHAT ARGUMENT...: system tests, each one counted; the arguments are
# for pytest
systems() {
    systems_what=$1; shift
    try_step "$systems_what" run_pytest "$@"
    sed -n 's/^PASSED /pass /p; s/^FAILED /fail /p; s/^ERROR /fail /p; s/^SKIPPED /skip /p' \
        "$step_log" >> "$RESULTS"
    if [ "$step_rc" -ne 0 ] && ! grep -q '^FAILED\|^ERROR' "$step_log"; then
        say "fail $systems_what: pytest itself" >> "$RESULTS"
    fi
    sed -n 's/^SKIPPED /    skipped: /p' "$step_log"
}

run_pytest() {
    cd "$ROOT"
    /usr/bin/python3 -m pytest -p no:cacheprovider -rA --tb=short \
        --durations 0 "$@"
}

# tally: the last line, and the exit status
tally() {
    grep '^fail ' "$RESULTS" | sed 's/^fail/FAILED:/' || true
    tally_failed=$(grep -c '^fail ' "$RESULTS" || true)
    say "$(grep -c '^pass ' "$RESULTS" || true) passed," \
        "$tally_failed failed"
    [ "$tally_failed" -eq 0 ]
}
