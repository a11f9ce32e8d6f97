# shellcheck shell=sh
# Which qtests there are, and running one.  What is in here decides whether they
# pass: see key_of in one-commit.sh.

# qtests KIND...: those of scripts/check/qtests that this line has
qtests() {
    for kind in "$@"; do
        sed -n "s/^$kind \([^ ]*\).*/\1/p" "$ROOT/scripts/check/qtests"
    done | grep -vxF -e "$(absent_qtests)" || true
}

# The series' own paths of bios-tables-test
TABLES="/x86_64/acpi/q35/pvpanic-builtin /x86_64/acpi/q35/pvpanic-isa-neutralised"

# tables_are_old: Debian 12 has upstream's stable releases as diffs, which lack
# the tables that changed: binary files.  The base's own paths fail, too.
# tests/machines/test_side_by_side compares the tables with the base's.
tables_are_old() {
    grep -qs '^v[0-9.]*\.diff' "$SRC/debian/patches/series"
}
TABLES_ARE_OLD="the base's tables are older than the base"

# without_kvm COMMAND...: where there is no KVM.  QEMU's own tests take it where
# they may write to it, and two of them fail in the base where it opens without
# really working.
without_kvm() {
    if [ ! -w /dev/kvm ]; then
        "$@"
    elif ! "$ROOT/scripts/no-kvm" true; then
        say "KVM cannot be hidden here: no mount namespace" >&2
        "$@"
    else
        "$ROOT/scripts/no-kvm" "$@"
    fi
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
        timeout "${QTEST_TIMEOUT:-600}" tests/*/"$run_name" "$@"
    if [ "$run_name" = bios-tables-test ]; then
        without_kvm "$@"
    else
        "$@"
    fi
}
