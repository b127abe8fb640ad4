//! What processes cost, by the kernel's own books (`/proc`).

use std::fs;
use std::ops::Sub;
use std::time::Duration;

use anyhow::Context as _;

/// Ticks per second in `/proc/PID/stat`: part of Linux' interface to programs, the same on all machines of today.
const TICKS_PER_SECOND: u64 = 100;

/// Processor time and bytes written, so far or between two moments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Processor time in user and kernel mode, of all threads.
    pub cpu: Duration,
    /// Bytes that the process caused to be written to the disk, as far as the kernel tells: what it dirtied, before anything below the file system.
    pub written: u64,
}

impl Usage {
    /// What these processes have cost together since they began.
    ///
    /// # Errors
    /// If one has ended, or its books are not readable.
    pub fn of(pids: &[u32]) -> anyhow::Result<Self> {
        pids.iter().try_fold(Self::default(), |sum, pid| {
            let read = |name: &str| {
                let path = format!("/proc/{pid}/{name}");
                fs::read_to_string(&path)
                    .with_context(|| format!("{path}: process {pid} has ended or belongs to somebody else"))
            };
            let cpu = cpu(&read("stat")?).with_context(|| format!("/proc/{pid}/stat has another form"))?;
            let written = written(&read("io")?).with_context(|| format!("/proc/{pid}/io has another form"))?;
            Ok(Self { cpu: sum.cpu + cpu, written: sum.written + written })
        })
    }
}

impl Sub for Usage {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self { cpu: self.cpu.saturating_sub(earlier.cpu), written: self.written.saturating_sub(earlier.written) }
    }
}

/// `utime + stime`, fields 14 and 15; the second field, the name, may hold spaces and parentheses.
fn cpu(stat: &str) -> Option<Duration> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis((user + system) * 1000 / TICKS_PER_SECOND))
}

fn written(io: &str) -> Option<u64> {
    io.lines().find_map(|line| line.strip_prefix("write_bytes:"))?.trim().parse().ok()
}

#[cfg(test)]
mod tests;
