//! What this machine can do alone: the floor under every other figure. One thread, a second for each.

use std::fs::OpenOptions;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use hdrhistogram::Histogram;
use serde::Serialize;
use varangian_client::identity;
use varangian_consensus::{Prepare, Slot, View};
use varangian_crypto::{
    ClientKey, Clients, Committee, Digest, Genesis, Member, Parameters, ReplicaId, Signature, Signer, SigningKey,
    Verify, blake3, sha256, sign_client, verify_client, verify_clients,
};

/// For each figure.
const TIME: Duration = Duration::from_secs(1);
/// Hashed at once.
const HASHED_BYTES: usize = 1 << 20;
/// Written before each sync.
const SYNCED_BYTES: usize = 4096;
/// Signatures verified as one.
const BATCH: usize = 64;
/// Replicas of the genesis that the signatures are for; nothing runs.
const REPLICAS: u16 = 4;

/// The machine's own figures.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// Cores that this process may use.
    pub cores: usize,
    /// What the processor calls itself.
    pub processor: String,
    /// Signatures made, in microseconds each.
    pub sign_us: f64,
    /// A replica's signature checked as the protocol checks it (strict), in microseconds.
    pub verify_strict_us: f64,
    /// A client's signature checked alone (ZIP 215), in microseconds.
    pub verify_zip215_us: f64,
    /// A client's signature checked in a batch of 64 (ZIP 215), in microseconds each.
    pub verify_batch_us: f64,
    /// BLAKE3 over 1 MiB, in MB/s.
    pub blake3_mb_per_second: f64,
    /// SHA-256 over 1 MiB, in MB/s.
    pub sha256_mb_per_second: f64,
    /// 4 KiB appended, then `fdatasync`.
    pub sync_append: Sync,
    /// 4 KiB written over old ones, then `fdatasync`.
    pub sync_in_place: Sync,
}

/// How long a sync takes.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Sync {
    /// Mean, in microseconds.
    pub mean_us: f64,
    /// Median, in microseconds.
    pub p50_us: u64,
    /// 99 of 100 took no longer, in microseconds.
    pub p99_us: u64,
}

impl Machine {
    /// Measures; takes about eight seconds. `dir` lies on the disk whose syncs are measured. Blocks its thread.
    ///
    /// # Errors
    /// If files cannot be written there, or a signature of this program does not verify.
    pub fn measure(dir: &Path) -> anyhow::Result<Self> {
        let bytes = vec![0x5a; HASHED_BYTES];
        let blake3_us = each(|_| Ok(blake3("varangian bench", &[black_box(&bytes)])))?;
        let sha256_us = each(|_| Ok(sha256("varangian bench", &[black_box(&bytes)])))?;
        let signatures = Signatures::new()?;
        Ok(Self {
            cores: std::thread::available_parallelism()?.get(),
            processor: processor(),
            sign_us: each(|turn| Ok(signatures.signer.sign(prepare(turn))))?,
            verify_strict_us: signatures.verify_strict()?,
            verify_zip215_us: signatures.verify_zip215()?,
            verify_batch_us: signatures.verify_batch()?,
            blake3_mb_per_second: rate(blake3_us),
            sha256_mb_per_second: rate(sha256_us),
            sync_append: sync(dir, "append", |turn| turn * SYNCED_BYTES as u64)?,
            sync_in_place: sync(dir, "in-place", |_| 0)?,
        })
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let sync = |sync: &Sync| format!("{:.0} us (p50 {}, p99 {})", sync.mean_us, sync.p50_us, sync.p99_us);
        format!(
            "This machine alone, one thread: {} ({} cores)\n\
             \x20 ed25519    sign {:.1} us, verify strict {:.1} us, ZIP 215 {:.1} us, ZIP 215 in batches of {BATCH} {:.1} us each\n\
             \x20 hashes     BLAKE3 {:.0} MB/s, SHA-256 {:.0} MB/s\n\
             \x20 fdatasync  4 KiB appended {}, in place {}\n",
            self.processor,
            self.cores,
            self.sign_us,
            self.verify_strict_us,
            self.verify_zip215_us,
            self.verify_batch_us,
            self.blake3_mb_per_second,
            self.sha256_mb_per_second,
            sync(&self.sync_append),
            sync(&self.sync_in_place),
        )
    }
}

/// Keys and a chain that they sign for.
struct Signatures {
    committee: Committee,
    signer: Signer,
    client: SigningKey,
    commands: Vec<(ClientKey, Digest, Signature)>,
}

impl Signatures {
    fn new() -> anyhow::Result<Self> {
        let keys = (0..REPLICAS).map(|_| identity::generate()).collect::<Result<Vec<_>, _>>()?;
        let connections = (0..REPLICAS).map(|_| identity::generate()).collect::<Result<Vec<_>, _>>()?;
        let members = keys.iter().zip(&connections).zip((0..).map(ReplicaId)).map(|((key, connection), id)| Member {
            id,
            name: id.to_string(),
            consensus_key: key.replica_key(),
            network_key: connection.network_key(),
        });
        let clients = Clients::Open { maximum: 1 };
        let committee =
            Committee::new(&Genesis::new("bench".into(), Parameters::default(), members.collect(), clients)?);
        let own = keys.into_iter().next().context("no key")?;
        let signer = Signer::new(ReplicaId(0), own, &committee)?;
        let client = identity::generate()?;
        let command = |turn: u64| {
            let digest = sha256("varangian bench", &[&turn.to_le_bytes()]);
            (client.client_key(), digest, sign_client(&client, committee.context(), &digest))
        };
        let commands = (0..BATCH as u64).map(command).collect();
        Ok(Self { committee, signer, client, commands })
    }

    fn verify_strict(&self) -> anyhow::Result<f64> {
        let signed = self.signer.sign(prepare(0)).into_inner();
        each(|_| Ok(black_box(&signed).check(&self.committee)?))
    }

    fn verify_zip215(&self) -> anyhow::Result<f64> {
        let key = self.client.client_key();
        each(|turn| {
            let (_, digest, signature) = &self.commands[turn as usize % BATCH];
            Ok(verify_client(self.committee.context(), &key, black_box(digest), signature)?)
        })
    }

    fn verify_batch(&self) -> anyhow::Result<f64> {
        let verify = |_| {
            let verified = verify_clients(self.committee.context(), black_box(&self.commands));
            verified.map_err(|bad| anyhow::anyhow!("signature {bad} of a batch does not verify"))
        };
        Ok(each(verify)? / BATCH as f64)
    }
}

const fn prepare(turn: u64) -> Prepare {
    Prepare { view: View(1), slot: Slot(turn), digest: Digest::from_bytes([7; 32]) }
}

/// Mean microseconds of an action, repeated for [`TIME`].
fn each<T>(mut action: impl FnMut(u64) -> anyhow::Result<T>) -> anyhow::Result<f64> {
    let began = Instant::now();
    let mut turn = 0_u64;
    while began.elapsed() < TIME {
        black_box(action(turn)?);
        turn += 1;
    }
    #[expect(clippy::cast_precision_loss, reason = "turns of one second are far below 2^52")]
    Ok(began.elapsed().as_secs_f64() * 1e6 / turn as f64)
}

/// A MiB in so many microseconds, as MB/s.
#[expect(clippy::cast_precision_loss, reason = "a MiB is exact")]
fn rate(us: f64) -> f64 {
    HASHED_BYTES as f64 / us
}

fn sync(dir: &Path, name: &str, place: impl Fn(u64) -> u64) -> anyhow::Result<Sync> {
    let path = dir.join(format!("sync-{name}"));
    let open = OpenOptions::new().create(true).truncate(true).write(true).open(&path);
    let file = open.with_context(|| path.display().to_string())?;
    let bytes = [0x5a; SYNCED_BYTES];
    // The first write makes the file's first block: that is not what "in place" means.
    file.write_all_at(&bytes, 0)?;
    file.sync_all()?;
    let mut times = Histogram::<u64>::new_with_bounds(1, 60_000_000, 3)?;
    each(|turn| {
        let began = Instant::now();
        file.write_all_at(&bytes, place(turn + 1))?;
        file.sync_data()?;
        times.saturating_record(u64::try_from(began.elapsed().as_micros())?.max(1));
        Ok(())
    })?;
    Ok(Sync { mean_us: times.mean(), p50_us: times.value_at_quantile(0.5), p99_us: times.value_at_quantile(0.99) })
}

fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    name.map_or_else(|| "processor without a name".to_owned(), |(_, name)| name.trim().to_owned())
}
