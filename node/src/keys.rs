//! Key files: 64 hexadecimal digits of a seed and a newline, readable by their owner alone.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use thiserror::Error;
use varangian_crypto::SigningKey;

/// Why a key file is of no use.
#[derive(Debug, Error)]
pub enum KeyFileError {
    /// It cannot be read or written.
    #[error("key file {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Others may read it.
    #[error(
        "key file {path} can be read by others (mode {mode:o}): anyone may have copied the key; if that is ruled out, chmod 600 it"
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It does not hold a seed.
    #[error("key file {path} does not hold 64 hexadecimal digits")]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// The system has no randomness.
    #[error("the operating system gives no randomness: {0}")]
    Randomness(String),
}

/// A fresh key from the system's randomness.
///
/// # Errors
/// [`KeyFileError::Randomness`].
pub fn generate() -> Result<SigningKey, KeyFileError> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| KeyFileError::Randomness(error.to_string()))?;
    Ok(SigningKey::from_seed(seed))
}

/// Writes a key to a file that does not exist yet, durably.
///
/// # Errors
/// [`KeyFileError::Io`], also if the file exists: a key is never overwritten.
pub fn store(path: &Path, key: &SigningKey) -> Result<(), KeyFileError> {
    let failed = |source| KeyFileError::Io { path: path.to_owned(), source };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    let mut text = hex::encode(key.to_seed());
    text.push('\n');
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)
}

/// Reads a key.
///
/// # Errors
/// [`KeyFileError`].
pub fn load(path: &Path) -> Result<SigningKey, KeyFileError> {
    let failed = |source| KeyFileError::Io { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::Exposed { path: path.to_owned(), mode });
    }
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(failed)?;
    let malformed = || KeyFileError::Malformed { path: path.to_owned() };
    let mut seed = [0; 32];
    hex::decode_to_slice(text.trim_end(), &mut seed).map_err(|_| malformed())?;
    Ok(SigningKey::from_seed(seed))
}
