#!/bin/sh
# Makes .venv/ in the repository root with the pinned packages of tests/witness/requirements.txt. Does nothing when
# it is up to date. Prints the interpreter's path as its last line.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
requirements="$root/tests/witness/requirements.txt"
venv="${OCTET_VENV:-$root/.venv}"
stamp="$venv/requirements.stamp"
if [ -x "$venv/bin/python" ] && [ -f "$stamp" ] && cmp -s "$requirements" "$stamp"; then
  echo "$venv/bin/python"
  exit 0
fi
# Two test programs may ask at once: only one builds.
mkdir -p "$(dirname "$venv")"
exec 9>"$venv.tmp.lock"
if command -v flock >/dev/null 2>&1; then flock 9; fi
if [ -x "$venv/bin/python" ] && [ -f "$stamp" ] && cmp -s "$requirements" "$stamp"; then
  echo "$venv/bin/python"
  exit 0
fi
python=${PYTHON:-python3}
if ! "$python" -c 'import venv, ensurepip' >/dev/null 2>&1; then
  echo "make_venv: $python has no venv module; install it (Debian: apt-get install python3-venv)" >&2
  exit 1
fi
rm -rf "$venv"
"$python" -m venv "$venv" >&2
"$venv/bin/python" -m pip install --disable-pip-version-check --quiet --only-binary :all: -r "$requirements" >&2
cp "$requirements" "$stamp"
echo "$venv/bin/python"
