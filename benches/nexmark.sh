#!/usr/bin/env bash
# CPU-seconds (of all threads and processes), wall seconds and peak memory of Nexmark's queries in SQL.
#
#   benches/nexmark.sh EVENTS [QUERY...] [-- OPTION...]
#
# EVENTS is a file of events as JSON lines, in the form of host/cli/tests/nexmark/events.jsonl.gz; they must be
# events of one run of the model: copies of the same events join with each other. If it is a number, so many are
# made by the `nexmark` connector; beside them is then what Flink took for as many events of its own generator in another
# run, on a machine of this kind. Options go to `millstream run`. Both have PARALLELISM subtasks, 1 if the environment does not say.
# Needs `cargo build --release`, and GNU time for the peak. With FLINK=1 in the environment each query also runs on a
# Flink 2.3 in a process of its own, with 4 GiB of heap and as many subtasks, which has run the query once before, over the
# same events or over those of the file FIRST, or so many; events that are made are made there by a connector in Java,
# and are the same. Ours then also runs once before, over all events, in a process that ends: memory that nobody had is dear on
# a virtual machine, and Flink's heap is there when its time is taken. Needs Java 17 and `host/cli/tests/slt/flink.sh`, which brings it.
set -euo pipefail
cd "$(dirname "$0")/.."
case $1 in
  *[!0-9]*) events=$(realpath "$1") number=$(wc -l <"$1") ;;
  *) events= number=$1 ;;
esac
shift
export PARALLELISM=${PARALLELISM:-1}
# CPU-seconds of Flink 2.3 for a million events of its generator, from another run.
generated='q0 1.51 q1 1.54 q2 1.33 q3 2.14 q4 6.28 q5 2.62 q7 10.0 q8 2.16 q9 9.82 q11 3.11 q12 2.39 q15 3.32
  q16 7.32 q17 3.35 q18 4.74 q19 6.91 q20 6.66'
queries=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do queries+=("$1"); shift; done
[ $# -eq 0 ] || shift
[ ${#queries[@]} -gt 0 ] ||
  queries=(q0 q1 q2 q3 q4 q5 q6 q7 q8 q9 q10 q11 q12 q13 q14 q15 q16 q17 q18 q19 q20 q21 q22)
scratch=$(mktemp -d)
trap 'rm -r "$scratch"' EXIT
seq 0 9999 | awk '{ print $1 ",v" $1 * 7919 % 10007 }' >"$scratch/side.csv"
folder=host/cli/tests/nexmark/queries
if [ "${FLINK:-0}" = 1 ]; then
  classes=$(host/cli/tests/slt/flink.sh)
  javac -d target/flink/classes -cp "$classes" benches/peers/flink/*.java
  mkdir -p target/flink/classes/META-INF/services
  echo NexmarkFactory >target/flink/classes/META-INF/services/org.apache.flink.table.factories.Factory
fi
flink() {
  java -Xmx4g --add-opens=java.base/java.util=ALL-UNNAMED --add-opens=java.base/java.lang=ALL-UNNAMED \
    --add-opens=java.base/java.time=ALL-UNNAMED -cp "$classes" \
    Nexmark "$scratch/job.sql" "$scratch/first.sql" 2>/dev/null | tail -n 1
}
# The table of events, from the file or made.
tables() {
  if [ -n "$events" ]; then
    sed "s#\${EVENTS}#$events#" "$folder/ddl.sql"
  else
    sed "/'connector' = 'filesystem'/,/'SQL'/c\\  'connector' = 'nexmark', 'events' = '$number'" "$folder/ddl.sql"
  fi
}
# What Flink took for a query whose events are made.
of_another_run() {
  echo "$generated" | tr -s ' \n' '\n' | grep -A 1 -x "$1" | tail -n 1 |
    awk -v events="$number" '{ print $1 * events / 1e6, "nan nan" }' || true
}
# A file has been read once before, for its lines, so that no query pays for a cold one.
printf '%s events\nquery  CPU s  wall s  peak MB   Flink: CPU s  wall s  peak MB   ratio of CPU\n' "$number"
for query in "${queries[@]}"; do
  { [ "$query" != q6 ] || echo "SET 'execution.runtime-mode' = 'batch';"; } >"$scratch/job.sql"
  { tables; cat "$folder/$query.sql"; } |
    sed -e "s#\${SINK}#'connector' = 'blackhole'#; s#\${SIDE}#$scratch/side.csv#; s#\${FILES}#$scratch/files#" >>"$scratch/job.sql"
  sed "s#'path' = '$events'#'path' = '${FIRST:-$events}'#; s#'events' = '$number'#'events' = '${FIRST:-$number}'#" \
    "$scratch/job.sql" >"$scratch/first.sql"
  [ "${FLINK:-0}" != 1 ] ||
    target/release/millstream run "$scratch/job.sql" --parallelism "$PARALLELISM" "$@" >/dev/null 2>&1 || true
  if /usr/bin/time -o "$scratch/time" -f '%U %S %e %M' \
    target/release/millstream run "$scratch/job.sql" --parallelism "$PARALLELISM" "$@" >/dev/null 2>"$scratch/log"; then
    beside=
    if [ "${FLINK:-0}" = 1 ]; then
      beside=$(flink || true)
    elif [ -z "$events" ]; then
      beside=$(of_another_run "$query")
    fi
    echo "$(tail -n 1 "$scratch/time") $beside" | awk -v q="$query" '{
      printf "%-5s %6.2f %7.2f %8.0f", q, $1 + $2, $3, $4 / 1024
      if (NF > 4) printf "   %12.2f %7.2f %8.0f   %6.1f", $5, $6, $7, $5 / ($1 + $2)
      print ""
    }' | tee -a "$scratch/all"
  else
    echo "$query   $(grep -m 1 '^error' "$scratch/log")"
  fi
done
[ -n "$events" ] && [ "${FLINK:-0}" = 0 ] ||
  awk 'NF > 7 { sum += log($8); n++; least = least == "" || $8 < least ? $8 : least }
    END { if (n) printf "ratios of CPU: geometric mean %.1f, least %.1f\n", exp(sum / n), least }' "$scratch/all"
