#!/usr/bin/env bash
# A join whose state is more than ten times its budget: all bids with their auctions, which are never forgotten.
#
#   benches/join_budget.sh [EVENTS]
#
# Runs it with all state in memory, and with `lsm` and 96 MiB, where it must come to as many rows within the budget
# and what every process has beside it. Prints CPU-seconds, wall seconds and peak memory of both. Needs
# `cargo build --release`, and GNU time.
set -euo pipefail
cd "$(dirname "$0")/.."
events=${1:-6000000}
scratch=$(mktemp -d)
trap 'rm -r "$scratch"' EXIT
sed "/'connector' = 'filesystem'/,/'SQL'/c\\  'connector' = 'nexmark', 'events' = '$events'" \
  host/cli/tests/nexmark/queries/ddl.sql >"$scratch/job.sql"
cat >>"$scratch/job.sql" <<'SQL'
CREATE TABLE sink (auction BIGINT, bidder BIGINT, price BIGINT, extra STRING, item_name STRING, category BIGINT)
WITH ('connector' = 'blackhole');
INSERT INTO sink
SELECT b.auction, b.bidder, b.price, b.extra, a.item_name, a.category
FROM bid b JOIN auction a ON b.auction = a.id AND b.price > a.initial_bid;
SQL
run() {
  local state=$1 budget=$2
  /usr/bin/time -o "$scratch/time" -f '%U %S %e %M' target/release/millstream run "$scratch/job.sql" \
    --parallelism 1 --state "$state" --set memory.managed.size="$budget" 2>"$scratch/log"
  rows=$(sed -n 's/.* \([0-9]*\) rows to sinks.*/\1/p' "$scratch/log")
  awk -v state="$state" -v budget="$budget" -v rows="$rows" \
    '{ printf "%-7s %-7s %9s %6.2f %7.2f %8.0f\n", state, budget, rows, $1 + $2, $3, $4 / 1024 }' "$scratch/time"
}
printf '%s events\nstate   budget       rows  CPU s  wall s  peak MB\n' "$events"
run memory 8GiB
in_memory=$rows
run lsm 96MiB
[ "$rows" = "$in_memory" ] || { echo "lsm has $rows rows, memory $in_memory"; exit 1; }
