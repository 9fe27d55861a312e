#!/usr/bin/env bash
# Train in the background: the guide's Quick Start. Extra flags go to fine_tune_epistemic_stance.py as they are.
#   ./start_training.sh                      the guide's run: 200 epochs, a checkpoint every 10
#   ./start_training.sh --model demo --epochs 10 --output-dir demo_run
set -euo pipefail
cd "$(dirname "$0")"

python=.venv/bin/python
if [ ! -x "$python" ]; then
    printf 'start_training: there is no virtual environment at .venv\nhint: run `make setup` first\n' >&2
    exit 2
fi

for flag in "$@"; do
    case "$flag" in --help | --dry-run) exec "$python" fine_tune_epistemic_stance.py "$@" ;; esac
done

# Model, corpus, memory, disk and the output folder's lock are checked here, where the messages can be seen.
"$python" fine_tune_epistemic_stance.py "$@" --dry-run

log="training_run_$(date +%Y%m%d_%H%M%S).log"
PYTHONUNBUFFERED=1 nohup "$python" fine_tune_epistemic_stance.py "$@" >"$log" 2>&1 </dev/null &
pid=$!

# Its header names the epoch log. It appears once the run holds its folder: only then has it really started.
until epoch_log=$(sed -n 's/^  log  *//p' "$log") && [ -n "$epoch_log" ]; do
    if ! kill -0 "$pid" 2>/dev/null; then
        wait "$pid" && code=0 || code=$?
        cat "$log" >&2
        [ "$code" -ne 0 ] || echo "start_training: nothing runs in the background, there was nothing left to train" >&2
        exit "$code"
    fi
    sleep 0.2
done
echo "$pid" >training.pid
cat <<END
Training runs in the background (PID $pid, also in training.pid).
  watch it        tail -f $log
  epoch by epoch  tail -f $(dirname "$epoch_log")/training_log_*.jsonl | jq '{epoch: .epoch, loss: .avg_loss, acc: .avg_accuracy}'
  still alive?    ps -p $pid
  stop it         kill $pid    (saves its state; continue with ./start_training.sh --resume and the same flags)
END
