#!/bin/sh
# A detector from real traffic, end to end, on this machine's loopback only:
# capture -> argus -> CSV -> images -> one round of two stations -> classifier -> fresh captures -> verdicts.
#
#   sudo apt-get install argus-server argus-client tcpdump
#   sudo sh examples/live-detect.sh OUT          (root: only for capturing on lo; about two minutes)
#
# The traffic is that of live_traffic.py beside this file: bounded, ours, and all of it within 127.0.0.0/8.
set -eu
OUT=${1:?the folder to write}
HERE=$(cd "$(dirname "$0")" && pwd)
PYTHON=${PYTHON:-python3}
COLLABDM=${COLLABDM:-collabdm}
NET=127.77.0.0/16 SCANNER=127.77.9.9
FIELDS="stime saddr daddr dur proto sport dport state spkts dpkts sbytes dbytes sload dload sloss dloss srate drate swin dwin tcprtt synack ackdat"
for tool in argus ra tcpdump; do
    command -v "$tool" >/dev/null || { echo "error: $tool: got none; expected it on PATH; fix: apt-get install argus-server argus-client tcpdump" >&2; exit 2; }
done
mkdir -p "$OUT/captures"

# capture NAME KIND SEED EXCHANGES: real packets to $OUT/captures/NAME.csv, one flow a line.
capture() {
    base=$OUT/captures/$1
    # -c bounds the capture whatever happens; -Z root: the folder may be root's alone.
    tcpdump -i lo -n -q -U -Z root -c 200000 -w "$base.pcap" "net $NET" 2>"$base.log" &
    dump=$!
    tries=0
    until grep -q "listening on" "$base.log" || [ $tries -ge 50 ]; do sleep 0.1; tries=$((tries + 1)); done
    "$PYTHON" "$HERE/live_traffic.py" --kind "$2" --seed "$3" --exchanges "$4" || { kill "$dump"; exit 1; }
    sleep 0.5
    kill -INT "$dump"
    wait "$dump" || true
    argus -X -r "$base.pcap" -w "$base.argus"
    # man: argus's own status records, no flows. -n -u: numbers for ports and times; no -p would round to milliseconds.
    # shellcheck disable=SC2086
    ra -X -r "$base.argus" -n -u -p 6 -c , -s $FIELDS - 'not man' >"$base.csv"
}

# Training wants labels; here whatever the scanner's address takes part in is a scan.
labelled() {
    awk -F, -v OFS=, -v scanner="$SCANNER" \
        'NR == 1 { print $0, "Label"; next } { print $0, ($2 == scanner || $3 == scanner) ? "scan" : "benign" }' "$@"
}

for station in a b; do
    seed=$([ $station = a ] && echo 100 || echo 200)
    capture "$station-benign" benign $seed 600
    capture "$station-scan" scan $((seed + 1)) 400
    capture "$station-mixed" mixed $((seed + 2)) 400
    labelled "$OUT/captures/$station-benign.csv" >"$OUT/$station.csv"
    for kind in scan mixed; do labelled "$OUT/captures/$station-$kind.csv" | tail -n +2 >>"$OUT/$station.csv"; done
    "$COLLABDM" flows to-images "$OUT/$station.csv" --schema argus --layout rows --side 20 --window time \
        --out "$OUT/$station"
done

# The round: a plan down, one small file up from each station; no flow leaves its station.
# Encoders of a quarter of the usual width are enough for two classes.
"$COLLABDM" plan --classes benign,scan --shape 1x20x20 --clients a,b --ipc 5 --set plan.seeds=40 --set plan.batch=64 \
    --set plan.augment=none --set 'plan.network={name="convnet", width=32, depth=2}' --set local.iterations=200 --out "$OUT/plan.json"
mkdir -p "$OUT/contributions"
for station in a b; do
    "$COLLABDM" contribute "$OUT/plan.json" --client $station --dataset "$OUT/$station" \
        --out "$OUT/contributions/$station.safetensors"
done
"$COLLABDM" distill "$OUT/plan.json" "$OUT/contributions" --out "$OUT/round"
"$COLLABDM" train "$OUT/round" --network convnet --flows "$OUT/a" --test "$OUT/b" --out "$OUT/detector.safetensors"

# Fresh captures, unlabelled: what an operator has.
capture fresh-benign benign 900 500
capture fresh-scan scan 901 300
capture fresh-mixed mixed 902 300
failed=0
for kind in benign scan mixed; do
    code=0
    "$COLLABDM" detect "$OUT/detector.safetensors" "$OUT/captures/fresh-$kind.csv" --jsonl >"$OUT/$kind.jsonl" || code=$?
    wanted=$([ $kind = benign ] && echo 0 || echo 3)
    flagged=$(grep -c '"flagged": true' "$OUT/$kind.jsonl" || true)
    echo "fresh $kind traffic: $flagged of $(wc -l <"$OUT/$kind.jsonl") windows flagged; exit code $code, expected $wanted"
    [ "$code" = "$wanted" ] || failed=1
done
exit $failed
