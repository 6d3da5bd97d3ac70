#!/bin/sh
# Makes .venv and installs synfin into it; called by the Makefile, from the root of the checkout.
#
#   sh tools/venv.sh make             create .venv with the newest Python that fits
#   sh tools/venv.sh install EXTRAS   install synfin, editable, with these extras: "cli" or "cli,test,lint"
#
# Speaks on stderr only: one line of progress, or one line that says what is missing. A .venv that this call made and could
# not finish is removed again, also on Ctrl-C.
set -u

venv=.venv
log=out/setup.log
candidates=${PYTHON:-python3.13 python3.12 python3.11 python3}

say() { printf 'synfin: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

# A name on PATH proves nothing (a pyenv shim exists for versions that are not selected): only running it does.
newest_python() {
    best='' best_number=0
    for candidate in $candidates; do
        number=$("$candidate" -c 'import sys; print(sys.version_info[0] * 1000 + sys.version_info[1])' 2>/dev/null) || continue
        case $number in '' | *[!0-9]*) continue ;; esac
        if [ "$number" -ge 3011 ] && [ "$number" -gt "$best_number" ]; then
            best=$candidate best_number=$number
        fi
    done
    printf '%s' "$best"
}

# .venv/.unfinished stands from the first step to the end of the first install: while it does, .venv is ours to remove.
remove_unfinished() { [ ! -e "$venv/.unfinished" ] || rm -rf "$venv"; }

make_venv() {
    python=$(newest_python)
    [ -n "$python" ] || fail "no Python 3.11 or newer among: $candidates; install python3.11 (Debian: apt install python3 python3-venv)"
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    say "making $venv with Python $version, once"
    rm -rf "$venv"
    mkdir "$venv" && : >"$venv/.unfinished" || fail "cannot write in $(pwd), where $venv has to be made"
    if "$python" -c 'import ensurepip, venv' >"$log" 2>&1 && "$python" -m venv "$venv" >"$log" 2>&1; then
        return
    fi
    remove_unfinished
    fail "$python cannot make a virtual environment (no ensurepip): install python$version-venv (Debian: apt install python3-venv)"
}

# What pip says when the index cannot be reached, in the words of its several versions.
no_network='No matching distribution|Could not find a version|NewConnectionError|NameResolutionError|ConnectTimeout|ReadTimeout'
no_network="$no_network|Max retries|Temporary failure in name resolution|Network is unreachable|Connection (refused|reset|broken)|ProxyError"

# The packages that the extras $1 ask for, and the one that builds synfin, as pyproject.toml has them.
packages() {
    "$venv/bin/python" -c '
import sys, tomllib
project = tomllib.load(open("pyproject.toml", "rb"))
extras = project["project"]["optional-dependencies"]
print(*project["build-system"]["requires"], *(name for extra in sys.argv[1].split(",") for name in extras[extra]), sep=", ")
' "$1" 2>/dev/null
}

install_extras() {
    # A kill at the wrong moment leaves a Python without pip.
    if [ -e "$venv/.unfinished" ] && ! "$venv/bin/python" -c 'import pip' 2>/dev/null; then make_venv; fi
    say "installing synfin[$1] into $venv"
    if "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --retries 2 \
        --editable ".[$1]" >"$log" 2>&1; then
        rm -f "$venv/.unfinished"
        return
    fi
    needed=$(packages "$1")
    remove_unfinished
    if grep -Eq "$no_network" "$log"; then
        fail "no network? pip cannot download what synfin[$1] needs installed: $needed (its own words: $log)"
    fi
    fail "pip could not install synfin[$1]: $(grep -v '^ *$' "$log" | tail -n 1) (all of it: $log)"
}

trap 'remove_unfinished; exit 130' INT TERM
mkdir -p out 2>/dev/null && (: >"$log") 2>/dev/null || fail "cannot write $log in $(pwd)"
case ${1-} in
make) make_venv ;;
install) install_extras "$2" ;;
*) fail "usage: sh tools/venv.sh make | install EXTRAS" ;;
esac
