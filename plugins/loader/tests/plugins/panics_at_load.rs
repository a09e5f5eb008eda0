//! Panics when it is asked what it offers.

use millstream_abi::{Host, Plugin};
use millstream_sdk::plugin::enter;

unsafe extern "C" fn entry(host: *const Host) -> *const Plugin {
    // SAFETY: a loader calls this with its own table.
    unsafe { enter(host, || panic!("no licence found")) }
}
millstream_sdk::export!(entry);
