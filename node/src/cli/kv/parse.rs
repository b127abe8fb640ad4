//! Arguments and transaction files to operations.

use std::convert::Infallible;
use std::io::Read;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context as _, anyhow, bail, ensure};
use bytes::Bytes;
use serde::Deserialize;
use varangian_application::kv::{Action, Condition, Operation, Transaction};

use super::KvCommand;

/// Largest transaction file, in bytes; no command is as large.
const LARGEST_FILE: u64 = 64 << 20;

/// How a transaction file looks.
pub(super) const TRANSACTION_HELP: &str = r#"The file is one JSON object; each part may be left out:
  {
    "if":   [{"exists": "KEY"}, {"absent": "KEY"}, {"equals": ["KEY", "VALUE"]}],
    "then": [{"put": ["KEY", "VALUE"]}, {"delete": "KEY"}, {"add": ["KEY", 5]}, {"get": "KEY"}, {"scan": "PREFIX"}],
    "else": [{"get": "KEY"}]
  }
If all conditions hold, "then" runs, otherwise "else" (and the exit code is 1). If an action fails, none has happened."#;

/// Where a transaction comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Stdin,
    File(PathBuf),
}

impl FromStr for Source {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(if text == "-" { Self::Stdin } else { Self::File(text.into()) })
    }
}

/// A name of a directory, and nothing that leads out of it.
pub(super) fn client_name(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if text.is_empty() || text.len() > 64 || text.starts_with('.') || !text.chars().all(fits) {
        return Err("a client's name has 1 to 64 of a-z A-Z 0-9 - _ . and does not begin with a dot".into());
    }
    Ok(text.to_owned())
}

/// The operations of one command; `None` if none is to be run.
pub(super) fn operations(command: &KvCommand) -> anyhow::Result<Option<Vec<Bytes>>> {
    let single = |action: Action| vec![action];
    let actions = match command {
        KvCommand::Put { entries, bundle } => puts(entries, *bundle)?,
        KvCommand::Get { keys } => each(keys, |key| Ok(Action::get(key)?))?,
        KvCommand::Delete { keys } => each(keys, |key| Ok(Action::delete(key)?))?,
        KvCommand::Cas { key, new, expect, absent: _, delete: _ } => {
            let (expect, new) = (expect.as_deref().map(str::as_bytes), new.as_deref().map(str::as_bytes));
            single(Action::compare_and_swap(key.as_bytes(), expect, new)?)
        }
        KvCommand::Add { key, delta } => single(Action::add(key.as_bytes(), *delta)?),
        KvCommand::Scan { prefix, after, limit } => {
            single(Action::scan(prefix.as_bytes(), after.as_deref().map(str::as_bytes), *limit)?)
        }
        KvCommand::Txn { file } => return Ok(Some(vec![Operation::from(transaction(&read(file)?)?).encode()])),
        KvCommand::Retry => return Ok(None),
    };
    Ok(Some(actions.into_iter().map(|action| Operation::from(action).encode()).collect()))
}

fn puts(entries: &[String], bundle: bool) -> anyhow::Result<Vec<Action>> {
    if bundle {
        return each(entries, |entry| {
            let place = entry.iter().position(|byte| *byte == b'=');
            let place = place.ok_or_else(|| anyhow!("with --bundle each argument is KEY=VALUE"))?;
            let (key, value) = entry.split_at(place);
            Ok(Action::put(key, value[1..].to_vec())?)
        });
    }
    let [key, value] = entries else {
        bail!("`put` takes KEY VALUE; to set several keys: put --bundle KEY=VALUE KEY=VALUE ...");
    };
    Ok(vec![Action::put(key.as_bytes(), value.clone().into_bytes())?])
}

fn each(texts: &[String], action: impl Fn(&[u8]) -> anyhow::Result<Action>) -> anyhow::Result<Vec<Action>> {
    texts.iter().map(|text| action(text.as_bytes()).with_context(|| format!("{text:?}"))).collect()
}

fn read(source: &Source) -> anyhow::Result<String> {
    let mut text = String::new();
    let length = match source {
        Source::Stdin => std::io::stdin().take(LARGEST_FILE + 1).read_to_string(&mut text).context("stdin")?,
        Source::File(path) => {
            let file = std::fs::File::open(path).with_context(|| path.display().to_string())?;
            file.take(LARGEST_FILE + 1).read_to_string(&mut text).with_context(|| path.display().to_string())?
        }
    };
    ensure!(length as u64 <= LARGEST_FILE, "the transaction is larger than any command may be; split it");
    Ok(text)
}

/// The text form of a transaction.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TransactionText {
    #[serde(default, rename = "if")]
    conditions: Vec<ConditionText>,
    #[serde(default)]
    then: Vec<ActionText>,
    #[serde(default, rename = "else")]
    otherwise: Vec<ActionText>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ConditionText {
    Exists(String),
    Absent(String),
    Equals(String, String),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ActionText {
    Put(String, String),
    Delete(String),
    Add(String, i64),
    Get(String),
    Scan(String),
}

/// The transaction in a file's text.
pub(super) fn transaction(text: &str) -> anyhow::Result<Transaction> {
    let text: TransactionText =
        serde_json::from_str(text).context("not a transaction; see `varangian kv txn --help`")?;
    ensure!(!(text.then.is_empty() && text.otherwise.is_empty()), "the transaction does nothing: give it a \"then\"");
    let actions = |texts: Vec<ActionText>| texts.into_iter().map(action).collect::<anyhow::Result<Vec<_>>>();
    let conditions = text.conditions.into_iter().map(condition).collect::<anyhow::Result<Vec<_>>>()?;
    Ok(Transaction::new(conditions, actions(text.then)?, actions(text.otherwise)?)?)
}

fn condition(text: ConditionText) -> anyhow::Result<Condition> {
    Ok(match text {
        ConditionText::Exists(key) => Condition::exists(key.as_bytes())?,
        ConditionText::Absent(key) => Condition::absent(key.as_bytes())?,
        ConditionText::Equals(key, value) => Condition::equals(key.as_bytes(), value.as_bytes())?,
    })
}

fn action(text: ActionText) -> anyhow::Result<Action> {
    /// As many entries as `varangian kv scan` asks for.
    const SCAN_LIMIT: u32 = 100;
    Ok(match text {
        ActionText::Put(key, value) => Action::put(key.as_bytes(), value.into_bytes())?,
        ActionText::Delete(key) => Action::delete(key.as_bytes())?,
        ActionText::Add(key, delta) => Action::add(key.as_bytes(), delta)?,
        ActionText::Get(key) => Action::get(key.as_bytes())?,
        ActionText::Scan(prefix) => Action::scan(prefix.as_bytes(), None, SCAN_LIMIT)?,
    })
}
