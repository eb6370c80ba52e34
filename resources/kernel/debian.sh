# Sourced by `fetch` and `build`: where kernels are kept, and Debian packages of any suite without
# touching the machine's own apt. What a kernel is made of is the business of those two.
#
# apt gets a private state directory whose sources are the suites that Debian kernels come from, at
# the mirror that the machine already uses. Every file is checked by apt against the signed index.

cache=${XDG_CACHE_HOME:-$HOME/.cache}/ravelin/kernel
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() { say "$*"; exit 1; }

# need PROGRAM=PACKAGE... (or FILE=PACKAGE): installs what is absent, as root; otherwise says what to install.
need() {
  local pair missing=()
  for pair in "$@"; do
    command -v "${pair%%=*}" >/dev/null || [ -e "${pair%%=*}" ] || missing+=("${pair#*=}")
  done
  [ ${#missing[@]} -eq 0 ] && return
  [ "$(id -u)" -eq 0 ] || die "missing: ${missing[*]}. Run: sudo apt-get install ${missing[*]}"
  say "installing ${missing[*]}"
  apt-get -qq update >&2
  DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "${missing[@]}" >/dev/null ||
    die "apt-get could not install ${missing[*]}"
}

# suites SUITE...: makes the private apt state and reads the indices of those suites.
suites() {
  local mirror security suite
  command -v apt-get >/dev/null || die 'kernels come as Debian packages, and there is no apt-get here'
  mirror=$(source_of main) security=$(source_of security)
  [ -n "$mirror" ] || die 'apt names no Debian mirror: check /etc/apt/sources.list and run apt-get update'
  apt_state=$cache/apt
  mkdir -p "$apt_state"/{lists/partial,archives/partial}
  : > "$apt_state/status"
  for suite in "$@"; do
    case $suite in
      *-security) [ -z "$security" ] || printf 'deb [signed-by=%s] %s %s main\n' "$keyring" "$security" "$suite" ;;
      *) printf 'deb [signed-by=%s] %s %s main\n' "$keyring" "$mirror" "$suite" ;;
    esac
  done > "$apt_state/sources.list"
  apt_options=(-qq
    -o "Dir::Etc::SourceList=$apt_state/sources.list" -o Dir::Etc::SourceParts=/dev/null
    -o "Dir::State::Lists=$apt_state/lists" -o "Dir::State::Status=$apt_state/status"
    -o "Dir::Cache=$apt_state" -o APT::Sandbox::User=root
    -o Acquire::Languages=none -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false)
  say "reading the package indices of $*"
  apt-get "${apt_options[@]}" update >&2
}

# source_of main|security: the address that this machine's apt has for Debian's archive.
source_of() {
  apt-get indextargets --format '$(CREATED_BY) $(REPO_URI) $(LABEL)' |
    awk -v want="$1" '$1 == "Packages" {
      label = ($3 " " $4); uri = $2
      if (want == "main" && label ~ /^Debian *$/) { print uri; exit }
      if (want == "security" && label ~ /^Debian[- ][Ss]ecurity/) { print uri; exit }
    }'
}

# newest REGEX: of the packages whose whole name matches, the one whose name has the highest version.
newest() {
  apt-cache "${apt_options[@]}" search --names-only "^$1\$" | awk '{print $1}' | sort -V | tail -n 1
}

# available PACKAGE: do the suites have it?
available() {
  [ -n "$(apt-cache "${apt_options[@]}" search --names-only "^${1//+/\\+}\$")" ]
}

# download PACKAGE DIRECTORY: the unpacked package, its hash compared with the signed index's.
download() {
  local expected file
  expected=$(apt-cache "${apt_options[@]}" show "$1" | awk '/^SHA256:/{print $2; exit}')
  (cd "$apt_state/archives" && apt-get "${apt_options[@]}" download "$1")
  file=$(ls -t "$apt_state/archives/$1"_*.deb | head -n 1)
  printf '%s  %s\n' "$expected" "$file" | sha256sum --quiet --check - >&2 ||
    die "$1: its hash is not the one in the signed index"
  dpkg-deb -x "$file" "$2"
  rm -f "$file"
}

# keep DIRECTORY NAME: hashes the files of a finished kernel and puts it in its place, all at once.
keep() {
  (cd "$1" && find . -type f ! -name SHA256SUMS -print0 | LC_ALL=C sort -z | xargs -0 sha256sum > SHA256SUMS)
  rm -rf "${cache:?}/$2"
  mv "$1" "$cache/$2"
}

# kept NAME: is this kernel in the cache, and every file as it was put there?
kept() {
  [ -f "$cache/$1/SHA256SUMS" ] || return 1
  (cd "$cache/$1" && sha256sum --quiet --check SHA256SUMS >&2) && return
  say "$cache/$1 is not what was put there: getting it again"
  return 1
}

# uncompressed VMLINUZ: the ELF image in a bzImage, by the payload's offset and length in the setup
# header (Documentation/arch/x86/boot.rst, payload_offset).
uncompressed() {
  local setup offset length magic
  setup=$(od -An -tu1 -j $((0x1f1)) -N1 "$1")
  offset=$(od -An -tu4 -j $((0x248)) -N4 "$1")
  length=$(od -An -tu4 -j $((0x24c)) -N4 "$1")
  offset=$(((setup + 1) * 512 + offset))
  magic=$(od -An -tx1 -j $offset -N4 "$1" | tr -d ' ')
  # The last four bytes are the size once uncompressed, behind the compressed stream.
  payload() { head -c $((offset + length - 4)) "$1" | tail -c +$((offset + 1)); }
  case $magic in
    fd377a58) payload "$1" | xz -dc --single-stream ;;
    28b52ffd) payload "$1" | zstd -dcq ;;
    02214c18) payload "$1" | lz4 -dcq ;;
    1f8b*) payload "$1" | gzip -dc ;;
    *) die "$1: unknown compression (magic $magic)" ;;
  esac
}
