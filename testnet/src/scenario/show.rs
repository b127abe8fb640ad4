//! One scenario played on real processes, step by step, while the load goes on.

mod look;

use super::format::{Assault, Corruption, Event, Group, Replica, Shaping, Step, Ways, Who, profile};
use crate::damage::{damage, lose_syncs, restore, save, wipe};
use crate::judge::Turn;
use crate::menace::{Menace, Spec, Target};
use crate::power::cut_power;
use crate::report::{Happening, Report};
use crate::testnet::Testnet;
use crate::timeline::Timeline;
use anyhow::{Context as _, anyhow, bail};
use indicatif::ProgressBar;
use look::{PATIENCE, REDIAL};
use rustix::process::Signal;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};
use varangian_client::{ClientError, Connections, Network, Options};
use varangian_crypto::ReplicaId;
use varangian_links::Shape;

/// With this code a replica ends whose store refuses.
const STORE_REFUSES: i32 = 3;

/// A network and what has happened to it so far.
pub struct Show {
    /// The processes.
    pub net: Testnet,
    /// What happened.
    pub happened: Vec<Happening>,
    /// What was taken and given back, and when.
    pub turns: Vec<(Instant, Turn)>,
    /// Over these it is looked where the replicas stand.
    connections: Connections,
    bar: ProgressBar,
    began: Instant,
    quiet: bool,
    seed: u64,
    /// The view when the last fault came.
    view_before: u64,
    down: BTreeSet<ReplicaId>,
    /// Menaces that steps may begin.
    known: BTreeMap<String, Spec>,
    /// Menaces that are at work.
    menaces: BTreeMap<String, Menace>,
    /// Those that a step has turned malicious.
    turned: BTreeSet<ReplicaId>,
    /// Those whose disks are not what they were: they must not vote again, and nothing is judged by what they hold or say.
    pub damaged: BTreeSet<ReplicaId>,
}

impl Show {
    /// Of a network that is up. `quiet`: tells on standard error instead of standard output.
    ///
    /// # Errors
    /// If no socket can be had.
    pub fn new(net: Testnet, network: &Network, bar: ProgressBar, quiet: bool, seed: u64) -> Result<Self, ClientError> {
        let options = Options { deadline: PATIENCE, redial_cap: REDIAL, ..Options::default() };
        Ok(Self {
            net,
            happened: Vec::new(),
            turns: Vec::new(),
            connections: Connections::open(network, options)?,
            bar,
            began: Instant::now(),
            quiet,
            seed,
            view_before: 0,
            down: BTreeSet::new(),
            known: BTreeMap::new(),
            menaces: BTreeMap::new(),
            turned: BTreeSet::new(),
            damaged: BTreeSet::new(),
        })
    }

    /// One has ended by itself.
    pub fn fell(&mut self, id: ReplicaId) {
        self.down.insert(id);
    }

    /// What has happened so far, as a report on a network that runs.
    #[must_use]
    pub fn report(&self, timeline: Timeline) -> Report {
        Report {
            title: self.net.dir().root().display().to_string(),
            about: format!("{} replicas on this machine", self.net.ids().len()),
            seed: None,
            passed: None,
            judgements: Vec::new(),
            remarks: Vec::new(),
            happened: self.happened.clone(),
            timeline: timeline.believing(&self.net.honest()),
            file: None,
        }
    }

    /// When it began.
    #[must_use]
    pub const fn began(&self) -> Instant {
        self.began
    }

    /// Plays the steps in order.
    ///
    /// # Errors
    /// If one does not come about.
    pub async fn play(&mut self, steps: &[Step]) -> anyhow::Result<()> {
        for step in steps {
            self.take(step).await?;
        }
        Ok(())
    }

    /// Menaces by their names, for steps that begin them.
    ///
    /// # Errors
    /// If one is none.
    pub fn know(&mut self, menaces: &BTreeMap<String, String>) -> anyhow::Result<()> {
        self.known =
            menaces.iter().map(|(name, text)| Ok((name.clone(), Spec::parse(text)?))).collect::<anyhow::Result<_>>()?;
        Ok(())
    }

    /// Lets a menace loose.
    ///
    /// # Errors
    /// If it is not known, at work already, or cannot start.
    pub fn begin(&mut self, name: &str) -> anyhow::Result<()> {
        let spec = *self.known.get(name).ok_or_else(|| anyhow!("there is no menace {name}"))?;
        if self.menaces.contains_key(name) {
            bail!("{name} is at work already");
        }
        // Each start wants keys of its own.
        self.seed = self.seed.wrapping_add(1);
        let menace = Menace::start(&Target::load(self.net.dir().root())?, spec, self.seed)?;
        self.menaces.insert(name.to_owned(), menace);
        self.tell(&format!("{name} begins: {spec}, {} times a second at most", spec.rate()));
        Ok(())
    }

    /// Ends a menace, and tells what it came to.
    ///
    /// # Errors
    /// If it is not at work, or has done nothing.
    pub async fn end(&mut self, name: &str) -> anyhow::Result<()> {
        let menace = self.menaces.remove(name).ok_or_else(|| anyhow!("{name} is not at work"))?;
        let counters = menace.stop().await;
        if counters.acts == 0 || (counters.sent == 0 && counters.opened == 0) {
            bail!("{name} did nothing while it was at work: {counters:?}");
        }
        self.tell(&format!(
            "{name} ends: {} acts, {} frames of {} bytes in all; {} answers that a command ran, {} rebuffs",
            counters.acts,
            counters.sent,
            counters.bytes_sent,
            counters.accepted,
            counters.rebuffs()
        ));
        Ok(())
    }

    /// Ends all menaces.
    ///
    /// # Errors
    /// If one has done nothing; the others are ended all the same.
    pub async fn end_all(&mut self) -> anyhow::Result<()> {
        let names: Vec<String> = self.menaces.keys().cloned().collect();
        let mut ended = Ok(());
        for name in names {
            ended = ended.and(self.end(&name).await);
        }
        ended
    }

    /// Takes one step.
    ///
    /// # Errors
    /// If it does not come about.
    pub async fn take(&mut self, step: &Step) -> anyhow::Result<()> {
        if step.takes() {
            self.turn(Turn::Taken);
        }
        self.perform(step).await?;
        if step.gives_back() {
            self.turn(Turn::GivenBack);
        }
        Ok(())
    }

    fn turn(&mut self, turn: Turn) {
        self.turns.push((Instant::now(), turn));
    }

    async fn perform(&mut self, step: &Step) -> anyhow::Result<()> {
        match step {
            Step::Wait(seconds) => sleep(Duration::from_secs_f64(*seconds)).await,
            Step::At(seconds) => sleep_until(self.began + Duration::from_secs_f64(*seconds)).await,
            Step::Kill(who) => {
                for id in self.fault(who).await? {
                    self.net.kill(id).await?;
                    self.down.insert(id);
                    self.tell(&format!("{id} is killed"));
                }
            }
            Step::PowerLoss(who) => {
                let victims = self.fault(who).await?;
                for id in &victims {
                    self.net.kill(*id).await?;
                }
                for id in victims {
                    self.seed = self.seed.wrapping_add(1);
                    let lost = cut_power(&self.net.dir().home(id).data(), self.seed)?;
                    self.down.insert(id);
                    self.tell(&format!("{id} loses power, and {lost} unsynced bytes with it"));
                }
            }
            Step::Pause(who) => {
                for id in self.fault(who).await? {
                    self.net.pause(id)?;
                    self.down.insert(id);
                    self.tell(&format!("{id} is paused"));
                }
            }
            Step::Resume(who) => {
                for id in self.whom(who).await? {
                    self.net.resume(id)?;
                    self.down.remove(&id);
                    self.tell(&format!("{id} goes on"));
                }
            }
            Step::Restart(who) => {
                let ids = self.whom(who).await?;
                self.net.restart(&ids).await?;
                for id in ids {
                    self.down.remove(&id);
                    self.tell(&format!("{id} is up again, from what its disk holds"));
                }
            }
            Step::FillDisk(who) => {
                for id in self.fault(who).await? {
                    self.tell(&format!("the disk of {id} takes no byte more"));
                    self.net.fill_disk(id)?;
                    let (status, why) = self.ended(id).await?;
                    if !why.contains("File too large") {
                        bail!("{id} ended with {status}, and not for its full disk: {why}");
                    }
                    self.tell(&format!("{id} has ended by itself ({status}): {why}"));
                }
            }
            Step::FailSync(who) => {
                for id in self.fault(who).await? {
                    let logs = lose_syncs(&self.net.dir().home(id).data())?;
                    self.tell(&format!("the next log file of {id} takes every byte and cannot be synced"));
                    let ended = self.ended(id).await;
                    for log in logs {
                        match fs::remove_file(&log) {
                            // The store clears logs away that it has no use for.
                            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                                return Err(error).with_context(|| log.display().to_string());
                            }
                            _ => {}
                        }
                    }
                    let (status, why) = ended?;
                    if !why.contains("sync") {
                        bail!("{id} ended with {status}, and not for its sync: {why}");
                    }
                    self.tell(&format!("{id} has ended by itself ({status}): {why}"));
                }
            }
            Step::WipeDisk(who) => {
                for id in self.whom(who).await? {
                    self.must_be_down(id)?;
                    wipe(&self.net.dir().home(id).data())?;
                    self.spoil(id)?;
                    self.tell(&format!("everything that {id} had stored is gone"));
                }
            }
            Step::SaveDisk(who) => {
                for id in self.whom(who).await? {
                    self.must_be_down(id)?;
                    save(&self.net.dir().home(id).data(), &self.net.dir().saved(id))?;
                    self.tell(&format!("a copy of the disk of {id} is kept"));
                }
            }
            Step::RestoreDisk(who) => {
                for id in self.whom(who).await? {
                    self.must_be_down(id)?;
                    restore(&self.net.dir().home(id).data(), &self.net.dir().saved(id))?;
                    self.spoil(id)?;
                    self.tell(&format!("the disk of {id} is again what it was when it was copied"));
                }
            }
            Step::Corrupt(Corruption { who, what }) => {
                for id in self.whom(who).await? {
                    self.must_be_down(id)?;
                    self.seed = self.seed.wrapping_add(1);
                    damage(&self.net.dir().home(id).data(), *what, self.seed)?;
                    self.spoil(id)?;
                    self.tell(&format!("the disk of {id}: {what}"));
                }
            }
            Step::Refused(who) => {
                for id in self.whom(who).await? {
                    let status = self.net.refuses(id).await?;
                    if status.code() != Some(STORE_REFUSES) {
                        bail!("{id} ended with {status}, and its store was to refuse");
                    }
                    self.tell(&format!("{id} refuses to run: {}", self.net.last_words(id)?));
                }
            }
            Step::Strike(who) => {
                for id in self.fault(who).await? {
                    self.net.signal(id, Signal::USR1)?;
                    self.tell(&format!("{id} is malicious from here on"));
                }
            }
            Step::Cut(Ways { from, to }) => {
                self.reshape(from, to, &Shape::CUT).await?;
                self.tell(&format!("nothing passes from {from} to {to}"));
            }
            Step::Shape(Shaping { from, to, like }) => {
                self.reshape(from, to, like).await?;
                self.tell(&format!("links from {from} to {to} are other than before"));
            }
            Step::Partition(groups) => self.partition(groups).await?,
            Step::Heal(who) => {
                let ids = self.whom(who).await?;
                if self.net.is_linked() {
                    let all = self.net.ids();
                    let links = self.net.links()?;
                    for (one, other) in ids.iter().flat_map(|one| all.iter().map(move |other| (*one, *other))) {
                        links.heal(one, other)?;
                        links.heal(other, one)?;
                    }
                    self.tell(&format!("links from and to {who} are healed"));
                }
                let turned: Vec<_> = ids.iter().filter(|id| self.turned.contains(id)).copied().collect();
                for id in turned {
                    self.net.turn(id, None).await?;
                    self.turned.remove(&id);
                    self.down.remove(&id);
                    self.tell(&format!("{id} is up again as an honest replica"));
                }
            }
            Step::Attack(Assault { who, attack }) => {
                for id in self.fault(who).await? {
                    self.net.turn(id, Some(attack.clone())).await?;
                    self.turned.insert(id);
                    self.down.remove(&id);
                    self.tell(&format!("{id} is malicious from here on: {attack}"));
                }
            }
            Step::Links(name) => {
                self.net.links()?.become_like(profile(name)?)?;
                self.tell(&format!("links are {name} from here on"));
            }
            Step::Begin(name) => self.begin(name)?,
            Step::End(name) => self.end(name).await?,
            Step::Lead(replica) => self.lead(*replica).await?,
            Step::Await(Event::NewView) => {
                let view = self.reach_view(self.view_before + 1).await?;
                self.tell(&format!("view {view}: {} leads", self.primary(view)));
            }
            Step::Await(Event::Progress) => self.progress().await?,
            Step::Await(Event::CaughtUp) => {
                let running = self.sound();
                let goal = self.caught_up(&running).await?;
                self.tell(&format!("all that run have executed slot {goal}"));
            }
            Step::Await(Event::Stopped(who)) => {
                let ids = self.whom(who).await?;
                for (id, why) in self.stopped(&ids).await? {
                    self.tell(&format!("{id} has stopped by itself: {why}"));
                }
            }
            Step::Await(Event::Ended(who)) => {
                for id in self.whom(who).await? {
                    let (status, why) = self.ended(id).await?;
                    self.tell(&format!("{id} has ended by itself ({status}): {why}"));
                }
            }
        }
        Ok(())
    }

    /// From here on a disk is not what it was.
    fn spoil(&mut self, id: ReplicaId) -> anyhow::Result<()> {
        self.damaged.insert(id);
        self.net.dir().distrust([id])
    }

    fn must_be_down(&self, id: ReplicaId) -> anyhow::Result<()> {
        match self.net.pid(id) {
            None => Ok(()),
            Some(_) => bail!("{id} runs: only the disk of one that is down can be saved or damaged; kill it first"),
        }
    }

    /// Whom a fault hits; the view that it hits is remembered.
    async fn fault(&mut self, who: &Who) -> anyhow::Result<Vec<ReplicaId>> {
        self.note_view().await;
        self.whom(who).await
    }

    async fn whom(&self, who: &Who) -> anyhow::Result<Vec<ReplicaId>> {
        Ok(match who {
            Who::Group(Group::Primary) => vec![self.primary(self.reach_view(0).await?)],
            Who::Group(Group::Down) => self.down.iter().copied().collect(),
            Who::Group(Group::All) => self.net.ids(),
            Who::One(Replica(id)) => vec![*id],
            Who::Several(replicas) => replicas.iter().map(|Replica(id)| *id).collect(),
        })
    }

    async fn reshape(&mut self, from: &Who, to: &Who, shape: &Shape) -> anyhow::Result<()> {
        let (from, to) = (self.fault(from).await?, self.whom(to).await?);
        let links = self.net.links()?;
        for (one, other) in from.iter().flat_map(|one| to.iter().map(move |other| (*one, *other))) {
            if one != other {
                links.set(one, other, *shape)?;
            }
        }
        Ok(())
    }

    async fn partition(&mut self, groups: &[Vec<Replica>]) -> anyhow::Result<()> {
        self.note_view().await;
        let group = |id: ReplicaId| groups.iter().position(|group| group.contains(&Replica(id)));
        let ids = self.net.ids();
        let links = self.net.links()?;
        for (one, other) in ids.iter().flat_map(|one| ids.iter().map(move |other| (*one, *other))) {
            if group(one) != group(other) {
                links.set(one, other, Shape::CUT)?;
            }
        }
        let names = |group: &Vec<Replica>| group.iter().map(|one| one.0.to_string()).collect::<Vec<_>>().join(" ");
        let mut sides: Vec<String> = groups.iter().map(names).collect();
        if ids.iter().any(|id| group(*id).is_none()) {
            sides.push("the others".to_owned());
        }
        self.tell(&format!("a partition: {}", sides.join(" | ")));
        Ok(())
    }

    /// Tells what happened, and keeps it.
    pub fn tell(&mut self, what: &str) {
        let elapsed = self.began.elapsed();
        let at_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        self.happened.push(Happening { at_ms, what: what.to_owned() });
        let line = format!("[{:5.1} s] {what}", elapsed.as_secs_f64());
        if self.quiet {
            eprintln!("{line}");
        } else {
            self.bar.suspend(|| println!("{line}"));
        }
    }
}
