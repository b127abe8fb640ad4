//! Outcomes to text, JSON and exit codes.
//!
//! Results go to stdout and everything about how they came to be to stderr, so that `$(varangian kv get KEY)` is the value.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use serde_json::{Value, json};
use varangian_application::OperationResult;
use varangian_application::kv::{Answer, Response};
use varangian_client::{ClientError, Committed};
use varangian_consensus::Sequence;

/// It ran, and did what was asked.
pub(super) const DONE: u8 = 0;
/// It was rejected, or failed, or its condition did not hold.
pub(super) const FAILED: u8 = 1;
/// It cannot be asked like this.
pub(super) const USAGE: u8 = 2;
/// It may or may not run.
pub(super) const UNKNOWN: u8 = 4;
/// Nobody was reached.
pub(super) const UNAVAILABLE: u8 = 5;

/// What came of one command.
pub(super) struct Report<'a> {
    /// Replicas of the network.
    pub(super) replicas: usize,
    /// Its number, where several are reported.
    pub(super) sequence: Option<Sequence>,
    /// Its outcome.
    pub(super) outcome: &'a Result<Committed, ClientError>,
}

/// Where reports go.
pub(super) struct Printer {
    json: bool,
    colour: bool,
}

impl Report<'_> {
    /// The exit code for this command alone.
    pub(super) fn code(&self) -> u8 {
        match self.outcome {
            Ok(committed) if committed.results.iter().all(succeeded) => DONE,
            Ok(_) => FAILED,
            Err(ClientError::Unavailable { .. }) => UNAVAILABLE,
            Err(error) if error.is_unknown() => UNKNOWN,
            Err(ClientError::TooLarge { .. } | ClientError::Command(_) | ClientError::Network(_)) => USAGE,
            Err(_) => FAILED,
        }
    }

    /// One JSON object.
    pub(super) fn json(&self) -> Value {
        let mut value = match self.outcome {
            Ok(committed) => json!({
                "outcome": "committed",
                "sequence": committed.sequence,
                "slot": committed.slot.0,
                "replicas": committed.replicas.iter().map(|id| id.0).collect::<Vec<_>>(),
                "dissenters": committed.dissenters.iter().map(|id| id.0).collect::<Vec<_>>(),
                "results": committed.results.iter().map(result_json).collect::<Vec<_>>(),
            }),
            Err(error) => json!({ "outcome": self.kind(), "reason": error.to_string() }),
        };
        if let Some(sequence) = self.sequence {
            value["sequence"] = sequence.into();
        }
        value
    }

    fn kind(&self) -> &'static str {
        match self.outcome {
            Ok(_) => "committed",
            Err(ClientError::Unavailable { .. }) => "unavailable",
            Err(error) if error.is_unknown() => "unknown",
            Err(ClientError::Rejected { .. } | ClientError::SequenceUsed { .. }) => "rejected",
            Err(_) => "error",
        }
    }
}

impl Printer {
    pub(super) fn new(json: bool) -> Self {
        Self { json, colour: io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none() }
    }

    /// A report, and its exit code.
    pub(super) fn print(&mut self, report: &Report<'_>) -> io::Result<ExitCode> {
        if self.json {
            writeln!(io::stdout(), "{}", report.json())?;
            return Ok(ExitCode::from(report.code()));
        }
        let name = report.sequence.map_or_else(String::new, |sequence| format!("command {sequence}: "));
        match report.outcome {
            Ok(committed) => {
                let (slot, count) = (committed.slot, committed.replicas.len());
                self.line(Mark::Good, &format!("{name}committed in slot {slot} by {count} of {}", report.replicas))?;
                if !committed.dissenters.is_empty() {
                    let ids: Vec<_> = committed.dissenters.iter().map(ToString::to_string).collect();
                    self.warn(&format!("{} answered otherwise", ids.join(", ")))?;
                }
                let mut out = io::stdout().lock();
                for result in &committed.results {
                    writeln!(out, "{}", result_text(result))?;
                }
                out.flush()?;
                if report.code() != DONE {
                    self.line(Mark::Bad, &format!("{name}{}", shortfall(&committed.results)))?;
                }
            }
            Err(error) => {
                let mark = if report.code() == UNKNOWN { Mark::Unsure } else { Mark::Bad };
                self.line(mark, &format!("{name}{}: {error}", report.kind()))?;
            }
        }
        Ok(ExitCode::from(report.code()))
    }

    /// What was asked makes no sense.
    pub(super) fn usage(&mut self, error: &anyhow::Error) -> io::Result<ExitCode> {
        if self.json {
            writeln!(io::stdout(), "{}", json!({ "outcome": "usage", "reason": format!("{error:#}") }))?;
        } else {
            self.line(Mark::Bad, &format!("{error:#}"))?;
        }
        Ok(ExitCode::from(USAGE))
    }

    /// Something to know besides; not in JSON, where stderr has it too.
    pub(super) fn warn(&mut self, text: &str) -> io::Result<()> {
        self.line(Mark::Unsure, text)
    }

    /// Good news without a result.
    pub(super) fn note(&mut self, text: &str) -> io::Result<()> {
        self.line(Mark::Good, text)
    }

    fn line(&self, mark: Mark, text: &str) -> io::Result<()> {
        let (sign, colour) = match mark {
            Mark::Good => ("✔", 32),
            Mark::Unsure => ("?", 33),
            Mark::Bad => ("✘", 31),
        };
        let mut out = io::stderr().lock();
        if self.colour { writeln!(out, "\x1b[{colour}m{sign}\x1b[0m {text}") } else { writeln!(out, "{sign} {text}") }
    }
}

enum Mark {
    Good,
    Unsure,
    Bad,
}

/// What the store answered; `Err` says in words why there is no answer.
fn answer(result: &OperationResult) -> Result<Answer, String> {
    match result {
        OperationResult::Done(bytes) => {
            Answer::decode(bytes).map_err(|_| "an answer that this version cannot read".into())
        }
        OperationResult::ApplicationFault => Err("the application failed; nothing happened".into()),
        OperationResult::TooLarge { size } => Err(format!(
            "the result of {size} bytes is more than the chain allows; nothing happened; ask for less at once"
        )),
        OperationResult::LimitExceeded(limit) => Err(format!("{limit}; nothing happened; ask for less at once")),
    }
}

fn succeeded(result: &OperationResult) -> bool {
    match answer(result) {
        Ok(Answer::Failed { .. } | Answer::Transaction { held: false, .. }) | Err(_) => false,
        Ok(answer) => !answer.responses().iter().any(|response| matches!(response, Response::NotSwapped { .. })),
    }
}

/// Why a command that ran did not do all that was asked.
fn shortfall(results: &[OperationResult]) -> &'static str {
    let first = results.iter().find(|result| !succeeded(result)).map(answer);
    match first {
        Some(Ok(Answer::Transaction { held: false, .. })) => "conditions did not hold",
        Some(Ok(Answer::Single(Response::NotSwapped { .. }) | Answer::Transaction { .. })) => {
            "not swapped: another value is there"
        }
        _ => "an operation failed",
    }
}

fn result_text(result: &OperationResult) -> String {
    match answer(result) {
        Ok(answer) => answer.to_string(),
        Err(reason) => reason,
    }
}

fn result_json(result: &OperationResult) -> Value {
    match answer(result) {
        Ok(Answer::Single(response)) => response_json(&response),
        Ok(Answer::Transaction { held, responses }) => {
            json!({ "held": held, "responses": responses.iter().map(response_json).collect::<Vec<_>>() })
        }
        Ok(Answer::Failed { action, error }) => json!({ "failed": error.to_string(), "action": action }),
        Err(reason) => json!({ "failed": reason }),
    }
}

fn response_json(response: &Response) -> Value {
    match response {
        Response::Value(value) => json!({ "value": value.as_deref().map(bytes_json) }),
        Response::Written { existed } => json!({ "existed": existed }),
        Response::Swapped => json!({ "swapped": true }),
        Response::NotSwapped { current } => json!({ "swapped": false, "current": current.as_deref().map(bytes_json) }),
        Response::Counter(sum) => json!({ "counter": sum }),
        Response::Entries { entries, more } => {
            let entry = |entry: &varangian_application::kv::Entry| json!({ "key": bytes_json(&entry.key), "value": bytes_json(&entry.value) });
            json!({ "entries": entries.iter().map(entry).collect::<Vec<_>>(), "more": more })
        }
    }
}

/// Text as a string; bytes that are no text as `{"hex": "…"}`.
fn bytes_json(bytes: &[u8]) -> Value {
    match str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => json!({ "hex": hex::encode(bytes) }),
    }
}
