//! A server that speaks S3, for tests of other crates: it prints its address and its directory, and ends with
//! its standard input.

#[path = "../tests/server/mod.rs"]
mod server;

use std::io::Read;

fn main() {
    let server = server::Server::start();
    println!(
        "{} {} {} {}",
        server.endpoint(),
        server.bucket().display(),
        server::KEY,
        server::SECRET
    );
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}
