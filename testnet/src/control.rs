//! The live controls of a running network: the steps of a scenario, taken one at a time while it runs.
//!
//! Whoever supervises the network listens on a socket beside its files. A request is one line of JSON, `{"step": {"kill": "r0"}}`, `{"remark": "..."}` or `"report"`; so is the answer.
//!
//! - `command`: the commands that ask.

mod command;

pub use command::{Control, run};

use crate::layout::NetworkDir;
use crate::report::Report;
use crate::scenario::format::Step;
use crate::scenario::show::Show;
use crate::timeline::Watcher;
use anyhow::{Context as _, anyhow, bail};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// For a request to be written, and for an answer to be taken.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of a request at most.
const LONGEST_REQUEST: u64 = 64 << 10;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Request {
    Step(Step),
    /// Of what somebody else does to the network: it belongs into the report.
    Remark(String),
    Report,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Answer {
    /// What came about.
    happened: Vec<String>,
    error: Option<String>,
    report: Option<Report>,
}

/// The socket of a network that is being supervised. Dropped, it is gone.
#[derive(Debug)]
pub struct Socket {
    asked: mpsc::Receiver<Asked>,
    path: PathBuf,
    _listening: JoinSet<()>,
}

/// Somebody who wants something, and waits for the answer.
#[derive(Debug)]
pub struct Asked {
    request: Request,
    stream: UnixStream,
}

fn path(dir: &NetworkDir) -> PathBuf {
    dir.root().join("control.sock")
}

impl Socket {
    /// Begins to listen.
    ///
    /// # Errors
    /// If there can be no socket.
    pub fn bind(dir: &NetworkDir) -> anyhow::Result<Self> {
        let path = path(dir);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).context("an old control socket");
            }
            _ => {}
        }
        let listener = UnixListener::bind(&path).with_context(|| path.display().to_string())?;
        let (ask, asked) = mpsc::channel(1);
        let mut listening = JoinSet::new();
        listening.spawn(listen(listener, ask));
        Ok(Self { asked, path, _listening: listening })
    }

    /// The next one who wants something. May be cancelled.
    pub async fn asked(&mut self) -> Asked {
        match self.asked.recv().await {
            Some(asked) => asked,
            // The listener has ended and has said why: nobody can ask any more, and the network goes on.
            None => std::future::pending().await,
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(%error, "the control socket is gone already");
        }
    }
}

/// Hears each who connects by itself: one that says nothing holds up nobody.
async fn listen(listener: UnixListener, ask: mpsc::Sender<Asked>) {
    let mut hearing = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let ask = ask.clone();
                    hearing.spawn(async move {
                        if let Err(error) = hear(stream, ask).await {
                            eprintln!("a control command was not understood: {error:#}");
                        }
                    });
                }
                Err(error) => return eprintln!("live control has ended: {error}"),
            },
            Some(heard) = hearing.join_next() => {
                if let Err(error) = heard {
                    eprintln!("a control command was not heard: {error}");
                }
            }
        }
    }
}

/// Reads one request and hands it on; says what is wrong with it otherwise.
async fn hear(mut stream: UnixStream, ask: mpsc::Sender<Asked>) -> anyhow::Result<()> {
    let mut line = String::new();
    let mut bounded = BufReader::new(&mut stream).take(LONGEST_REQUEST);
    timeout(PATIENCE, bounded.read_line(&mut line)).await.context("nothing is asked for")??;
    match serde_json::from_str(&line) {
        Ok(request) => ask.send(Asked { request, stream }).await.map_err(|_| anyhow!("the network has ended")),
        Err(error) => {
            let error = Some(format!("this is no request: {error}"));
            answer(&mut stream, &Answer { error, ..Answer::default() }).await
        }
    }
}

async fn answer(stream: &mut UnixStream, answer: &Answer) -> anyhow::Result<()> {
    let mut text = serde_json::to_string(answer)?;
    text.push('\n');
    timeout(PATIENCE, stream.write_all(text.as_bytes())).await.context("nobody takes the answer")??;
    Ok(())
}

impl Asked {
    /// Does what is asked for. One who goes away meanwhile is told of in the supervisor's terminal.
    pub async fn serve(mut self, show: &mut Show, watcher: &Watcher) {
        let mut said = Answer::default();
        match self.request {
            Request::Report => said.report = Some(show.report(watcher.seen())),
            Request::Remark(what) => show.tell(&what),
            Request::Step(step) => {
                let before = show.happened.len();
                let replicas = show.net.genesis().quorums().n();
                let done = match step.check(u16::try_from(replicas).unwrap_or(u16::MAX)) {
                    Ok(()) => show.take(&step).await,
                    Err(error) => Err(error.into()),
                };
                said.error = done.err().map(|error| format!("{error:#}"));
                said.happened = show.happened.iter().skip(before).map(|happening| happening.what.clone()).collect();
            }
        }
        if let Err(error) = answer(&mut self.stream, &said).await {
            eprintln!("a control command is not answered: {error:#}");
        }
    }
}

/// Has the report of a running network say what is done to it from elsewhere.
///
/// # Errors
/// If nobody supervises it.
pub async fn remark(dir: &NetworkDir, what: String) -> anyhow::Result<()> {
    match ask(dir, &Request::Remark(what)).await?.error {
        None => Ok(()),
        Some(error) => bail!(error),
    }
}

/// Asks whoever supervises the network of this directory.
async fn ask(dir: &NetworkDir, request: &Request) -> anyhow::Result<Answer> {
    if dir.running()?.is_none() {
        bail!("no network runs in {}; start one with `varangian-testnet up`", dir.root().display());
    }
    let path = path(dir);
    let mut stream = UnixStream::connect(&path).await.with_context(|| {
        format!("{}: the network there is not under live control: `up` and `demo --keep` put one there", path.display())
    })?;
    let mut text = serde_json::to_string(request)?;
    text.push('\n');
    stream.write_all(text.as_bytes()).await?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).await?;
    serde_json::from_str(&line).context("the supervisor has ended")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// One that says nothing, one that says nonsense, and one that wants something: each gets what is due to it, in whatever order they came.
    #[tokio::test]
    async fn nobody_is_held_up_by_somebody_silent() {
        let files = tempfile::tempdir().unwrap();
        let dir = NetworkDir::new(files.path());
        let mut socket = Socket::bind(&dir).unwrap();
        let connect = || UnixStream::connect(path(&dir));
        let _silent = connect().await.unwrap();
        let mut nonsense = connect().await.unwrap();
        nonsense.write_all(b"{\"step\": \"dance\"}\n").await.unwrap();
        let mut line = String::new();
        BufReader::new(&mut nonsense).read_line(&mut line).await.unwrap();
        let said: Answer = serde_json::from_str(&line).unwrap();
        assert!(said.error.unwrap().contains("this is no request"), "{line}");
        let mut report = connect().await.unwrap();
        report.write_all(b"\"report\"\n").await.unwrap();
        assert!(matches!(socket.asked().await.request, Request::Report));
    }
}
