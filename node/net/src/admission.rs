//! Which incoming connection may begin a handshake: bounds in all and per address, on connections and on handshakes at a time.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

use crate::{bucket::Bucket, limits::AdmissionLimits, stats::AdmissionStats};

/// Counts connections and decides on new ones.
pub(crate) struct Gate {
    limits: AdmissionLimits,
    book: Mutex<Book>,
    admitted: AtomicU64,
    retried: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
}

#[derive(Default)]
struct Book {
    connections: usize,
    handshakes: usize,
    /// Addresses with connections, and those that began handshakes of late.
    addresses: HashMap<IpAddr, Held>,
    /// At so many addresses those are looked for that need not be held any more.
    sweep_at: usize,
}

/// What one address holds.
#[derive(Clone, Copy, Default)]
struct Held {
    connections: usize,
    handshakes: usize,
    begun: Bucket,
}

/// What to do with a connection attempt.
pub(crate) enum Verdict {
    /// Begin the handshake and keep the ticket as long as the connection lives.
    Admit(Ticket),
    /// Let it prove its address first.
    Retry,
    /// Send it away.
    Refuse,
    /// Send it away: all places are taken. It has proved its address, or anybody could make others give way.
    Full,
}

/// A place in the book; given back when dropped.
pub(crate) struct Ticket {
    gate: Arc<Gate>,
    address: IpAddr,
    handshaking: bool,
}

impl Gate {
    pub(crate) fn new(limits: AdmissionLimits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            book: Mutex::default(),
            admitted: AtomicU64::new(0),
            retried: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        })
    }

    /// Decides on an attempt from `address`; `validated`: it has proved that it receives what is sent there.
    pub(crate) fn judge(self: &Arc<Self>, address: IpAddr, validated: bool, now: Instant) -> Verdict {
        let address = counted_as(address);
        let mut book = self.lock();
        book.sweep(now);
        let here = book.addresses.get(&address).copied().unwrap_or_default();
        let limits = &self.limits;
        let full = book.connections >= limits.connections;
        if book.handshakes >= limits.handshakes || (full && validated) {
            self.refused.fetch_add(1, Relaxed);
            return if full && validated { Verdict::Full } else { Verdict::Refuse };
        }
        let suspicious = full
            || book.handshakes >= limits.retry_above
            || 2 * here.connections >= limits.per_address
            || 2 * here.handshakes >= limits.handshakes_per_address
            || !here.begun.holds(&limits.handshake_rate, limits.handshake_rate.burst.div_ceil(2), now);
        if suspicious && !validated {
            self.retried.fetch_add(1, Relaxed);
            return Verdict::Retry;
        }
        if here.connections >= limits.per_address
            || here.handshakes >= limits.handshakes_per_address
            || !here.begun.holds(&limits.handshake_rate, 1, now)
        {
            self.refused.fetch_add(1, Relaxed);
            return Verdict::Refuse;
        }
        book.connections += 1;
        book.handshakes += 1;
        let here = book.addresses.entry(address).or_default();
        here.connections += 1;
        here.handshakes += 1;
        here.begun.take(&limits.handshake_rate, 1, now);
        self.admitted.fetch_add(1, Relaxed);
        Verdict::Admit(Ticket { gate: Arc::clone(self), address, handshaking: true })
    }

    pub(crate) fn limits(&self) -> &AdmissionLimits {
        &self.limits
    }

    pub(crate) fn handshake_failed(&self) {
        self.failed.fetch_add(1, Relaxed);
    }

    pub(crate) fn stats(&self) -> AdmissionStats {
        let book = self.lock();
        AdmissionStats {
            connections: book.connections,
            handshakes: book.handshakes,
            admitted: self.admitted.load(Relaxed),
            retried: self.retried.load(Relaxed),
            refused: self.refused.load(Relaxed),
            failed: self.failed.load(Relaxed),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    /// Forgets addresses that hold nothing and have used up nothing, whenever twice as many are known as the last time.
    fn sweep(&mut self, now: Instant) {
        if self.addresses.len() >= self.sweep_at {
            self.addresses.retain(|_, held| held.connections > 0 || !held.begun.is_full(now));
            self.sweep_at = 2 * self.addresses.len() + 64;
        }
    }
}

impl Ticket {
    /// The handshake is over: the connection stays, its place among the handshakes is free.
    pub(crate) fn established(&mut self) {
        if self.handshaking {
            self.handshaking = false;
            let mut book = self.gate.lock();
            book.handshakes -= 1;
            if let Some(here) = book.addresses.get_mut(&self.address) {
                here.handshakes -= 1;
            }
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut book = self.gate.lock();
        book.connections -= 1;
        if self.handshaking {
            book.handshakes -= 1;
        }
        if let Some(here) = book.addresses.get_mut(&self.address) {
            here.connections -= 1;
            here.handshakes -= usize::from(self.handshaking);
        }
    }
}

/// Whoever has one IPv6 address has its /64.
fn counted_as(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests;
