//! `varangian status`: every replica's own word on where it stands.

use super::FAILED;
use clap::Args;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio::time::timeout;
use varangian_client::Network;
use varangian_client::protocol::{ReplicaStatus, Request, Response};
use varangian_crypto::{ReplicaId, decode};
use varangian_net::{ClientEndpoint, DialLimits, Frame, connect};

/// Where the replicas stand: view, slot, checkpoint, faults they can prove. Each row is one replica's word.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  varangian status\n  varangian status --network .varangian --json\n\nExit code 1 if fewer than a quorum answer."
)]
pub struct StatusArgs {
    /// The network's directory
    #[arg(long, env = "VARANGIAN_NETWORK", default_value = ".varangian", value_name = "DIR")]
    network: PathBuf,
    /// Time for each answer, in milliseconds
    #[arg(long, default_value_t = 2000)]
    timeout_ms: u64,
    /// One JSON array
    #[arg(long)]
    json: bool,
}

/// One replica's answer, or why there is none.
pub type Answer = (ReplicaId, Result<ReplicaStatus, String>);

/// Asks every replica at once.
///
/// # Errors
/// If no socket can be had.
pub async fn ask_all(network: &Network, patience: Duration) -> anyhow::Result<Vec<Answer>> {
    let limits = DialLimits { connect_deadline: patience, ..DialLimits::default() };
    let endpoint = ClientEndpoint::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)), limits)?;
    let mut asking = tokio::task::JoinSet::new();
    let endpoint = std::sync::Arc::new(endpoint);
    for (member, address) in network.genesis().replicas().iter().zip(network.addresses()) {
        let (endpoint, id, key, address) = (endpoint.clone(), member.id, member.network_key, *address);
        asking.spawn(async move {
            let answer = timeout(patience, async {
                let mut connection = connect(&endpoint, address, id, &key).await.map_err(|error| error.to_string())?;
                let request = Request::Status.encode();
                connection.send(Frame::new(request.head, request.body)).await.map_err(|error| error.to_string())?;
                let frame = connection.recv().await.map_err(|error| error.to_string())?;
                match decode::<Response>(&frame) {
                    Ok(Response::Status(status)) if status.replica == id.0 => Ok(status),
                    Ok(Response::Status(status)) => Err(format!("it calls itself r{}", status.replica)),
                    Ok(_) => Err("it answers something else".to_owned()),
                    Err(error) => Err(error.to_string()),
                }
            });
            (id, answer.await.unwrap_or_else(|_| Err("no answer in time".to_owned())))
        });
    }
    let mut answers = asking.join_all().await;
    answers.sort_by_key(|(id, _)| *id);
    Ok(answers)
}

/// Runs it.
///
/// # Errors
/// If the network's files cannot be read.
pub async fn run(args: StatusArgs) -> anyhow::Result<ExitCode> {
    let network = Network::load(&args.network)?;
    let answers = ask_all(&network, Duration::from_millis(args.timeout_ms)).await?;
    if args.json {
        println!("{}", json(&answers));
    } else {
        print!("{}", table(&answers));
    }
    let answered = answers.iter().filter(|(_, answer)| answer.is_ok()).count();
    let enough = answered >= network.committee().quorums().quorum();
    Ok(if enough { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

/// The answers for machines: an array, one object per replica.
#[must_use]
pub fn json(answers: &[Answer]) -> serde_json::Value {
    let row = |(id, answer): &Answer| match answer {
        Ok(status) => serde_json::json!(status),
        Err(error) => serde_json::json!({ "replica": id.0, "error": error }),
    };
    answers.iter().map(row).collect()
}

/// The answers for people.
#[must_use]
pub fn table(answers: &[Answer]) -> String {
    let mut text = format!(
        "{:<8} {:>6} {:<9} {:>9} {:>9} {:<10} {:>8} {:>6}  {}\n",
        "replica", "view", "phase", "executed", "stable", "history", "waiting", "peers", "proofs"
    );
    for (id, answer) in answers {
        match answer {
            Ok(status) => {
                let leads = if status.primary == status.replica { "*" } else { "" };
                let phase = match (&status.stopped, status.active, status.behind) {
                    (Some(_), _, _) => "stopped",
                    (None, _, true) => "behind",
                    (None, true, false) => "active",
                    (None, false, false) => "changing",
                };
                let proofs: Vec<_> =
                    status.accused.iter().map(|(accused, count)| format!("r{accused}:{count}")).collect();
                let history: String = status.history.to_string().chars().take(8).collect();
                text.push_str(&format!(
                    "{:<8} {:>6} {:<9} {:>9} {:>9} {:<10} {:>8} {:>6}  {}\n",
                    format!("{id}{leads}"),
                    status.view,
                    phase,
                    status.executed,
                    status.stable,
                    history,
                    status.waiting,
                    status.connected,
                    proofs.join(" ")
                ));
                if let Some(stopped) = &status.stopped {
                    text.push_str(&format!("         {stopped}\n"));
                }
            }
            Err(error) => text.push_str(&format!("{id:<8} {error}\n")),
        }
    }
    text
}
