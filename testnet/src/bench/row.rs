//! One measured load: a row of the report.

use std::cell::RefCell;
use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;
use tokio::sync::watch;
use varangian_client::Network;

use super::usage::Usage;
use crate::load::{self, Load, Progress, Report};

/// What one load measured. Times in milliseconds where their name says so, in microseconds per operation for processor time.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Operations under one signature.
    pub bundle: usize,
    /// Seconds that count.
    pub seconds: f64,
    /// Operations acknowledged in them.
    pub operations: u64,
    /// The same per second.
    pub operations_per_second: f64,
    /// Commands acknowledged per second.
    pub commands_per_second: f64,
    /// Median latency of a command.
    pub p50_ms: f64,
    /// 90 of 100 took no longer.
    pub p90_ms: f64,
    /// 99 of 100 took no longer.
    pub p99_ms: f64,
    /// 999 of 1000 took no longer.
    pub p999_ms: f64,
    /// The slowest.
    pub max_ms: f64,
    /// Longest time without an acknowledgement.
    pub worst_gap_ms: f64,
    /// Processor time of all replicas together per operation.
    pub replicas_cpu_us: f64,
    /// Processor time of the clients' process per operation.
    pub clients_cpu_us: f64,
    /// Bytes that all replicas together wrote per operation.
    pub written_bytes: f64,
    /// Commands rejected, of the whole load.
    pub rejected: u64,
    /// Commands whose outcome stayed unknown, of the whole load.
    pub unresolved: u64,
    /// Open loop: commands that were due and never sent. Above zero the latencies are better than the truth.
    pub behind: u64,
}

/// A moment of a load, with what it had cost until then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sample {
    progress: Progress,
    replicas: Usage,
    clients: Usage,
}

/// Takes a sample when the warm-up is over, and one when the time is.
struct Meter<'a> {
    pids: &'a [u32],
    duration: Duration,
    stop: watch::Sender<bool>,
    begin: Option<Sample>,
    end: Option<Sample>,
    failed: Option<anyhow::Error>,
}

/// Loads a network and measures for so long after the load's warm-up.
///
/// # Errors
/// If the load breaks off or a replica's process ends.
pub async fn measure(network: &Network, pids: &[u32], load: &Load, duration: Duration) -> anyhow::Result<Row> {
    let keys = load::fresh_keys(load.clients)?;
    let (stop, stopped) = watch::channel(false);
    let meter = RefCell::new(Meter { pids, duration, stop, begin: None, end: None, failed: None });
    let report = load::run(network, keys, load, None, stopped, |progress| meter.borrow_mut().look(progress)).await?;
    let Meter { begin, end, failed, .. } = meter.into_inner();
    if let Some(failed) = failed {
        return Err(failed);
    }
    let (begin, end) =
        (begin.context("the load ended in its warm-up")?, end.context("the load ended before its time")?);
    Ok(Row::new(load.bundle, &begin, &end, &report))
}

impl Meter<'_> {
    fn look(&mut self, progress: Progress) {
        if !progress.measuring || self.end.is_some() || self.failed.is_some() {
            return;
        }
        let over = self.begin.is_some_and(|begin| progress.elapsed >= begin.progress.elapsed + self.duration);
        if self.begin.is_some() && !over {
            return;
        }
        match Sample::take(self.pids, progress) {
            Ok(sample) if over => self.end = Some(sample),
            Ok(sample) => self.begin = Some(sample),
            Err(error) => self.failed = Some(error),
        }
        if over || self.failed.is_some() {
            self.stop.send_replace(true);
        }
    }
}

impl Sample {
    fn take(pids: &[u32], progress: Progress) -> anyhow::Result<Self> {
        Ok(Self { progress, replicas: Usage::of(pids)?, clients: Usage::of(&[std::process::id()])? })
    }
}

impl Row {
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    fn new(bundle: usize, begin: &Sample, end: &Sample, report: &Report) -> Self {
        let seconds = (end.progress.elapsed - begin.progress.elapsed).as_secs_f64();
        let operations = end.progress.operations - begin.progress.operations;
        let commands = end.progress.commands - begin.progress.commands;
        let each = |total: f64| if operations == 0 { 0.0 } else { total / operations as f64 };
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let (replicas, clients) = (end.replicas - begin.replicas, end.clients - begin.clients);
        Self {
            bundle,
            seconds,
            operations,
            operations_per_second: operations as f64 / seconds,
            commands_per_second: commands as f64 / seconds,
            p50_ms: ms(report.latency(50.0)),
            p90_ms: ms(report.latency(90.0)),
            p99_ms: ms(report.latency(99.0)),
            p999_ms: ms(report.latency(99.9)),
            max_ms: ms(report.latency(100.0)),
            worst_gap_ms: ms(report.worst_gap),
            replicas_cpu_us: each(replicas.cpu.as_secs_f64() * 1e6),
            clients_cpu_us: each(clients.cpu.as_secs_f64() * 1e6),
            written_bytes: each(replicas.written as f64),
            rejected: report.rejected,
            unresolved: report.unresolved,
            behind: report.behind,
        }
    }
}

/// The rows for people.
#[must_use]
pub fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "{:<26} {:>9} {:>9} {:>8} {:>8} {:>8} {:>8} {:>13} {:>12} {:>11}\n",
        "signature per",
        "ops/s",
        "cmds/s",
        "p50 ms",
        "p90 ms",
        "p99 ms",
        "p99.9 ms",
        "replicas cpu",
        "clients cpu",
        "written"
    );
    for row in rows {
        let signed =
            if row.bundle == 1 { "operation".to_owned() } else { format!("bundle of {} operations", row.bundle) };
        let line = format!(
            "{signed:<26} {:>9.0} {:>9.0} {:>8.2} {:>8.2} {:>8.2} {:>8.2} {:>10.1} us {:>9.1} us {:>9.0} B",
            row.operations_per_second,
            row.commands_per_second,
            row.p50_ms,
            row.p90_ms,
            row.p99_ms,
            row.p999_ms,
            row.replicas_cpu_us,
            row.clients_cpu_us,
            row.written_bytes
        );
        text.push_str(&line);
        text.push('\n');
        for note in row.notes() {
            text.push_str(&format!("  {note}\n"));
        }
    }
    text.push_str("Latencies are of whole commands; processor time (all replicas together) and bytes written are per operation.\n");
    text
}

impl Row {
    /// What the figures do not say.
    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.behind > 0 {
            notes.push(format!(
                "{} commands were due and never sent: the rate is more than the network takes",
                self.behind
            ));
        }
        if self.rejected + self.unresolved > 0 {
            notes.push(format!("{} commands rejected, {} without an outcome", self.rejected, self.unresolved));
        }
        notes
    }
}

#[cfg(test)]
mod tests;
