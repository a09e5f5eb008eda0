#!/usr/bin/env bash
# CPU-seconds (of all threads and processes), wall seconds and peak memory of Nexmark's queries in SQL.
#
#   benches/nexmark.sh EVENTS [QUERY...] [-- OPTION...]
#
# EVENTS is a file of events as JSON lines, in the form of host/cli/tests/nexmark/events.jsonl.gz; they must be
# events of one run of the model: copies of the same events join with each other. Options go to `millstream run`.
# Needs `cargo build --release`, and GNU time for the peak.
set -euo pipefail
cd "$(dirname "$0")/.."
events=$(realpath "$1")
shift
queries=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do queries+=("$1"); shift; done
[ $# -eq 0 ] || shift
[ ${#queries[@]} -gt 0 ] ||
  queries=(q0 q1 q2 q3 q4 q5 q7 q8 q9 q11 q13 q14 q15 q16 q17 q18 q19 q20 q21 q22)
scratch=$(mktemp -d)
trap 'rm -r "$scratch"' EXIT
seq 0 9999 | awk '{ print $1 ",v" $1 * 7919 % 10007 }' >"$scratch/side.csv"
folder=host/cli/tests/nexmark/queries
# The file is read once before, so that no query pays for a cold one.
printf '%s events\nquery  CPU s  wall s  peak MB\n' "$(wc -l <"$events")"
for query in "${queries[@]}"; do
  sed -e "s#\${EVENTS}#$events#; s#\${SINK}#'connector' = 'blackhole'#; s#\${SIDE}#$scratch/side.csv#" \
    "$folder/ddl.sql" "$folder/$query.sql" >"$scratch/job.sql"
  if /usr/bin/time -o "$scratch/time" -f '%U %S %e %M' \
    target/release/millstream run "$scratch/job.sql" --parallelism 1 "$@" >/dev/null 2>"$scratch/log"; then
    tail -n 1 "$scratch/time" |
      awk -v q="$query" '{ printf "%-5s %6.2f %7.2f %8.0f\n", q, $1 + $2, $3, $4 / 1024 }'
  else
    echo "$query   $(grep -m 1 '^error' "$scratch/log")"
  fi
done
