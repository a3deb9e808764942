#!/usr/bin/env bash
# Everything that wants a GPU, in one command, for a machine that is lent for minutes: the tests marked
# gpu, bench_gpu.py, and figure 3 at n = 60,000 (recipe "first") as far as time allows, going on from the
# committed table. Each result lies in --out as soon as it is there, in eight files (as many as a machine
# that is lent may give back).
#
#   benchmarks/gpu.sh [--device cuda|cpu|pretend] [--scale full|smoke] [--out DIR] [--wheels DIR] [--seconds N] [--commit SHA]
#
# Uses the `python` on the PATH, which has torch; what else is missing comes from wheels in --wheels.
# Scale full reads MNIST in $SKPOISON_DATA; scale smoke needs digits only, and runs on a CPU too, or on the
# pretend GPU of tests/gpu, which CI uses. What it writes there has "pretend" for the name of the card.
# Ends within --seconds (default: 540). The commit stands in the table: name it with --commit where
# there is no git. CONTRIBUTING.md says how to commit what it made.
set -uo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
device=cuda scale=full out=gpu_results wheels= seconds=540 commit=
usage() { sed -n '7p' "$0" | cut -c3- >&2; exit 2; }
while [ $# -gt 0 ]; do
  [ $# -ge 2 ] || usage
  case $1 in
    --device) device=$2 ;; --scale) scale=$2 ;; --out) out=$2 ;;
    --wheels) wheels=$2 ;; --seconds) seconds=$2 ;; --commit) commit=$2 ;; *) usage ;;
  esac
  shift 2
done
[[ $device =~ ^(cuda|cpu|pretend)$ ]] || { echo "--device must be cuda, cpu or pretend, got $device" >&2; exit 2; }
[[ $scale =~ ^(full|smoke)$ ]] || { echo "--scale must be full or smoke, got $scale" >&2; exit 2; }
[ "$device/$scale" != pretend/full ] || { echo "--scale must be smoke with --device pretend, got full" >&2; exit 2; }
[[ $seconds =~ ^[1-9][0-9]*$ ]] || { echo "--seconds must be an integer >= 1, got $seconds" >&2; exit 2; }
if [ "$scale" = full ] && [ ! -d "${SKPOISON_DATA:-}" ]; then
  echo "\$SKPOISON_DATA must be the folder with MNIST at scale full, got '${SKPOISON_DATA:-}'" >&2; exit 2
fi
mkdir -p "$out" || exit 2
out=$(cd "$out" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PYTHONPATH=$root:$work/site:$root/tests/gpu PYTHONUNBUFFERED=1 MPLBACKEND=agg
run=(python) tests=$root/tests/gpu rounds=2
# CI has run the other tests by then.
[ "$scale" = full ] || { tests=$tests/test_agreement.py rounds=1; }
[ "$device" != pretend ] || { run=(python -m pretend_cuda) device=cuda; export OMP_NUM_THREADS=1; }
# Two threads on small nets are slower than one wherever another process has a core.
[ "$device" = cuda ] || export OMP_NUM_THREADS=1
left() { echo $((seconds - SECONDS)); }
status=0
say() { echo "$*" | tee -a "$out/log.txt"; }
step() { # NAME SECONDS COMMAND...: a step that fails does not stop the others
  local name=$1 limit=$2 code=0
  shift 2
  say "== $name (at $SECONDS s)"
  [ "$limit" -gt 0 ] || { say "no time left for it"; status=1; return; }
  timeout -k 5 "$limit" "$@" >>"$out/log.txt" 2>&1 || code=$?
  tail -n 3 "$out/log.txt"
  [ "$code" = 0 ] || { say "$name ended with $code"; status=1; }
}
at_most() { local rest; rest=$(left); echo $(($1 < rest ? $1 : rest)); }

for name in skorch sklearn narwhals tabulate scipy joblib threadpoolctl tqdm pandas matplotlib pytest pytest_timeout; do
  python -c "import $name" 2>/dev/null && continue
  package=${name/sklearn/scikit-learn}
  [ -n "$wheels" ] || { echo "$package is missing: name a folder of wheels with --wheels" >&2; exit 2; }
  python -m pip install -q --no-index --no-deps --find-links "$wheels" --target "$work/site" "${package/_/-}" || exit 2
done

commit=${commit:-$(git -C "$root" describe --always --dirty=+ --abbrev=12 --exclude='*' 2>/dev/null || echo unknown)}
machine() {
  nvidia-smi 2>&1
  python -m pip list 2>/dev/null | grep -i -E '^(torch|skorch|scikit-learn|numpy|scipy|pandas) '
  python -c "import sys, torch; print(sys.version); print('CUDA', torch.version.cuda, 'cuDNN', torch.backends.cudnn.version())"
  echo "commit $commit"
  lscpu | grep 'Model name'
}
machine >"$out/machine.txt" 2>&1
: >"$out/log.txt"

# Warnings of this machine's versions are not what is tested here.
step tests "$(at_most 120)" python -m pytest -m gpu -o filterwarnings=default -p no:cacheprovider -v -rs \
  --junitxml "$out/gpu_tests.xml" "$tests"
step bench_gpu "$(at_most 150)" "${run[@]}" "$root/benchmarks/bench_gpu.py" --scale "$scale" --device "$device" --rounds "$rounds" --out "$out"

# Figure 3 writes a file a cell: they are packed beside the table, again and again while it runs.
fig3=$root/examples/paper/fig3_width.py committed=$root/docs/results/fig3_width
pack() {
  cp "$work"/fig3/fig3_width_* "$out" 2>/dev/null
  (cd "$work/fig3" 2>/dev/null && find . -name '*.npz' | tar -czf "$out/.cells" -T - && mv "$out/.cells" "$out/fig3_cells.tar.gz")
}
watch() { while sleep 10; do pack; done; }
watch &
watcher=$!
args=(--recipe first --scale "$scale" --device "$device" --protocols paper --out "$work/fig3" --take "$committed" --commit "$commit")
# A cell at width 100,000 is under way when the time is over: it has 60 s to end.
step fig3 "$(($(left) - 15))" "${run[@]}" "$fig3" "${args[@]}" --max-seconds "$(($(left) - 75))"
kill "$watcher" 2>/dev/null
pack
say "== done at $SECONDS s, status $status; results in $out"
exit $status
