//! Links the C library alone: no Rust runtime, no std.

fn main() {
    println!("cargo:rustc-link-lib=c");
}
