//! A neutral process that burns processor time: its own, by the kernel's books, however much it has to wait for a core.

use std::hint::black_box;
use std::process::{ExitCode, Stdio};
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::Args;
use rustix::time::{ClockId, clock_gettime};
use tokio::process::{Child, Command};

/// The shortest stretch of burning and pausing.
const SHORTEST: Duration = Duration::from_millis(10);

/// Burns so much of one core until it is ended.
#[derive(Debug, Args)]
pub struct BurnArgs {
    /// From 0 to 1
    share: f64,
    /// One stretch of burning and pausing, in milliseconds
    #[arg(long, default_value_t = 10)]
    stretch: u64,
}

/// Processes that burn so many cores together, all at the beginning of each stretch, as whoever acts once in a stretch does. Dropped, they are killed.
pub fn start(cores: f64, stretch: Duration) -> anyhow::Result<Vec<Child>> {
    let program = std::env::current_exe().context("where this program is")?;
    let present = available_parallelism().context("how many cores there are")?.get();
    let share = (cores / f64::from(u32::try_from(present)?)).clamp(0.0, 1.0);
    let stretch = stretch.max(SHORTEST).as_millis();
    let one = || {
        let mut command = Command::new(&program);
        command.arg("burn").arg(format!("{share:.3}")).arg("--stretch").arg(stretch.to_string());
        command.stdin(Stdio::null()).kill_on_drop(true).spawn().context("starting a burner")
    };
    (0..present).map(|_| one()).collect()
}

/// Burns until it is killed.
///
/// # Errors
/// If the share or the stretch is none.
pub fn burn(args: &BurnArgs) -> anyhow::Result<ExitCode> {
    ensure!((0.0..=1.0).contains(&args.share), "{} is no share: from 0 to 1", args.share);
    ensure!(args.stretch > 0, "a stretch of no length: from 1 ms");
    let stretch = Duration::from_millis(args.stretch);
    let began = Instant::now();
    let mut number = 1_u64;
    for stretches in 1_u32.. {
        let due = stretch.mul_f64(args.share) * stretches;
        while burnt()? < due {
            for _ in 0..1000 {
                number = black_box(number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
            }
        }
        std::thread::sleep((stretch * stretches).saturating_sub(began.elapsed()));
    }
    Ok(ExitCode::SUCCESS)
}

/// What this process has had of the processor.
fn burnt() -> anyhow::Result<Duration> {
    Ok(Duration::try_from(clock_gettime(ClockId::ProcessCPUTime))?)
}
