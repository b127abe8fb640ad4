//! One scenario played on real processes, step by step, while the load goes on.

use super::format::{Assault, Corruption, Event, Group, Replica, Shaping, Step, Ways, Who, profile};
use crate::damage::{damage, wipe};
use crate::menace::{Menace, Spec, Target};
use crate::power::cut_power;
use crate::report::{Happening, Report};
use crate::testnet::Testnet;
use crate::timeline::Timeline;
use anyhow::{anyhow, bail};
use indicatif::ProgressBar;
use rustix::process::Signal;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::{Instant, interval, sleep, sleep_until, timeout};
use varangian::cli::status::ask_all;
use varangian_client::Network;
use varangian_client::protocol::ReplicaStatus;
use varangian_crypto::ReplicaId;
use varangian_links::Shape;

/// Between two looks at where the replicas stand.
const LOOK: Duration = Duration::from_millis(50);
/// For one replica's answer.
const PATIENCE: Duration = Duration::from_millis(500);
/// With this code a replica ends whose store refuses.
const STORE_REFUSES: i32 = 3;
/// For each step to come about.
const STEP: Duration = Duration::from_secs(60);

/// A network and what has happened to it so far.
pub struct Show {
    /// The processes.
    pub net: Testnet,
    /// What happened.
    pub happened: Vec<Happening>,
    network: Network,
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
    /// Those whose disks are not what they were: they must not run again, and nothing is judged by what they hold.
    pub damaged: BTreeSet<ReplicaId>,
}

impl Show {
    /// Of a network that is up. `quiet`: tells on standard error instead of standard output.
    #[must_use]
    pub fn new(net: Testnet, network: Network, bar: ProgressBar, quiet: bool, seed: u64) -> Self {
        Self {
            net,
            happened: Vec::new(),
            network,
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
        }
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
            timeline,
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
    /// If it is not at work.
    pub async fn end(&mut self, name: &str) -> anyhow::Result<()> {
        let menace = self.menaces.remove(name).ok_or_else(|| anyhow!("{name} is not at work"))?;
        let counters = menace.stop().await;
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
    /// None that is expected.
    pub async fn end_all(&mut self) -> anyhow::Result<()> {
        let names: Vec<String> = self.menaces.keys().cloned().collect();
        for name in names {
            self.end(&name).await?;
        }
        Ok(())
    }

    /// Takes one step.
    ///
    /// # Errors
    /// If it does not come about.
    pub async fn take(&mut self, step: &Step) -> anyhow::Result<()> {
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
                    let status = self.net.fill_disk(id).await?;
                    self.down.insert(id);
                    let why =
                        self.net.said(id)?.borrow().failed.clone().unwrap_or_else(|| "it does not say why".into());
                    self.tell(&format!("{id} has ended by itself ({status}): {why}"));
                }
            }
            Step::WipeDisk(who) => {
                for id in self.whom(who).await? {
                    self.must_be_down(id)?;
                    wipe(&self.net.dir().home(id).data())?;
                    self.damaged.insert(id);
                    self.tell(&format!("everything that {id} had stored is gone"));
                }
            }
            Step::Corrupt(Corruption { who, what }) => {
                for id in self.whom(who).await? {
                    self.must_be_down(id)?;
                    self.seed = self.seed.wrapping_add(1);
                    damage(&self.net.dir().home(id).data(), *what, self.seed)?;
                    self.damaged.insert(id);
                    self.tell(&format!("the disk of {id}: {what}"));
                }
            }
            Step::Refused(who) => {
                for id in self.whom(who).await? {
                    let status = self.net.refuses(id).await?;
                    if status.code() != Some(STORE_REFUSES) {
                        bail!("{id} ended with {status}, and its store was to refuse");
                    }
                    self.tell(&format!("{id} refuses to run: {}", self.net.last_words(id)));
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
                let honest = self.net.honest();
                let running: Vec<_> = honest.into_iter().filter(|id| !self.down.contains(id)).collect();
                let goal = self.caught_up(&running).await?;
                self.tell(&format!("all that run have executed slot {goal}"));
            }
        }
        Ok(())
    }

    fn must_be_down(&self, id: ReplicaId) -> anyhow::Result<()> {
        match self.net.pid(id) {
            None => Ok(()),
            Some(_) => bail!("{id} runs: only the disk of one that is down can be damaged; kill it first"),
        }
    }

    /// Whom a fault hits; the view that it hits is remembered.
    async fn fault(&mut self, who: &Who) -> anyhow::Result<Vec<ReplicaId>> {
        // Where no quorum is in one view there is none to compare with.
        if let Ok(view) = timeout(PATIENCE, self.reach_view(0)).await {
            self.view_before = view?;
        }
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
        self.view_before = self.reach_view(0).await?;
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

    /// Pauses primaries in turn until `leader` leads. At no moment is more than one of them away.
    async fn lead(&mut self, Replica(leader): Replica) -> anyhow::Result<()> {
        let n = u64::try_from(self.net.ids().len())?;
        let mut view = self.reach_view(0).await?;
        let bound = view + 16 * n;
        while self.primary(view) != leader {
            let primary = self.primary(view);
            self.net.pause(primary)?;
            self.down.insert(primary);
            view = self.reach_view(view + 1).await?;
            self.net.resume(primary)?;
            self.down.remove(&primary);
            self.caught_up(&[primary]).await?;
            self.tell(&format!("{primary} was paused and goes on; view {view}: {} leads", self.primary(view)));
            if view > bound {
                bail!("the views move past {leader} every time");
            }
        }
        self.view_before = view;
        Ok(())
    }

    /// All honest replicas that run have executed the same.
    ///
    /// # Errors
    /// If that does not come about.
    pub async fn settle(&self) -> anyhow::Result<()> {
        let honest: Vec<_> = self.net.honest().into_iter().filter(|id| !self.down.contains(id)).collect();
        self.until("the honest replicas have executed the same", |rows| {
            let executed: Vec<u64> =
                rows.iter().filter(|row| honest.contains(&ReplicaId(row.replica))).map(|row| row.executed).collect();
            executed.len() == honest.len() && executed.windows(2).all(|pair| pair[0] == pair[1])
        })
        .await?;
        Ok(())
    }

    /// Waits until a quorum of the replicas that run is active in one view that is at least `least`.
    async fn reach_view(&self, least: u64) -> anyhow::Result<u64> {
        let quorum = self.net.genesis().quorums().quorum();
        let agreed = |rows: &[ReplicaStatus]| {
            let mut views: BTreeMap<u64, usize> = BTreeMap::new();
            for row in rows.iter().filter(|row| row.active && !self.down.contains(&ReplicaId(row.replica))) {
                *views.entry(row.view).or_default() += 1;
            }
            views.into_iter().rev().find(|(view, count)| *view >= least && *count >= quorum).map(|(view, _)| view)
        };
        let rows =
            self.until(&format!("a quorum is in view {least} or a later one"), |rows| agreed(rows).is_some()).await?;
        agreed(&rows).ok_or_else(|| anyhow!("the views changed meanwhile"))
    }

    /// Waits until a quorum has executed more than anybody had.
    async fn progress(&mut self) -> anyhow::Result<()> {
        let quorum = self.net.genesis().quorums().quorum();
        let rows = self.until("a replica answers", |rows| !rows.is_empty()).await?;
        let before = rows.iter().map(|row| row.executed).max().unwrap_or(0);
        self.until(&format!("a quorum has executed more than slot {before}"), |rows| {
            rows.iter().filter(|row| row.executed > before).count() >= quorum
        })
        .await?;
        self.tell(&format!("the network goes on above slot {before}"));
        Ok(())
    }

    /// Waits until replicas have executed what anybody had when they were asked first.
    async fn caught_up(&self, ids: &[ReplicaId]) -> anyhow::Result<u64> {
        let rows = self.until("a replica answers", |rows| !rows.is_empty()).await?;
        let goal = rows.iter().map(|row| row.executed).max().unwrap_or(0);
        let names: Vec<String> = ids.iter().map(ReplicaId::to_string).collect();
        self.until(&format!("{} caught up to slot {goal}", names.join(", ")), |rows| {
            let there = |id: &ReplicaId| {
                rows.iter().any(|row| row.replica == id.0 && row.executed >= goal && !row.behind && row.active)
            };
            ids.iter().all(there)
        })
        .await?;
        Ok(goal)
    }

    /// Asks all replicas again and again until their answers suffice.
    async fn until(&self, what: &str, enough: impl Fn(&[ReplicaStatus]) -> bool) -> anyhow::Result<Vec<ReplicaStatus>> {
        let waiting = async {
            let mut look = interval(LOOK);
            loop {
                let answers = ask_all(&self.network, PATIENCE).await?;
                let rows: Vec<ReplicaStatus> = answers.into_iter().filter_map(|(_, answer)| answer.ok()).collect();
                if enough(&rows) {
                    return Ok(rows);
                }
                look.tick().await;
            }
        };
        match timeout(STEP, waiting).await {
            Ok(rows) => rows,
            Err(_) => bail!(
                "{} s have passed and it is still not so that {what}; logs are in {}",
                STEP.as_secs(),
                self.net.dir().root().display()
            ),
        }
    }

    fn primary(&self, view: u64) -> ReplicaId {
        self.net.genesis().quorums().primary(view)
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
