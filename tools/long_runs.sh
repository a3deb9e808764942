#!/usr/bin/env bash
# Runs that take hours, in the background beside other work: they go on from the committed tables.
#
#   tools/long_runs.sh start [THREADS]   from a copy of the package at HEAD, niced to 19 (default: 1 thread)
#   tools/long_runs.sh status            what is done, what is left, and about how long it takes
#   tools/long_runs.sh stop              between two epochs nothing is lost, in a short one seconds are
#
# tools/long_runs.txt says what is run. LONG_RUNS_LIST names another list, LONG_RUNS_PYTHON the Python
# (default: that of .venv-test, else the one on the PATH), LONG_RUNS_OUT the folder of the tables,
# LONG_RUNS_STATE the folder of log and copies (default: .long_runs).
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
state=${LONG_RUNS_STATE:-$root/.long_runs}
list=${LONG_RUNS_LIST:-$root/tools/long_runs.txt}
out=${LONG_RUNS_OUT:-$root/docs/results/fig3_width}
python=${LONG_RUNS_PYTHON:-$root/.venv-test/bin/python}
[ -x "$python" ] || python=$(command -v python3)
if [ -z "${SKPOISON_DATA:-}" ] && [ -d "$root/../shared/data" ]; then
  SKPOISON_DATA=$(cd "$root/../shared/data" && pwd)
fi
export SKPOISON_DATA=${SKPOISON_DATA:-}

lines() { grep -v -e '^#' -e '^[[:space:]]*$' "$list"; }
is_running() { [ -f "$state/pid" ] && kill -0 -- "-$(cat "$state/pid")" 2>/dev/null; }

start() {
  local threads=${1:-1} commit
  [[ $threads =~ ^[1-9][0-9]*$ ]] || { echo "THREADS must be an integer >= 1, got $threads" >&2; exit 2; }
  is_running && { echo "Already running: tools/long_runs.sh status, or stop it first." >&2; exit 1; }
  commit=$(git rev-parse --short=12 HEAD)
  local copy=$state/$commit
  if [ ! -d "$copy" ]; then
    mkdir -p "$copy.new"
    git archive HEAD skpoison examples | tar -x -C "$copy.new"
    mv "$copy.new" "$copy"
  fi
  mkdir -p "$state"
  lines >"$state/list"
  # A group of its own: the shell may end, and `stop` reaches all of it.
  setsid nice -n 19 bash -c '
    echo $$ >"$1/pid"
    cd "$2"
    export PYTHONPATH=$2 OMP_NUM_THREADS=$4
    while read -r script arguments; do
      # Split into words on purpose.
      "$5" "$script" $arguments --threads "$4" --commit "$6" --out "$3" </dev/null || echo "failed: $script $arguments"
    done <"$1/list"
    echo "All of the list was run."
  ' long_runs "$state" "$copy" "$out" "$threads" "$python" "$commit" >>"$state/log" 2>&1 </dev/null &
  echo "Started at commit $commit on $threads thread(s); log: $state/log"
}

status() {
  if is_running; then echo "Running, last lines of $state/log:"; else echo "Not running. Last lines of the log:"; fi
  tail -n 3 "$state/log" 2>/dev/null || true
  while read -r script arguments; do
    echo
    echo "$script $arguments"
    PYTHONPATH=$root "$python" "$script" $arguments --out "$out" --status </dev/null
  done < <(lines)
}

stop() {
  is_running || { echo "Not running."; return; }
  kill -- "-$(cat "$state/pid")"
  for _ in $(seq 100); do is_running || break; sleep 0.1; done
  echo "Stopped."
}

case ${1:-} in
  start) start "${2:-}" ;;
  status) status ;;
  stop) stop ;;
  *) sed -n '2,10p' "$0" | cut -c3- >&2; exit 2 ;;
esac
