#!/usr/bin/env bash
# Has a real Flink answer the queries of the .slt files, and writes its answers into them. Needs Java 17 with its
# compiler, and pip.
#   host/cli/tests/slt/complete.sh [PART OF A FILE'S NAME]
set -euo pipefail
cd "$(dirname "$0")/../../../.."
classes=$(host/cli/tests/slt/flink.sh)
javac -d target/flink/classes -cp "$classes" host/cli/tests/slt/Flink.java
MILLSTREAM_SLT=$classes cargo test --package millstream-cli --test slt -- "$@"
