//! The names of a store's files, and how a file is made durable.

use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::error::StoreError;

/// The files of one store.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    dir: PathBuf,
}

impl Layout {
    pub(crate) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_path_buf() }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn identity(&self) -> PathBuf {
        self.dir.join("identity")
    }

    pub(crate) fn mark(&self) -> PathBuf {
        self.dir.join("votes.mark")
    }

    pub(crate) fn db(&self) -> PathBuf {
        self.dir.join("db")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    /// The log file of a number, named as RocksDB names it.
    pub(crate) fn log_file(&self, number: u64) -> PathBuf {
        self.log().join(format!("{number:06}.log"))
    }

    /// Makes the directory, which must be absent or empty, and its subdirectories, readable by their
    /// owner alone.
    pub(crate) fn make(&self) -> Result<(), StoreError> {
        match fs::read_dir(&self.dir) {
            Ok(mut entries) => {
                if entries.next().is_some() {
                    return Err(StoreError::NotEmpty { dir: self.dir.clone() });
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => make_dir(&self.dir)?,
            Err(error) => return Err(StoreError::io("listing", &self.dir)(error)),
        }
        make_dir(&self.db())?;
        make_dir(&self.log())
    }

    /// Takes the store's lock. It is held until the file is dropped, or the process dies.
    pub(crate) fn lock(&self) -> Result<File, StoreError> {
        #[cfg(test)]
        let _settled = crate::tests::BEGINNING.read();
        let path = self.dir.join("lock");
        let file = File::options().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(StoreError::io("opening", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(StoreError::Locked { dir: self.dir.clone() }),
            Err(TryLockError::Error(error)) => Err(StoreError::io("locking", &path)(error)),
        }
    }

    /// Writes a new file so that after a crash it is either absent or whole.
    pub(crate) fn write_durably(&self, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        let partial = path.with_extension("partial");
        let write = || {
            let mut file = File::create(&partial)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&partial, path)
        };
        write().map_err(StoreError::io("writing", path))?;
        sync_dir(&self.dir)
    }

    /// Syncs the directory and the one that holds it, so that the store's own name survives a crash.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        sync_dir(&self.dir)?;
        let absolute = std::path::absolute(&self.dir).map_err(StoreError::io("resolving", &self.dir))?;
        absolute.parent().map_or(Ok(()), sync_dir)
    }

    /// The log files, oldest first, by number.
    pub(crate) fn logs(&self) -> Result<Vec<(u64, PathBuf)>, StoreError> {
        let dir = self.log();
        let mut logs = Vec::new();
        for entry in fs::read_dir(&dir).map_err(StoreError::io("listing", &dir))? {
            let path = entry.map_err(StoreError::io("listing", &dir))?.path();
            let number = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".log")?.parse().ok());
            logs.extend(number.map(|number: u64| (number, path)));
        }
        logs.sort_unstable();
        Ok(logs)
    }

    /// Number and length of the newest log file: the one that is being written.
    pub(crate) fn end_of_log(&self) -> Result<(u64, u64), StoreError> {
        let logs = self.logs()?;
        let Some((number, path)) = logs.last() else {
            let detail = "it holds no log file though the database is open".to_owned();
            return Err(StoreError::Corrupt { file: self.log(), detail });
        };
        let metadata = fs::metadata(path).map_err(StoreError::io("reading the length of", path))?;
        Ok((*number, metadata.len()))
    }
}

fn make_dir(path: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().mode(0o700).create(path).map_err(StoreError::io("making", path))
}

/// Makes the names in a directory durable.
pub(crate) fn sync_dir(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|dir| dir.sync_all()).map_err(StoreError::io("syncing", path))
}
