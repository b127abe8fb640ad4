//! The five things that a journal does to a disk. Each is durable when it returns, and each leaves the old or the new after a crash; an append
//! may leave a part.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Suffix of log files.
const LOG_SUFFIX: &str = ".log";
/// More of a file than this is not read: no journal writes as much.
const LARGEST_FILE: u64 = 4 << 30;

/// A directory, as a journal sees it.
pub(crate) trait Disk {
    /// A log file that this process owns: nobody else can claim it while this lives.
    type Log: Log;
    /// Held while files come and go; excludes other processes.
    type Lock;

    fn lock(&self) -> io::Result<Self::Lock>;
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>>;
    /// Puts a file in the place of another or of none, atomically.
    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()>;
    /// Names of the log files, ascending.
    fn logs(&self) -> io::Result<Vec<String>>;
    /// A new log, owned, with these bytes in it.
    fn create(&self, name: &str, bytes: &[u8]) -> io::Result<Self::Log>;
    /// Owns a log whose owner has gone, and reads it; `None` if the owner lives, or the log is no more.
    fn claim(&self, name: &str) -> io::Result<Option<(Self::Log, Vec<u8>)>>;
    fn remove(&self, name: &str) -> io::Result<()>;
}

pub(crate) trait Log {
    /// Appends and syncs. After a failure nothing may be appended.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
}

/// Name of the log that begins with a number; names sort like numbers.
pub(crate) fn log_name(first: u64) -> String {
    format!("{first:020}{LOG_SUFFIX}")
}

/// A directory of the file system.
pub(crate) struct Directory {
    path: PathBuf,
}

impl Directory {
    /// Makes the directory, for the owner alone, if it is missing.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        if !path.is_dir() {
            DirBuilder::new().recursive(true).mode(0o700).create(path)?;
            if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                File::open(parent)?.sync_all()?;
            }
        }
        let directory = Self { path: path.to_owned() };
        directory.sync()?;
        Ok(directory)
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }
}

impl Disk for Directory {
    type Log = File;
    type Lock = File;

    fn lock(&self) -> io::Result<File> {
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(self.path.join("lock"))?;
        file.lock()?;
        Ok(file)
    }

    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        match File::open(self.path.join(name)) {
            Ok(mut file) => read_all(&mut file).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let draft = self.path.join(format!("{name}.new"));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&draft, self.path.join(name))?;
        self.sync()
    }

    fn logs(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            if let Ok(name) = entry?.file_name().into_string()
                && name.ends_with(LOG_SUFFIX)
            {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn create(&self, name: &str, bytes: &[u8]) -> io::Result<File> {
        let mut file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(self.path.join(name))?;
        file.lock()?;
        file.append(bytes)?;
        self.sync()?;
        Ok(file)
    }

    fn claim(&self, name: &str) -> io::Result<Option<(File, Vec<u8>)>> {
        let mut file = match OpenOptions::new().read(true).append(true).open(self.path.join(name)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let bytes = read_all(&mut file)?;
        Ok(Some((file, bytes)))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        match std::fs::remove_file(self.path.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

impl Log for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)?;
        self.sync_data()
    }
}

fn read_all(file: &mut File) -> io::Result<Vec<u8>> {
    file.rewind()?;
    let length = file.metadata()?.len();
    if length > LARGEST_FILE {
        return Err(io::Error::other(format!("{length} bytes are more than a journal ever writes")));
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}
