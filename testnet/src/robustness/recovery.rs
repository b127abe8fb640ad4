//! From a primary's death to the next commit.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::looker::Looker;
use super::{at_least_one, median, steady};
use crate::load::{self, Load};
use crate::testnet::Testnet;
use crate::up::spinner;

/// See the module.
#[derive(Debug, Args)]
pub struct RecoveryArgs {
    /// Primaries that are killed, one after the other
    #[arg(long, default_value_t = 20, value_parser = at_least_one)]
    times: usize,
    /// Seconds of work before each: the time-out, which doubled with the view before, is back where it was
    #[arg(long, default_value_t = 3)]
    calm: u64,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Runs `robustness recovery`.
///
/// # Errors
/// If a network does not come up or falls, or nothing comes of a view change.
pub async fn run(args: &RecoveryArgs) -> anyhow::Result<()> {
    let (mut net, _files) = Testnet::scratch(&BTreeMap::new()).await?;
    let network = net.network()?;
    let (stop, stopped) = watch::channel(false);
    let loading = tokio::spawn({
        let (network, load) = (network.clone(), Load { in_flight: 2, clients: 8, ..steady() });
        async move { load::run(&network, load::fresh_keys(load.clients)?, &load, None, stopped, |_| {}).await }
    });
    let looker = Looker::new(&network)?;
    let bar = spinner("");
    let mut times = Vec::new();
    for time in 0..args.times {
        bar.set_message(format!("primary {} of {}", time + 1, args.times));
        let before = looker.until(|rows| rows.len() == 4 && rows.iter().all(|row| row.active && !row.behind)).await?;
        let view = before.iter().map(|row| row.view).max().unwrap_or_default();
        sleep(Duration::from_secs(args.calm)).await;
        // Everybody is in step and has work before the next one dies.
        let executed = before.iter().map(|row| row.executed).max().unwrap_or_default() + 32;
        looker
            .until(|rows| rows.len() == 4 && rows.iter().all(|row| row.executed > executed && row.view == view))
            .await?;
        let primary = net.genesis().quorums().primary(view);
        let began = Instant::now();
        net.kill(primary).await?;
        let active = looker.until(|rows| rows.iter().any(|row| row.active && row.view > view)).await?;
        let executed = active.iter().map(|row| row.executed).max().unwrap_or_default();
        looker.until(|rows| rows.iter().any(|row| row.view > view && row.executed > executed)).await?;
        times.push(began.elapsed().as_secs_f64() * 1e3);
        net.restart(&[primary]).await?;
    }
    bar.finish_and_clear();
    stop.send_replace(true);
    loading.await??;
    net.stop().await?;
    times.sort_by(f64::total_cmp);
    let (least, most) = (times.first().copied().unwrap_or(f64::NAN), times.last().copied().unwrap_or(f64::NAN));
    let middle = median(times.clone());
    if args.json {
        println!("{}", serde_json::json!({ "median_ms": middle, "all_ms": times }));
    } else {
        println!(
            "from a primary's death to the next commit, of {} times: median {middle:.0} ms, from {least:.0} to {most:.0} ms",
            times.len()
        );
    }
    Ok(())
}
