# shellcheck shell=sh
# The series as files and as commits; see tree and export.

AUTHOR='Reversible pvpanic'
EMAIL=pvpanic@localhost.invalid

# series_id DIR: a fingerprint of an exported series
series_id() {
    [ -f "$1/series" ] || { printf 'none'; return; }
    (cd "$1" && xargs -r cat -- series < series) | sha256sum | cut -d' ' -f1
}

# applied_id: the fingerprint of the patches that the tree was made from
applied_id() { cat "$SRC/.git/applied" 2> /dev/null || printf 'none'; }

# note_applied: the tree and the patches are the same now
note_applied() {
    series_id "$PATCHES" > "$SRC/.git/applied"
    git_src tag -f applied
}

# apply_series: bring the branch to the base plus the patches, touching no
# more files than needed, so that a rebuild is small
apply_series() {
    git_src worktree prune
    rm -rf "$BUILD/apply"
    git_src worktree add -q --detach "$BUILD/apply" base
    # git am has no fuzz: every line of context has to match
    apply_rc=0
    while read -r patch; do
        [ -n "$patch" ] || continue
        git -C "$BUILD/apply" am -q --committer-date-is-author-date \
            --no-3way --keep-cr "$PATCHES/$patch" || { apply_rc=1; break; }
    done < "$PATCHES/series"
    if [ "$apply_rc" -ne 0 ]; then
        say "$patch does not apply to $(cat "$SRC/.git/origin")"
        git_src worktree remove -f "$BUILD/apply"
        return 1
    fi
    head=$(git -C "$BUILD/apply" rev-parse HEAD)
    git_src worktree remove -f "$BUILD/apply"
    git_src reset -q --hard "$head"
    note_applied
}

# export_series DIR: write the tree's commits to DIR, byte for byte the same
# whoever does it and with any git since 2.39
export_series() {
    rm -rf "$1"
    mkdir -p "$1"
    git_src -c core.quotePath=true -c diff.algorithm=default \
        -c diff.noprefix=false -c diff.mnemonicPrefix=false \
        format-patch --quiet --output-directory "$1" \
        --no-signature --zero-commit --no-numbered --no-cover-letter \
        --no-thread --no-attach --no-base --no-renames --no-color \
        --no-ext-diff --no-textconv --no-indent-heuristic \
        --full-index --stat=72 --unified=3 --filename-max-length=64 base..series
    (cd "$1" && printf '%s\n' *.patch | grep -v '^\*' > series || true)
}
