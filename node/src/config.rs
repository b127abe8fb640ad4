//! Settings of one process. Flag over environment (`VARANGIAN__SECTION__KEY`) over `config.toml` over default; nothing of it is
//! agreed between replicas.

use serde::Deserialize;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use thiserror::Error;
use toml::{Table, Value};

/// Prefix of environment variables that set a key.
pub const ENVIRONMENT_PREFIX: &str = "VARANGIAN__";

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Built in.
    Default,
    /// The file.
    File(PathBuf),
    /// An environment variable.
    Environment(String),
    /// The command line.
    Flag,
}

/// Why settings are refused. Nothing was started.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is not TOML.
    #[error("{path}: {message}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What and where.
        message: String,
    },
    /// A key that nothing reads.
    #[error("unknown key `{key}` ({origin}){}", suggestion(.nearest.as_deref()))]
    UnknownKey {
        /// The key, `section.key`.
        key: String,
        /// Where it stands.
        origin: Origin,
        /// What may have been meant.
        nearest: Option<String>,
    },
    /// A value of the wrong type or out of range.
    #[error("`{key}` ({origin}): {message}")]
    Value {
        /// The key, `section.key`.
        key: String,
        /// Where it stands.
        origin: Origin,
        /// What is wrong.
        message: String,
    },
}

/// Congestion control of QUIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Congestion {
    /// Fast on clean links.
    Cubic,
    /// Keeps its rate under loss.
    Bbr,
    /// The simple one.
    Newreno,
}

/// Form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Every setting, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where replicas connect to (UDP). Port 0 takes a free one.
    pub replica_address: SocketAddr,
    /// Where clients connect to (UDP).
    pub client_address: SocketAddr,
    /// Where metrics are served (TCP).
    pub metrics_address: SocketAddr,
    /// Congestion control.
    pub congestion: Congestion,
    /// Round-trip time assumed before the first sample, in milliseconds.
    pub initial_rtt_ms: u64,
    /// Bytes of executed batches kept below the stable checkpoint, for replicas that are behind.
    pub retain_bytes: u64,
    /// Level of the log, or a filter as `tracing` has it.
    pub log_level: String,
    /// Form of the log.
    pub log_format: LogFormat,
    /// Threads that verify peers' votes, bodies and clients' commands: so many of each.
    pub verify_threads: usize,
}

/// A key with its default and what it is for: the one list that defaults, checks, suggestions and `config show` come from.
const KEYS: [(&str, &str, &str); 9] = [
    ("network.replica_address", "127.0.0.1:0", "UDP address for replicas; port 0 takes a free one"),
    ("network.client_address", "127.0.0.1:0", "UDP address for clients"),
    ("network.metrics_address", "127.0.0.1:0", "TCP address for Prometheus metrics"),
    ("network.congestion", "cubic", "cubic, bbr or newreno"),
    ("network.initial_rtt_ms", "10", "round-trip time assumed before the first sample, in milliseconds"),
    ("storage.retain_bytes", "1073741824", "executed batches kept below the stable checkpoint, in bytes"),
    ("log.level", "info", "error, warn, info, debug, trace, or a filter such as varangian=debug"),
    ("log.format", "text", "text or json"),
    ("workers.verify", "1", "threads that verify, of each kind of work; 1 to 64"),
];

/// A key, its value and where that came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// `section.key`.
    pub key: &'static str,
    /// As text.
    pub value: String,
    /// Where it came from.
    pub origin: Origin,
    /// What it is for.
    pub help: &'static str,
}

/// All keys with their values and origins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    entries: Vec<Entry>,
}

impl Config {
    /// Reads `file` if it exists, then the environment, then `flags` (`section.key`, value).
    ///
    /// # Errors
    /// [`ConfigError`] for a key that nothing reads, wherever it stands.
    pub fn load(
        file: &Path,
        environment: impl IntoIterator<Item = (String, String)>,
        flags: &[(String, String)],
    ) -> Result<Self, ConfigError> {
        let default = |(key, value, help): &(&'static str, &str, &'static str)| Entry {
            key,
            value: (*value).to_owned(),
            origin: Origin::Default,
            help,
        };
        let mut config = Self { entries: KEYS.iter().map(default).collect() };
        match std::fs::read_to_string(file) {
            Ok(text) => config.read(file, &text)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => return Err(ConfigError::Io { path: file.to_owned(), source }),
        }
        for (name, value) in environment {
            if let Some(rest) = name.strip_prefix(ENVIRONMENT_PREFIX) {
                let key = rest.to_lowercase().replace("__", ".");
                config.set(&key, value, Origin::Environment(name))?;
            }
        }
        for (key, value) in flags {
            config.set(key, value.clone(), Origin::Flag)?;
        }
        Ok(config)
    }

    fn read(&mut self, file: &Path, text: &str) -> Result<(), ConfigError> {
        let syntax = |message: String| ConfigError::Syntax { path: file.to_owned(), message };
        let table: Table = text.parse().map_err(|error: toml::de::Error| syntax(error.to_string()))?;
        for (section, value) in table {
            let Value::Table(keys) = value else {
                return Err(self.unknown(section, Origin::File(file.to_owned())));
            };
            for (key, value) in keys {
                let value = match value {
                    Value::String(text) => text,
                    Value::Table(_) | Value::Array(_) => {
                        return Err(self.unknown(format!("{section}.{key}"), Origin::File(file.to_owned())));
                    }
                    other => other.to_string(),
                };
                self.set(&format!("{section}.{key}"), value, Origin::File(file.to_owned()))?;
            }
        }
        Ok(())
    }

    fn set(&mut self, key: &str, value: String, origin: Origin) -> Result<(), ConfigError> {
        match self.entries.iter_mut().find(|entry| entry.key == key) {
            Some(entry) => {
                entry.value = value;
                entry.origin = origin;
                Ok(())
            }
            None => Err(self.unknown(key.to_owned(), origin)),
        }
    }

    fn unknown(&self, key: String, origin: Origin) -> ConfigError {
        let nearest = self
            .entries
            .iter()
            .map(|entry| (strsim::damerau_levenshtein(entry.key, &key), entry.key))
            .min()
            .filter(|(distance, _)| *distance <= key.len() / 2)
            .map(|(_, key)| key.to_owned());
        ConfigError::UnknownKey { key, origin, nearest }
    }

    /// All keys, in order.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The settings, if every value is one.
    ///
    /// # Errors
    /// [`ConfigError::Value`].
    pub fn settings(&self) -> Result<Settings, ConfigError> {
        let retain_bytes = self.value("storage.retain_bytes", "a number of bytes")?;
        let verify_threads = self.value("workers.verify", "a number from 1 to 64")?;
        if !(1..=64).contains(&verify_threads) {
            return Err(self.refuse("workers.verify", "must be a number from 1 to 64"));
        }
        let initial_rtt_ms = self.value("network.initial_rtt_ms", "a number of milliseconds")?;
        if !(1..=10_000).contains(&initial_rtt_ms) {
            return Err(self.refuse("network.initial_rtt_ms", "must be a number of milliseconds from 1 to 10000"));
        }
        Ok(Settings {
            replica_address: self.value("network.replica_address", "an address such as 127.0.0.1:7000")?,
            client_address: self.value("network.client_address", "an address such as 127.0.0.1:7001")?,
            metrics_address: self.value("network.metrics_address", "an address such as 127.0.0.1:7002")?,
            congestion: self.choice("network.congestion", "cubic, bbr or newreno")?,
            initial_rtt_ms,
            retain_bytes,
            log_level: self.text("log.level").to_owned(),
            log_format: self.choice("log.format", "text or json")?,
            verify_threads,
        })
    }

    fn text(&self, key: &str) -> &str {
        self.entries.iter().find(|entry| entry.key == key).map_or("", |entry| &entry.value)
    }

    fn value<T: std::str::FromStr>(&self, key: &str, what: &str) -> Result<T, ConfigError> {
        self.text(key).parse().map_err(|_| self.refuse(key, &format!("`{}` is not {what}", self.text(key))))
    }

    fn choice<T: for<'de> Deserialize<'de>>(&self, key: &str, what: &str) -> Result<T, ConfigError> {
        T::deserialize(Value::String(self.text(key).to_owned()))
            .map_err(|_| self.refuse(key, &format!("`{}` is not {what}", self.text(key))))
    }

    fn refuse(&self, key: &str, message: &str) -> ConfigError {
        let origin =
            self.entries.iter().find(|entry| entry.key == key).map_or(Origin::Default, |entry| entry.origin.clone());
        ConfigError::Value { key: key.to_owned(), origin, message: message.to_owned() }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "in {}", path.display()),
            Self::Environment(name) => write!(f, "from the environment, {name}"),
            Self::Flag => f.write_str("from the command line"),
        }
    }
}

fn suggestion(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |nearest| {
        format!("; did you mean `{nearest}`? `varangian config show` lists all keys")
    })
}

#[cfg(test)]
mod tests;
