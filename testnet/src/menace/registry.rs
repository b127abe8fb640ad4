//! All menaces, a row each: data, and nothing that decides.

use super::hand::Behaviour;
use super::wire::ActFn;
use super::{
    bad_signatures, flood, gaps, heavy, huge, mixed_order_signatures, partial, replay, retries, scans, two_faced,
};
use super::{connections, handshakes, malformed, oversized, slow_reader, slow_writer, streams};

/// A kind of menace: what a person who chooses one must know.
#[derive(Debug)]
pub struct Kind {
    /// What a scenario calls it.
    pub name: &'static str,
    /// What it does, in one line.
    pub description: &'static str,
    /// Its rows in the table of attacks.
    pub rows: &'static [u8],
    /// What must hold it off, in one line.
    pub defence: &'static str,
    /// Whether it is a client; else an outsider on the wire, at the clients' and at the replicas' endpoint.
    pub client: bool,
    /// Acts per second if nothing is said.
    pub rate: u32,
    /// Acts per second at most, whatever is said.
    pub most: u32,
    pub(super) play: Play,
}

/// How it is played.
#[derive(Clone, Copy, Debug)]
pub(super) enum Play {
    /// Frames over a client's connections.
    Commands(fn() -> Box<dyn Behaviour>),
    /// Bare QUIC; so many acts at a time.
    Wire { act: ActFn, at_once: usize },
}

/// All kinds: clients, then outsiders.
pub static MENACES: [Kind; 19] = [
    Kind {
        name: "bad-signatures",
        description: "sends commands with broken, forged, borrowed and misplaced signatures",
        rows: &[26],
        defence: "every replica verifies a command before anything else comes of it",
        client: true,
        rate: 200,
        most: 2000,
        play: Play::Commands(|| Box::new(bad_signatures::BadSignatures::default())),
    },
    Kind {
        name: "mixed-order-signatures",
        description: "signs with torsion in key or nonce, with keys of small order, with spellings that are not canonical",
        rows: &[26],
        defence: "one predicate, ZIP 215, alone and in batches, on every replica",
        client: true,
        rate: 100,
        most: 1000,
        play: Play::Commands(|| Box::new(mixed_order_signatures::MixedOrderSignatures::default())),
    },
    Kind {
        name: "partial",
        description: "sends each command to one replica alone, the primary and the backups in turn",
        rows: &[27],
        defence: "a backup forwards the signed command, then arms its timer",
        client: true,
        rate: 100,
        most: 1000,
        play: Play::Commands(|| Box::new(partial::Partial::default())),
    },
    Kind {
        name: "gaps",
        description: "numbers its commands with holes, over the window, far ahead, below the floor, to the last number of all",
        rows: &[28],
        defence: "a window of bits per client, decided at execution",
        client: true,
        rate: 200,
        most: 1000,
        play: Play::Commands(|| Box::new(gaps::Gaps::default())),
    },
    Kind {
        name: "replay",
        description: "sends its own old commands again, byte for byte, to all or to one, over other connections too",
        rows: &[28],
        defence: "exactly-once is decided at execution; a retry gets the original reply",
        client: true,
        rate: 500,
        most: 2000,
        play: Play::Commands(|| Box::new(replay::Replay::default())),
    },
    Kind {
        name: "retries",
        description: "runs a command of thousands of operations, and asks for its reply again as fast as it can",
        rows: &[28, 29],
        defence: "few replies wait to be repeated, apart from what is executed; none is read that nobody listens for; each costs credit",
        client: true,
        rate: 2000,
        most: 4000,
        play: Play::Commands(|| Box::new(retries::Retries::default())),
    },
    Kind {
        name: "two-faced",
        description: "signs two commands with one number, each for other replicas",
        rows: &[28],
        defence: "whichever is ordered first has its turn, and the number is used up",
        client: true,
        rate: 100,
        most: 1000,
        play: Play::Commands(|| Box::new(two_faced::TwoFaced::default())),
    },
    Kind {
        name: "flood",
        description: "sends valid commands of one key and waits for no answer",
        rows: &[29],
        defence: "a cap per client in every pool, round-robin among clients, Busy",
        client: true,
        rate: 1000,
        most: 4000,
        play: Play::Commands(|| Box::new(flood::Flood::one())),
    },
    Kind {
        name: "many-keys",
        description: "floods with valid commands of hundreds of fresh keys",
        rows: &[29],
        defence: "places of a backup at the primary, a bound on all clients' bytes, admission of so many clients",
        client: true,
        rate: 500,
        most: 4000,
        play: Play::Commands(|| Box::new(flood::Flood::many())),
    },
    Kind {
        name: "huge",
        description: "sends commands at the limits of bytes and operations, and just above them",
        rows: &[5, 29],
        defence: "limits before verification, lengths before allocation",
        client: true,
        rate: 10,
        most: 50,
        play: Play::Commands(|| Box::new(huge::Huge::default())),
    },
    Kind {
        name: "scans",
        description: "scans by the thousand what is large and does not fit, and keys that are deleted",
        rows: &[29],
        defence: "a scan pays for what it fetches, fetches what can come out and no more, and ends with its prefix",
        client: true,
        rate: 5,
        most: 20,
        play: Play::Commands(|| Box::new(scans::Scans::default())),
    },
    Kind {
        name: "heavy",
        description: "sends rounds of commands that each fill a batch, of one client each",
        rows: &[29],
        defence: "turns and waits go by shares of a batch; a large command travels to each replica once",
        client: true,
        rate: 2,
        most: 8,
        play: Play::Commands(|| Box::new(heavy::Heavy::default())),
    },
    Kind {
        name: "slow-reader",
        description: "asks, and reads its answers byte by byte or never",
        rows: &[19, 29],
        defence: "a bounded queue of answers per connection; who does not keep up is disconnected",
        client: true,
        rate: 2,
        most: 10,
        play: Play::Wire { act: |act| Box::pin(slow_reader::act(act)), at_once: 16 },
    },
    Kind {
        name: "malformed",
        description: "sends random, mutated, cut and torn frames",
        rows: &[19],
        defence: "one canonical decoding; nonsense ends the connection",
        client: false,
        rate: 50,
        most: 300,
        play: Play::Wire { act: |act| Box::pin(malformed::act(act)), at_once: 64 },
    },
    Kind {
        name: "oversized",
        description: "announces frames of gigabytes and sends bytes without end",
        rows: &[19],
        defence: "the length is checked before anything is allocated",
        client: false,
        rate: 20,
        most: 100,
        play: Play::Wire { act: |act| Box::pin(oversized::act(act)), at_once: 8 },
    },
    Kind {
        name: "slow-writer",
        description: "sends a byte a second and never finishes a frame",
        rows: &[19],
        defence: "a deadline from a frame's first byte to its last",
        client: false,
        rate: 20,
        most: 100,
        play: Play::Wire { act: |act| Box::pin(slow_writer::act(act)), at_once: 64 },
    },
    Kind {
        name: "streams",
        description: "opens as many streams as it is let, and leaves them open",
        rows: &[19],
        defence: "one stream per client, two per replica; a deadline for the first frame",
        client: false,
        rate: 20,
        most: 100,
        play: Play::Wire { act: |act| Box::pin(streams::act(act)), at_once: 64 },
    },
    Kind {
        name: "connections",
        description: "opens connections as fast as it can, and holds them or drops them",
        rows: &[19],
        defence: "connections are counted in all and per address; one that says nothing is ended",
        client: false,
        rate: 100,
        most: 500,
        play: Play::Wire { act: |act| Box::pin(connections::act(act)), at_once: 400 },
    },
    Kind {
        name: "handshakes",
        description: "begins handshakes from many ports and never goes on, amid datagrams that are nothing",
        rows: &[19],
        defence: "handshakes are counted in all and per address, have a deadline, and above a number must prove their address",
        client: false,
        rate: 200,
        most: 1000,
        play: Play::Wire { act: |act| Box::pin(handshakes::act(act)), at_once: 64 },
    },
];
