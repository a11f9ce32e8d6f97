# shellcheck shell=sh
# The series as files and as commits; see tree and export.
#
# A topic is a folder of patches/$BASE and, in the tree, the commits that follow
# an empty one.  The subject of that begins with "TOPIC: ", and its message is
# the topic's cover letter.

AUTHOR='Reversible pvpanic'
EMAIL=pvpanic@localhost.invalid
COVER=0000-cover-letter.txt # no patch, and not in `series`
COVER_END='Patches:' # what follows in that file is not of the letter itself
# The topics that stand alone, without the others
CORE="1-pvpanic 2-reversible 3-machines"

# topics_of FOLDER: of an exported series, in order
topics_of() { sed -n 's,/.*,,p' "$1/series" | uniq; }

# series_id DIR: a fingerprint of an exported series
series_id() {
    [ -f "$1/series" ] || { printf 'none'; return; }
    {
        cat "$1/series"
        (cd "$1" && xargs -r cat -- < series)
        for topic in $(topics_of "$1"); do
            cat "$1/$topic/$COVER"
        done
    } | sha256sum | cut -d' ' -f1
}

# applied_id: the fingerprint of the patches that the tree was made from
applied_id() { cat "$SRC/.git/applied" 2> /dev/null || printf 'none'; }

# note_applied: the tree and the patches are the same now
note_applied() {
    series_id "$PATCHES" > "$SRC/.git/applied"
    git_src tag -f applied
}

# chosen_topics: those that $TOPICS stands for, in the order of the series
chosen_topics() {
    topics_there=$(topics_of "$PATCHES")
    case $TOPICS in
    all) say "$topics_there"; return 0 ;;
    core) topics_named=$CORE ;;
    *) topics_named=$TOPICS ;;
    esac
    [ -n "$(printf '%s' "$topics_named" | tr -d ' ')" ] ||
        die "TOPICS= names no topic; try TOPICS=core, or leave it out"
    set -f # a name is no pattern
    for topic in $topics_named; do
        say "$topics_there" | grep -qxF -e "$topic" ||
            die "TOPICS='$TOPICS': there is no topic '$topic'; there are:" \
                "all core $(say "$topics_there" | paste -s -d ' ')"
    done
    set +f
    for topic in $topics_there; do
        case " $topics_named " in
        *" $topic "*) say "$topic" ;;
        esac
    done
}

# patches_of TOPIC...: the lines of `series` that belong to these
patches_of() {
    for topic in "$@"; do
        grep "^$topic/" "$PATCHES/series"
    done
}

# commit_cover WORKTREE TOPIC: its cover letter as an empty commit, which is the
# same for everybody
commit_cover() {
    head -n 1 "$PATCHES/$2/$COVER" | grep -q "^$2: ." ||
        die "patches/$BASE/$2/$COVER does not begin with '$2: ' and a title"
    cover=$(GIT_AUTHOR_DATE=2000-01-01T00:00:00Z \
            GIT_COMMITTER_DATE=2000-01-01T00:00:00Z \
            git -C "$1" commit-tree -p HEAD -m "$(sed "/^$COVER_END\$/,\$d" \
                "$PATCHES/$2/$COVER")" 'HEAD^{tree}')
    git -C "$1" reset -q --soft "$cover"
}

# apply_topics COMMIT TOPIC...: that plus these, as a commit, whose name is left
# in $applied; or $failed is the patch that does not apply
apply_topics() {
    apply_to=$1; shift
    rm -rf "$BUILD/apply"
    git_src worktree prune
    # git am checks out what it changes
    git_src worktree add -q --no-checkout --detach "$BUILD/apply" "$apply_to"
    git -C "$BUILD/apply" read-tree HEAD
    failed=
    for topic in "$@"; do
        commit_cover "$BUILD/apply" "$topic"
        # git am has no fuzz: every line of context has to match
        # shellcheck disable=SC2046 # a list of files
        if ! (cd "$PATCHES" && git -C "$BUILD/apply" am -q --no-3way --keep-cr \
                  --committer-date-is-author-date \
                  $(patches_of "$topic" | sed "s,^,$PATCHES/,")); then
            failed=$(patches_of "$topic" | sed -n "$(cat "$(git \
                -C "$BUILD/apply" rev-parse --git-path rebase-apply/next)")p")
            break
        fi
    done
    applied=$(git -C "$BUILD/apply" rev-parse HEAD)
    git_src worktree remove -f "$BUILD/apply"
    [ -z "$failed" ] || say "$failed does not apply to" \
        "$(cat "$SRC/.git/origin")"
}

# apply_series: bring the branch to the base plus the patches, touching no
# more files than needed, so that a rebuild is small
apply_series() {
    # shellcheck disable=SC2046 # a list of topics
    apply_topics base $(topics_of "$PATCHES")
    [ -z "$failed" ] || return 1
    git_src reset -q --hard "$applied"
    note_applied
}

# subject_is_right SUBJECT: as QEMU's are
subject_is_right() {
    subject_wrong=
    case $1 in
    *.) subject_wrong="ends with a full stop" ;;
    *': '*) ;;
    *) subject_wrong="names no subsystem ('subsystem: what it does')" ;;
    esac
    [ "${#1}" -le 76 ] ||
        subject_wrong="has ${#1} columns, and 76 is the limit"
    [ -z "$subject_wrong" ] ||
        die "'$1' $subject_wrong; reword it: git rebase -i base"
}

has_no_patch() {
    die "the topic '$(printf '%s' "$seen" | sed 's/ $//; s/.* //')' has no" \
        "patch; commit one after its cover letter, or drop that:" \
        "git rebase -i base"
}

# topic_commits: "COMMIT TOPIC" for each empty commit of the tree; an error, if
# one is not the begin of a topic, or a patch is in none
topic_commits() {
    [ -z "$(git_src rev-list --merges base..series)" ] || die "$SRC has a" \
        "merge, which no patch would have; rebase instead: git rebase base"
    git_src log --reverse --format='%H %T %s' base..series |
    {
        tree=$(git_src rev-parse 'base^{tree}')
        seen=' ' count=1
        while read -r commit its subject; do
            topic=$(say "$subject" |
                sed -n 's/^\([1-9][0-9]*-[a-z][a-z0-9-]*\): .*/\1/p')
            case $subject in
            'fixup! '*|'squash! '*|'amend! '*)
                die "'$subject' is to become part of another commit; do that" \
                    "first: git rebase -i --autosquash base" ;;
            esac
            if [ "$its" != "$tree" ]; then
                [ -z "$topic" ] || die "'$subject' begins a topic, and changes" \
                    "files; make the cover letter an empty commit"
                [ "$seen" != ' ' ] || die "'$subject' is in no topic; move it" \
                    "behind a cover letter, an empty commit 'TOPIC: title':" \
                    "git rebase -i base"
                subject_is_right "$subject"
                count=$((count + 1))
            else
                [ -n "$topic" ] || die "'$subject' changes nothing, and is no" \
                    "cover letter, 'TOPIC: title' with a TOPIC like 1-pvpanic"
                case $seen in
                *" $topic "*) die "'$subject' begins a topic that was there" \
                    "before" ;;
                esac
                [ "$count" -gt 0 ] || has_no_patch
                seen="$seen$topic " count=0
                say "$commit $topic"
            fi
            tree=$its
        done
        [ "$count" -gt 0 ] || has_no_patch
    }
}

# export_topic DIR COVER END: the cover letter, and the patches up to END.  A
# patch's file changes when the patch does: it has no names of blobs, no number
# of patches, no version of git, and no sum of what one can read below.
export_topic() {
    mkdir "$1"
    {
        git_src cat-file commit "$2" | sed '1,/^$/d' | git stripspace
        printf '\n%s\n\n' "$COVER_END"
        git_src log --reverse --format=%s "$2..$3" | awk '{ print NR ". " $0 }'
    } > "$1/$COVER"
    git_src -c core.quotePath=true -c diff.algorithm=default \
        -c diff.noprefix=false -c diff.mnemonicPrefix=false \
        format-patch --quiet --output-directory "$1" \
        --no-signature --zero-commit --no-numbered --no-cover-letter \
        --no-thread --no-attach --no-base --no-renames --no-color \
        --no-ext-diff --no-textconv --no-indent-heuristic --no-stat \
        --full-index --unified=3 --filename-max-length=64 "$2..$3"
    # Without those names, nothing can be said of a binary file
    ! grep -lE '^(GIT binary patch|Binary files .* differ)$' "$1"/*.patch ||
        die "a patch with a binary file; make the file when it is needed"
    sed -i '/^diff --git /,$ { /^index [0-9a-f]\{40\}\.\./d; }' "$1"/*.patch
}

# export_series DIR: write the tree's commits to DIR, byte for byte the same
# whoever does it and with any git since 2.39
export_series() {
    rm -rf "$1"
    mkdir -p "$1"
    topic_commits > "$1/commits"
    last=
    while read -r cover topic; do
        [ -z "$last" ] || export_topic "$1/$last" "$last_cover" "$cover^"
        last=$topic last_cover=$cover
    done < "$1/commits"
    [ -z "$last" ] || export_topic "$1/$last" "$last_cover" series
    cut -d' ' -f2 "$1/commits" | while read -r topic; do
        (cd "$1" && printf '%s\n' "$topic"/*.patch)
    done > "$1/series"
    rm "$1/commits"
}
