//! `varangian-testnet robustness`: what one faulty replica, or anybody outside, can take from everybody else.
//!
//! Figures, not tests: each stands beside an undisturbed run of the same minutes, because machines drift.
//!
//! - [`attacks`]: throughput with one malicious replica of four over throughput with none.
//! - [`recovery`]: from a primary's death to the next commit.
//! - [`floods`]: latencies of honest clients under malicious ones and wire floods.

pub mod attacks;
pub mod burner;
pub mod floods;
pub mod recovery;

mod looker;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::load::Load;
use crate::load::operations::Mix;
use crate::signals::until_told_to_end;

/// What one faulty replica can take from everybody else: figures.
#[derive(Debug, Args)]
pub struct RobustnessArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Throughput with one malicious replica of four, over throughput with none
    #[command(
        after_help = "Examples:\n  varangian-testnet robustness attacks\n  varangian-testnet robustness attacks --role primary --seconds 60 --pairs 1 slow late\n  varangian-testnet robustness attacks --role next\n\nRuns of each attack and clean runs follow each other; a share is of the clean runs around it, a row the median of the pairs."
    )]
    Attacks(attacks::AttacksArgs),
    /// From a primary's death to the next commit
    Recovery(recovery::RecoveryArgs),
    /// Latencies of honest clients under malicious ones and wire floods, beside a neutral burner of processor time
    Floods(floods::FloodsArgs),
}

/// Runs `robustness`.
///
/// # Errors
/// If a network does not come up or falls.
pub async fn run(args: RobustnessArgs) -> anyhow::Result<ExitCode> {
    until_told_to_end(async {
        match args.what {
            What::Attacks(args) => attacks::run(&args).await,
            What::Recovery(args) => recovery::run(&args).await,
            What::Floods(args) => floods::run(&args).await,
        }
    })
    .await?;
    Ok(ExitCode::SUCCESS)
}

/// Of nothing there is no median.
fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| format!("`{text}` is no number from 1 on"))
}

/// The one in the middle; of none, not a number.
fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    let middle = all.len() / 2;
    match (all.len() % 2, all.get(middle.wrapping_sub(1)), all.get(middle)) {
        (0, Some(one), Some(other)) => f64::midpoint(*one, *other),
        (_, _, Some(one)) => *one,
        _ => f64::NAN,
    }
}

fn steady() -> Load {
    Load { clients: 16, in_flight: 8, value_bytes: 512, mix: Mix::puts(), ..Load::default() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::float_cmp)]

    use super::median;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(Vec::new()).is_nan());
    }
}
