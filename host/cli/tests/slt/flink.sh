#!/usr/bin/env bash
# Brings a Flink into target/flink, if there is none, and prints its class path. Needs pip, which brings it (330 MB).
set -euo pipefail
cd "$(dirname "$0")/../../../.."
version=2.3.0
flink=$PWD/target/flink/apache_flink_libraries-$version
if [ ! -d "$flink" ]; then
    mkdir -p target/flink
    pip download --quiet --no-deps --no-binary :all: --dest target/flink "apache-flink-libraries==$version" >&2
    tar --extract --gzip --directory target/flink --file "$flink.tar.gz"
    rm "$flink.tar.gz"
fi
echo "$PWD/target/flink/classes:$flink/deps/lib/*"
