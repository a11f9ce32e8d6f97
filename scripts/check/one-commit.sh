# shellcheck shell=sh
# Building one commit and running its tests; what passed before, and has not
# changed since, is not tested again.  See check-each and check-topics.

EACH=$BUILD/each
EACH_SRC=$EACH/src
mkdir -p "$EACH"
touch "$EACH/passed"

git_src worktree prune
if [ ! -e "$EACH_SRC/configure" ]; then
    step "each: check out" git_src worktree add -f --detach "$EACH_SRC" base
fi

# Of the topics that are exported; where all are meant, others count, too
chosen=$(chosen_topics)

# is_chosen TOPIC: $TOPICS has it
is_chosen() { [ "$TOPICS" = all ] || say "$chosen" | grep -qxF -e "$1"; }

# tests_of COMMIT KIND...: those of the series' tests that it has, in their
# folders; kinds are those of scripts/check/qtests
tests_of() {
    of=$1; shift
    for test in $(qtests "$@"); do
        git_src ls-tree --name-only "$of" "tests/qtest/$test.c" \
            "tests/unit/$test.c"
    done | sed 's/\.c$//'
}

# touches_firmware COMMIT SINCE: the tests that boot a firmware are for it, too
touches_firmware() {
    [ -n "$(git_src diff --name-only "$2" "$1" -- '*bios-tables-test*')" ]
}

# key_of COMMIT SINCE: a hash of all that decides whether it passes.  These
# builds leave docs/ out; scripts/build has the options of configure.
key_of() {
    {
        git_src ls-tree -r "$1" | grep -vP '\tdocs/'
        tests_of "$1" series unit long
        ! touches_firmware "$1" "$2" || say firmware
        cat "$ROOT/scripts/check/one-commit.sh" \
            "$ROOT/scripts/check/qtest.sh" "$ROOT/scripts/build"
        gcc --version
    } | git_src hash-object --stdin
}

# run_tests QTEST [ARGUMENT...]: at least one test passes, and none fails
run_tests() {
    tap=$SCRATCH/tap-$1
    run_qtest each/build each/build "$@" > "$tap" 2>&1 ||
        { cat "$tap"; return 1; }
    cat "$tap"
    grep -q '^ok [0-9]* [^ ]*$' "$tap"
}

# programs_id: a hash of what decides the results of every test
programs_id() {
    (
        cd "$EACH/build"
        cat qemu-system-x86_64 qemu-img "$ROOT/scripts/check/qtest.sh" \
            "$ROOT/scripts/check/one-commit.sh"
    ) | git_src hash-object --stdin
}

# run_programs QTEST: run_tests, unless it has passed before with these
# programs, for another commit
run_programs() {
    of_test=$(git_src hash-object "$EACH/build"/tests/*/"$1") || return 1
    passed="$programs $of_test $1"
    if grep -qxF "$passed" "$EACH/passed"; then
        say "$1: passed before, with the same programs"
        return 0
    fi
    run_tests "$1" || return 1
    # What could not run now may fail where it can
    grep -q ' # SKIP' "$tap" || say "$passed" >> "$EACH/passed"
}

# run_all TEST...: one after the other
run_all() {
    for test in "$@"; do
        run_programs "${test##*/}" || return 1
    done
}

# build_and_test COMMIT SINCE
build_and_test() {
    git -C "$EACH_SRC" checkout -q -f --detach "$1"
    tests=$(tests_of "$1" series unit)
    long=$(tests_of "$1" long)
    # shellcheck disable=SC2046,SC2086 # lists of targets
    "$ROOT/scripts/build" each qemu-system-x86_64 qemu-img \
        $tests $long tests/qtest/bios-tables-test
    programs=$(programs_id)
    # What takes long runs beside the others, as in `make check`
    # shellcheck disable=SC2086 # lists of words
    run_all $long > "$SCRATCH/long" 2>&1 &
    long=$!
    trap 'kill "$long"; exit 130' INT TERM
    # shellcheck disable=SC2086
    if run_all $tests; then rc=0; else rc=1; fi
    wait "$long" || { rc=1; cat "$SCRATCH/long"; }
    trap - INT TERM
    [ "$rc" -eq 0 ] || return 1
    if touches_firmware "$1" "$2"; then
        paths=$(run_qtest each/build each/build bios-tables-test -l |
            grep /q35/pvpanic-)
        for path in $paths; do
            run_tests bios-tables-test -p "$path"
        done
    fi
}

# check_commit WHAT COMMIT SINCE: it builds without a warning, and passes the
# tests that it has; those with a firmware, if they changed since that commit
check_commit() {
    key=$(key_of "$2" "$3")
    if grep -qxF "$key" "$EACH/passed"; then
        say "$1 ... passed before"
        say "pass $1" >> "$RESULTS"
        return 0
    fi
    check "$1" build_and_test "$2" "$3"
    [ "$step_rc" -ne 0 ] || say "$key" >> "$EACH/passed"
}
