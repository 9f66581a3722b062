#!/usr/bin/env bash
# Everything that has to hold before a change goes in: format, lints, tests of the crates, and
# then the real server against the WebSocket conformance suite, official SDKs and a browser.
#
# Usage: tests/run.sh [STEP...]      without steps: all of them
# Steps: fmt clippy cargo benches release strace conformance sdk python web
#
# Works from a clean clone: what is missing is installed (apt packages as root or with sudo, npm
# packages beside the tests, Python packages and the conformance suite under .cache/). What cannot
# be installed is a failure, never a skip. Needs cargo, and a kernel with io_uring. Logs:
# tests/artifacts/.
# Exit status: 0 if nothing failed. The last line is the count: `N passed, N failed`.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
root=$PWD
target=${CARGO_TARGET_DIR:-$root/target}
logs=$root/tests/artifacts
export RINGCHAT_BIN=$target/release/ringchat
export AUTOBAHN_DIR=${AUTOBAHN_DIR:-$root/.cache/autobahn}
export CARGO_TERM_COLOR=never
# Settings of whoever runs this are not the tests' settings.
unset $(compgen -e | grep '^RINGCHAT_' | grep -v '^RINGCHAT_BIN$') NODE_OPTIONS

passed=0
failed=0
summary=()
server=

cleanup() {
    [ -z "$server" ] || kill "$server" 2>/dev/null
}
trap cleanup EXIT

# ---- installing

updated=
apt_install() {
    local sudo=
    [ "$(id -u)" = 0 ] || sudo="sudo -n"
    command -v apt-get >/dev/null || { echo "no apt-get: install by hand: $*"; return 1; }
    if [ -z "$updated" ]; then
        $sudo apt-get update -q || return 1
        updated=1
    fi
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install -qy --no-install-recommends "$@"
}

# need COMMAND PACKAGE...: the command is there, if need be after installing the packages.
need() {
    local name=$1
    shift
    command -v "$name" >/dev/null && return
    echo "$name is missing: installing $*"
    apt_install "$@" && command -v "$name" >/dev/null && return
    echo "$name is missing and could not be installed (packages: $*)"
    return 1
}

# Else the screenshots show boxes.
need_emoji() {
    need fc-list fontconfig || return 1
    [ -n "$(fc-list ':charset=1f44d')" ] || apt_install fonts-noto-color-emoji
}

need_node() {
    need node nodejs && need npm npm || return 1
    local major
    major=$(node -p 'process.versions.node.split(".")[0]')
    [ "$major" -ge 20 ] || { echo "node $major is too old: 20 or newer is needed"; return 1; }
}

need_venv() {
    need python3 python3 || return 1
    python3 -m venv --help >/dev/null 2>&1 && python3 -c 'import ensurepip' 2>/dev/null ||
        apt_install python3-venv
}

need_cargo() {
    command -v cargo >/dev/null || { echo "cargo is missing: install Rust first"; return 1; }
    need cc build-essential
}

need_component() {
    cargo "$1" --version >/dev/null 2>&1 || rustup component add "$2"
}

# The real server and the load generator, for the steps that talk to them; the bench's floor is not
# among them.
need_server() {
    need_cargo && cargo build --release -p ringchat -p ringchat-loadgen
}

# ---- the steps; each prints what it does and returns whether it went well

step_fmt() {
    need_cargo && need_component fmt rustfmt && cargo fmt --all --check -- --color never
}

step_clippy() {
    need_cargo && need_component clippy clippy &&
        cargo clippy --workspace --all-targets -- -D warnings
}

step_cargo() {
    need_cargo && cargo test --workspace --no-fail-fast
}

# The benchmark's script; its Rust parts are tested by `cargo`. Nothing is measured.
step_benches() {
    need python3 python3 &&
        python3 -m unittest discover -v -s benches/server/harness -t benches/server &&
        benches/server/run --help
}

step_release() {
    need_server
}

# With the whole workspace's features, as `cargo` has built it: alone, all would be built again.
step_strace() {
    need_cargo && need strace strace &&
        cargo test --workspace --test it -- --ignored --exact --nocapture \
            placement::sockets_are_served_by_the_ring
}

step_conformance() {
    need_server && need_venv || return 1
    tests/conformance/setup.sh "$AUTOBAHN_DIR" || return 1
    env -u RINGCHAT_BIN "$RINGCHAT_BIN" --listen 127.0.0.1:0 --echo \
        --set websocket.message_size_limit=20971520 --set client.queue_max_size=104857600 \
        >"$logs/server.log" 2>&1 &
    server=$!
    local address= end=$((SECONDS + 20)) status
    while [ -z "$address" ]; do
        address=$(sed -n 's|.*http://\(127\.0\.0\.1:[0-9]*\)/.*|\1|p' "$logs/server.log" | head -n 1)
        kill -0 "$server" 2>/dev/null && [ $SECONDS -lt $end ] ||
            { cat "$logs/server.log"; echo "the server does not listen"; return 1; }
    done
    tests/conformance/run.sh --fast "ws://$address/echo"
    status=$?
    kill "$server" && wait "$server"
    server=
    return $status
}

step_sdk() {
    need_server && need_node && npm --prefix tests/sdk ci --no-audit --no-fund &&
        npm --prefix tests/sdk test
}

# The client and the server API from Python, in an environment that is made anew when the list of
# packages has changed.
step_python() {
    need_server && need_venv || return 1
    local tests=tests/sdk/python venv=$root/.cache/python-sdk
    if ! cmp -s "$tests/requirements.txt" "$venv/installed.txt"; then
        python3 -m venv --clear "$venv" &&
            "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$tests/requirements.txt" &&
            cp "$tests/requirements.txt" "$venv/installed.txt" || return 1
    fi
    PYTHONDONTWRITEBYTECODE=1 "$venv/bin/python" -m unittest discover -v -s "$tests"
}

step_web() {
    need_server && need_node && need chromium chromium && need_emoji &&
        npm --prefix tests/web ci --no-audit --no-fund &&
        CHROMIUM=$(command -v chromium) npm --prefix tests/web test
}

# ---- running and counting

# Tests counted in a log: cargo's, node's and the conformance suite's own counts. Prints
# "PASSED FAILED".
count() {
    awk '
        /^test result:/ { for (i = 1; i < NF; i++) { if ($(i+1) ~ /^passed/) p += $i; if ($(i+1) ~ /^failed/) f += $i } }
        /^(#|ℹ) pass [0-9]+$/ { p += $3 }
        /^(#|ℹ) fail [0-9]+$/ { f += $3 }
        /^(#|ℹ) cancelled [0-9]+$/ { f += $3 }
        /^Ran [0-9]+ tests? in/ { p += $2 }
        /^FAILED \((failures|errors)=/ { gsub(/[^0-9]+/, " "); n = split($0, a, " "); for (i = 1; i <= n; i++) { f += a[i]; p -= a[i] } }
        /^  OK [0-9]+, NON-STRICT/ { gsub(",", ""); p += $2 + $4 + $6; f += $8 + $10 }
        END { print p + 0, f + 0 }
    ' "$1"
}

run() {
    local name=$1 log=$logs/$1.log start=$SECONDS status p f line
    echo "=== $name"
    "step_$name" >"$log" 2>&1
    status=$?
    read -r p f < <(count "$log")
    # A step without tests of its own is one; a failure that no test shows is one too.
    if [ $status -eq 0 ]; then
        [ $((p + f)) -gt 0 ] || p=1
    else
        [ "$f" -gt 0 ] || f=1
        echo "--- from $log"
        grep -nE -A 5 '^test .* FAILED|panicked at|^ *not ok|^error|^(FAIL|ERROR):|^FAILED' "$log" | head -n 100
        echo "--- the end of it"
        tail -n 50 "$log"
    fi
    passed=$((passed + p))
    failed=$((failed + f))
    line=$(printf '%-12s %5d passed %4d failed  %4d s' "$name" "$p" "$f" $((SECONDS - start)))
    summary+=("$line")
    echo "$line"
}

mkdir -p "$logs"
steps=("$@")
[ ${#steps[@]} -gt 0 ] || steps=(fmt clippy cargo benches release strace conformance sdk python web)
for step in "${steps[@]}"; do
    declare -F "step_$step" >/dev/null || { echo "no such step: $step" >&2; exit 2; }
done
for step in "${steps[@]}"; do
    run "$step"
done

echo
echo "=== summary"
printf '%s\n' "${summary[@]}"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
