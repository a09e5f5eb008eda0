//! What the machine has.

use std::fs;

/// Of the machine's memory, or of what the process's control group may use of it, one in so many bytes is for
/// managed memory if nobody says how much: as much as a Java virtual machine takes by itself.
const SHARE: u64 = 4;

/// The managed memory of a process that was not told how much it has. Only what is used of it is taken from the
/// system. `None` if the system does not say what it has.
pub(super) fn share() -> Option<u64> {
    let total = total(&fs::read_to_string("/proc/meminfo").ok()?)?;
    let limit = fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let limit = limit.and_then(|limit| limit.trim().parse().ok());
    Some(total.min(limit.unwrap_or(u64::MAX)) / SHARE)
}

/// The bytes of memory that this text, `/proc/meminfo`, says there are.
fn total(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_says_what_it_has() {
        let text = "MemTotal:       24689764 kB\nMemFree:        100 kB\n";
        assert_eq!(total(text), Some(24_689_764 << 10));
        assert_eq!(total("MemTotal: much"), None);
        assert_eq!(total(""), None);
    }
}
