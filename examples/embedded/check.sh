#!/usr/bin/env sh
# Builds and runs the example, and shows that it holds no symbol of std.
set -eu
cd "$(dirname "$0")"
target=${CARGO_TARGET_DIR:-target}
cargo build --release --quiet --target-dir "$target"
"$target/release/embedded"
if nm --demangle "$target/release/embedded" | grep -E ' (std|<std)::|std::(io|thread|sys|rt)'; then
  echo "embedded: symbols of std are in the binary" >&2
  exit 1
fi
echo "embedded: no symbol of std"
