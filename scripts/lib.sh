# What the scripts share: saying, refusing, and asking the system's package manager. Sourced, never run.
# shellcheck shell=bash

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export ROOT

# One progress line, prefixed by the script that speaks.
say() { printf '%s: %s\n' "${0##*/}" "$*"; }

# One line that names the thing and the remedy, then failure.
die() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

is_root() { [ "$(id -u)" -eq 0 ]; }
have() { command -v "$1" >/dev/null 2>&1; }

# Runs a command without a word; shows what it wrote only if it fails.
quietly() {
  local log status=0
  log=$(mktemp)
  "$@" >"$log" 2>&1 </dev/null || status=$?
  if [ "$status" -ne 0 ]; then
    printf -- '--- %s (exit %s)\n' "$*" "$status" >&2
    tail -n 60 "$log" >&2
  fi
  rm -f "$log"
  return "$status"
}

apt_quiet() { DEBIAN_FRONTEND=noninteractive quietly apt-get -q -y -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=120 "$@"; }

# Package lists are fetched once per run, and only when something is to be installed.
apt_update_once() {
  [ -z "${APT_UPDATED:-}" ] || return 0
  apt_quiet update || return 1
  APT_UPDATED=1
}

apt_install() {
  have apt-get || return 1
  apt_quiet install --no-install-recommends "$@" 2>/dev/null && return 0
  apt_update_once && apt_quiet install --no-install-recommends "$@"
}

# Exit status 0 if the machine's own archives offer the package (in at least the version given).
apt_offers() {
  local version
  version=$(apt-cache policy "$1" 2>/dev/null | awk '/Candidate:/ {print $2}')
  [ -n "$version" ] && [ "$version" != "(none)" ] && dpkg --compare-versions "$version" ge "${2:-0}"
}

# The Debian mirror that this machine's own sources name; nothing if it has none (Ubuntu, Fedora …).
debian_mirror() {
  if [ -n "${PORTYARD_DEBIAN_MIRROR:-}" ]; then
    printf '%s\n' "$PORTYARD_DEBIAN_MIRROR"
    return
  fi
  have apt-get || return 0
  # A release named without a dash is the main archive: bookworm, not bookworm-updates or bookworm-security.
  # shellcheck disable=SC2016 # $(…) is apt's own placeholder
  apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
    awk '$1 !~ /-/ && $2 ~ /\/debian\/?$/ || $2 ~ /^mirror\+file:.*debian\.list/ && $1 !~ /-/ {print $2; exit}'
}

# How this machine's apt reaches its mirror (proxy, time-outs, validity checks), for an apt elsewhere. Paths of this
# machine, such as a CA bundle's, are left out: they mean nothing there.
apt_transport_settings() {
  have apt-config || return 0
  apt-config dump --format '%F "%v";%n' |
    grep -Ei '^Acquire::(Check-Valid-Until|Check-Date|Retries|ForceIPv4|(http|https|ftp)::(Proxy|Timeout|Pipeline-Depth)\b)' |
    grep -v '"";$' || true
}

# The machine's bundle of trusted CAs, as its own settings name it, else the distribution's.
ca_bundle() {
  local path
  for path in "${PIP_CERT:-}" "${SSL_CERT_FILE:-}" "${REQUESTS_CA_BUNDLE:-}" "${CURL_CA_BUNDLE:-}" \
    /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem; do
    if [ -n "$path" ] && [ -r "$path" ] && [ -s "$path" ]; then
      printf '%s\n' "$path"
      return
    fi
  done
}
