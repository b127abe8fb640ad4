//! The memory of processes, by the kernel's own books (`/proc`).

use anyhow::Context as _;
use std::fs;

/// The most memory that a process ever had resident, in KiB.
///
/// # Errors
/// If it has ended, or its books are not readable.
pub fn high_water_kib(pid: u32) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).with_context(|| path.clone())?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).with_context(|| path.clone())?;
    line.trim().trim_end_matches(" kB").parse().with_context(|| path)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::high_water_kib;

    #[test]
    fn memory_is_read_from_the_kernel() {
        let kib = high_water_kib(std::process::id()).unwrap();
        assert!((1_000..100_000_000).contains(&kib), "{kib}");
    }
}
