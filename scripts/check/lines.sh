# shellcheck shell=sh
# The release lines besides $BASE, without a build of theirs; see results.sh.

# lines: those that there are patches for, the oldest first
lines() {
    (cd "$ROOT/patches" && printf '%s\n' */series) | sed 's,/.*,,' | sort -V
}

# cannot_fetch LINE: this machine has no source of it, as the last step has said
cannot_fetch() {
    [ "$step_rc" -ne 0 ] && grep -q "cannot fetch QEMU $1;" "$step_log"
}

# check_other_lines: they apply without fuzz, they are exported, and they add
# what the series for $BASE adds
check_other_lines() {
    for line in $(lines); do
        [ "$line" != "$BASE" ] || continue
        try_step "lines: the tree of $line" \
            env BASE="$line" QEMU_SRC= "$ROOT/scripts/series/tree"
        if cannot_fetch "$line"; then
            skip "$step_what" "cannot fetch QEMU $line"
            continue
        elif [ "$step_rc" -ne 0 ]; then
            say "fail $step_what" >> "$RESULTS"
            continue
        fi
        say "pass $step_what" >> "$RESULTS"
        check "lines: the export of $line is canonical" \
            env BASE="$line" "$LINT" canonical
        check "lines: the series for $line applies without fuzz" \
            env BASE="$line" "$LINT" applies_to_debian
        check "lines: the series for $line adds what that for $BASE adds" \
            env BASE="$line" MAIN="$BASE" "$LINT" adds_the_same
    done
}

# counted LINE LOG STATUS: what its `make check` said, as results of this one
counted() {
    # If it fails, make has the last word
    sed -E '/^make(\[[0-9]+\])?: /d' "$2" > "$SCRATCH/said"
    passed=$(sed -nE '$s/^([0-9]+) passed, [0-9]+ failed, [0-9]+ skipped$/\1/p' \
        "$SCRATCH/said")
    if [ -n "$passed" ]; then
        seq "$passed" | sed "s/.*/pass $1/"
        sed -nE "s/^FAILED: /fail $1: /p; s/^SKIPPED: /skip $1: /p" "$2"
        [ "$3" -eq 0 ] || grep -q '^FAILED: ' "$2" ||
            say "fail $1: make check ended with the status $3"
    elif tail -n 1 "$SCRATCH/said" | grep -q "^tree: cannot fetch QEMU $1;"; then
        say "skip $1: cannot fetch QEMU $1"
    else
        say "fail $1: make check did not reach its end"
    fi
}
