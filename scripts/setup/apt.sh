# shellcheck shell=sh
# What comes from Debian's mirrors: lists, sources, packages.  Only
# setup/packages installs any.

# What fits this machine's release only
RELEASE_DOWNLOADS=$DOWNLOADS/$(. /etc/os-release &&
                               printf '%s' "${VERSION_CODENAME:-unknown}")
mkdir -p "$RELEASE_DOWNLOADS"

# The private apt configuration: the machine's own mirrors and keys, with
# sources for the suite that has the base.  Nothing of the system's is touched.
case $BASE in
7.2) BASE_SUITE=bookworm ;;
10.0) BASE_SUITE=trixie ;;
*) BASE_SUITE=sid ;; # where a new line comes first
esac
APT=$CACHE/apt/$BASE_SUITE
apt_options() {
    printf '%s ' "-o Dir::Etc::sourcelist=$APT/sources.list" \
        "-o Dir::Etc::sourceparts=/dev/null" \
        "-o Dir::State::Lists=$APT/lists" "-o Dir::Cache=$APT/cache" \
        "-o APT::Sandbox::User=root"
}
# shellcheck disable=SC2046 # options, split on purpose
apt_private() { command=$1; shift; "$command" $(apt_options) "$@"; }

# apt_update: fetch the private configuration's lists, once a day at most
apt_update() {
    codename=$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}")
    key=
    for file in /usr/share/keyrings/debian-archive-keyring.gpg \
                /usr/share/keyrings/debian-archive-keyring.pgp; do
        [ -e "$file" ] && key="[signed-by=$file] " && break
    done
    mkdir -p "$APT/lists/partial" "$APT/cache/archives/partial"
    apt-get indextargets --no-release-info \
        --format "\$(RELEASE) \$(REPO_URI)" 'Created-By: Packages' |
        sort -u | while read -r suite uri; do
            pocket=${suite#"$codename"}
            case $pocket in
            ''|-updates|-security) ;;
            *) continue ;;
            esac
            say "deb $key$uri $suite main"
            if [ "$BASE_SUITE" != sid ] || [ -z "$pocket" ]; then
                say "deb-src $key$uri $BASE_SUITE$pocket main"
            fi
            if [ "$codename" = bookworm ] && [ -z "$pocket" ]; then
                say "deb $key$uri bookworm-backports main"
            fi
        done > "$APT/sources.list.new"
    [ -s "$APT/sources.list.new" ] || die "apt knows no source of the suite" \
        "'$codename': this needs Debian 12 or 13 with a mirror in" \
        "/etc/apt/sources.list or sources.list.d"
    if ! cmp -s "$APT/sources.list.new" "$APT/sources.list" ||
       [ -z "$(find "$APT/updated" -mtime -1 2>/dev/null)" ]; then
        mv "$APT/sources.list.new" "$APT/sources.list"
        rm -f "$APT/updated"
        apt_private apt-get update --error-on=any
        touch "$APT/updated"
    fi
}

# download FOLDER PACKAGE...: these, and the libraries that they need and that
# are not installed here.  The folder is complete, or it is not there.
download() {
    apt_update
    rm -rf "$1" "$1.new"
    mkdir -p "$1.new"
    (
        cd "$1.new" && shift
        apt_private apt-get -s install --no-install-recommends "$@" > simulated
        # shellcheck disable=SC2046 # a list of words
        apt_private apt-get download "$@" \
            $(sed -n 's/^Inst \(lib[^ ]*\).*/\1/p' simulated)
        rm simulated
    )
    mv "$1.new" "$1"
}

# unpack_packages FOLDER TO: those in a folder
unpack_packages() {
    for package in "$1"/*.deb; do
        dpkg-deb -x "$package" "$2"
    done
}
