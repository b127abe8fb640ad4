//! Threads of the process. One that dies ends the process: without it the rest would stand still and look alive.

use crate::core::CoreHandle;
use std::io;
use std::thread::{Builder, JoinHandle, panicking};

/// Starts a thread that the process cannot do without. If it panics, the core is told that the process must end.
///
/// # Errors
/// If the system gives no thread.
pub fn spawn(name: &str, core: &CoreHandle, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    let guard = Guard { name: name.to_owned(), core: core.clone() };
    Builder::new().name(name.to_owned()).spawn(move || {
        let _guard = guard;
        work();
    })
}

struct Guard {
    name: String,
    core: CoreHandle,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if panicking() {
            self.core.fatal(format!("the thread `{}` died", self.name));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::spawn;
    use crate::core::channel;
    use varangian_crypto::{Parameters, ReplicaId};

    #[test]
    fn a_thread_that_dies_ends_the_process() {
        let (core, mut inbox) = channel(ReplicaId(0), 4, &Parameters::default());
        assert!(spawn("good", &core, || {}).unwrap().join().is_ok());
        assert_eq!(inbox.fatal(), None);
        assert!(spawn("bad", &core, || panic!("on purpose")).unwrap().join().is_err());
        assert_eq!(inbox.fatal().as_deref(), Some("the thread `bad` died"));
    }
}
