//! A signing key in a file: 64 lower-case hexadecimal digits of the seed and a newline, readable by its owner alone.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use thiserror::Error;
use varangian_crypto::SigningKey;
use zeroize::Zeroizing;

/// Digits and the newline; a longer file is no key, and is not read further than that.
const FILE_BYTES: usize = 65;

/// Why there is no key.
#[derive(Debug, Error)]
pub enum IdentityError {
    /// The file cannot be read or written.
    #[error("key file {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A key must never be overwritten.
    #[error("key file {path} exists already; use it, or choose another name")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Others may read the key.
    #[error("key file {path} is open to others (mode {mode:03o}); if nobody has read it: chmod 600 {path}")]
    Permissions {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Not a key.
    #[error("key file {path} does not hold 64 lower-case hexadecimal digits; restore it from its backup")]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// The system has no randomness.
    #[error("the system gives no randomness: {0}")]
    Randomness(String),
}

/// Reads a key file.
///
/// # Errors
/// [`IdentityError`]: unreadable, not a key, or open to others.
pub fn load(path: impl AsRef<Path>) -> Result<SigningKey, IdentityError> {
    let path = path.as_ref();
    let failed = |source| IdentityError::Io { path: path.into(), source };
    let malformed = || IdentityError::Malformed { path: path.into() };
    let file = File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(IdentityError::Permissions { path: path.into(), mode });
    }
    let mut text = Zeroizing::new(Vec::with_capacity(FILE_BYTES + 1));
    file.take(FILE_BYTES as u64 + 1).read_to_end(&mut text).map_err(failed)?;
    let digits = text.strip_suffix(b"\n").unwrap_or(&text);
    if digits.iter().any(u8::is_ascii_uppercase) {
        return Err(malformed());
    }
    let mut seed = Zeroizing::new([0; 32]);
    hex::decode_to_slice(digits, seed.as_mut_slice()).map_err(|_| malformed())?;
    Ok(SigningKey::from_seed(*seed))
}

/// Makes a key of the system's randomness and stores it, durably, in a new file. Missing directories are made, for the owner alone.
///
/// # Errors
/// [`IdentityError`]; an existing file is never touched.
pub fn create(path: impl AsRef<Path>) -> Result<SigningKey, IdentityError> {
    let key = generate()?;
    store(path, &key)?;
    Ok(key)
}

/// A fresh key of the system's randomness, stored nowhere.
///
/// # Errors
/// [`IdentityError::Randomness`].
pub fn generate() -> Result<SigningKey, IdentityError> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(seed.as_mut_slice()).map_err(|error| IdentityError::Randomness(error.to_string()))?;
    Ok(SigningKey::from_seed(*seed))
}

/// Stores a key, durably, in a new file.
///
/// # Errors
/// [`IdentityError`]; an existing file is never touched.
pub fn store(path: impl AsRef<Path>, key: &SigningKey) -> Result<(), IdentityError> {
    let path = path.as_ref();
    write_new(path, key).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => IdentityError::Exists { path: path.into() },
        _ => IdentityError::Io { path: path.into(), source },
    })
}

/// Reads a key file, or makes it if there is none.
///
/// # Errors
/// [`IdentityError`].
pub fn load_or_create(path: impl AsRef<Path>) -> Result<SigningKey, IdentityError> {
    let path = path.as_ref();
    match create(path) {
        Err(IdentityError::Exists { .. }) => load(path),
        made => made,
    }
}

fn write_new(path: &Path, key: &SigningKey) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let mut tag = [0; 8];
    getrandom::fill(&mut tag).map_err(|error| io::Error::other(error.to_string()))?;
    let draft = path.with_extension(format!("{:016x}.new", u64::from_le_bytes(tag)));
    let linked = write_draft(&draft, key).and_then(|()| std::fs::hard_link(&draft, path));
    let removed = std::fs::remove_file(&draft);
    linked?;
    removed?;
    File::open(directory)?.sync_all()
}

/// A whole file under another name: a link to it is never seen half written, and never replaces anything.
fn write_draft(draft: &Path, key: &SigningKey) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft)?;
    let mut text = Zeroizing::new([0; FILE_BYTES]);
    hex::encode_to_slice(key.to_seed().as_slice(), &mut text[..FILE_BYTES - 1])
        .map_err(|error| io::Error::other(error.to_string()))?;
    text[FILE_BYTES - 1] = b'\n';
    file.write_all(text.as_slice())?;
    file.sync_all()
}

#[cfg(test)]
mod tests;
