#!/usr/bin/env bash
# Has a real Flink answer the queries of the .slt files, and writes its answers into them. Needs Java 17, its
# compiler, and pip, which brings Flink (330 MB).
#   host/cli/tests/slt/complete.sh [PART OF A FILE'S NAME]
set -euo pipefail
cd "$(dirname "$0")/../../../.."
version=2.3.0
flink=target/flink/apache_flink_libraries-$version
if [ ! -d "$flink" ]; then
    mkdir -p target/flink
    pip download --quiet --no-deps --no-binary :all: --dest target/flink "apache-flink-libraries==$version"
    tar --extract --gzip --directory target/flink --file "$flink.tar.gz"
    rm "$flink.tar.gz"
fi
javac -d target/flink/classes -cp "$flink/deps/lib/*" host/cli/tests/slt/Flink.java
MILLSTREAM_SLT="$PWD/target/flink/classes:$PWD/$flink/deps/lib/*" \
    cargo test --package millstream-cli --test slt -- "$@"
