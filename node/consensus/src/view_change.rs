//! §4.4: view changes. What could have committed is carried over; who cannot lead is passed over.
//!
//! - A replica whose watched command's time runs out, or that holds a proof against its primary, stops voting in its view,
//!   promises durably never to vote below the next, and asks for it with all it has prepared.
//! - It joins the highest view above its own that `f + 1` replicas ask for or exceed. `f` alone never move anyone.
//! - The primary of the new view answers a quorum of VIEW-CHANGEs with the NEW-VIEW that they imply; everybody computes it again.
//! - The accepted NEW-VIEW is durable before the first vote in its view.

use crate::backlog::Backlog;
use crate::client_table::Outcome;
use crate::effect::{Alarm, Effect, Ignored, NewViewDraft, Record, Vote};
use crate::evidence::{Conflict, Evidence};
use crate::message::Message;
use crate::order::{OrderError, new_view_order};
use crate::pool::Source;
use crate::replica::{Phase, Replica, Turn};
use crate::types::{Slot, View};
use crate::vote::{NewView, PrePrepare, StableCheckpoint, ViewChange};
use alloc::boxed::Box;
use alloc::vec::Vec;
use varangian_crypto::seeded::{Bug, seeded};
use varangian_crypto::{Bounded, Digest, ReplicaId, Signed};

impl Replica {
    /// Stops voting below `view` and asks for it.
    #[expect(
        clippy::expect_used,
        reason = "a promise without what is prepared would lose decided slots: better none at all"
    )]
    pub(crate) fn start_view_change(&mut self, turn: &mut Turn<'_>, view: View) {
        self.leave_view();
        self.view = view;
        self.phase = Phase::Changing;
        self.pacing.view_failed(&self.config);
        if !seeded(Bug::TimersNotRearmed) {
            self.pool.restart(self.role());
        }
        let executed = if seeded(Bug::ExecutedNotCarried) { self.executed } else { Slot::GENESIS };
        let prepared: Vec<_> =
            self.log.range(executed.next()..).filter_map(|(_, entry)| entry.prepared.clone()).collect();
        let promise = Box::new(ViewChange {
            view,
            stable: self.stable.clone(),
            prepared: Bounded::try_from(prepared).expect("the window bounds the log, and the genesis the window"),
        });
        self.promise = Some(promise.clone());
        self.view_changes.retain(|_, signed| signed.statement.view >= view);
        turn.push(Effect::Persist(Record::ViewChange(promise.clone())));
        turn.push(Effect::Vote(Vote::ViewChange(promise)));
        self.count_view_changes(turn);
    }

    /// Upon a VIEW-CHANGE: the one of the highest view of each sender is kept.
    pub(crate) fn on_view_change(
        &mut self,
        turn: &mut Turn<'_>,
        from: ReplicaId,
        signed: Signed<ViewChange>,
    ) -> Result<(), Ignored> {
        let (view, signer) = (signed.statement.view, signed.signer);
        if signer == self.config.id && from != signer && self.is_foreign_promise(&signed.statement) {
            self.stop(turn, Alarm::ForeignVote { slot: Slot::GENESIS, view });
            return Ok(());
        }
        if view < self.view || (view == self.view && self.phase == Phase::Active) {
            return Err(Ignored::Stale);
        }
        if let Some(held) = self.view_changes.get(&signer) {
            if held.statement.view > view {
                return Err(Ignored::Stale);
            }
            if held.statement == signed.statement {
                return Err(Ignored::Duplicate);
            }
            let late = seeded(Bug::AccusesTheInnocent) && self.phase == Phase::Changing;
            if held.statement.view == view || late {
                let conflict = Conflict { first: held.clone(), second: signed };
                self.accuse(turn, Evidence::ViewChanges(Box::new(conflict)));
                return Ok(());
            }
        }
        if let Some(evidence) = self.hidden_certificate(&signed) {
            self.accuse(turn, evidence);
        }
        self.view_changes.insert(signer, signed);
        self.count_view_changes(turn);
        Ok(())
    }

    /// Whoever said COMMIT and asks for a later view as if it had prepared nothing is proved faulty.
    pub(crate) fn hidden_certificate(&self, view_change: &Signed<ViewChange>) -> Option<Evidence> {
        let mut votes = self.log.values().filter_map(|entry| entry.commits.of(view_change.signer));
        let commit = votes.find(|commit| view_change.statement.hides(&commit.statement))?.clone();
        Some(Evidence::HiddenCertificate { commit, view_change: Box::new(view_change.clone()) })
    }

    /// Join, start the NEW-VIEW's timer, or lead: whatever the VIEW-CHANGEs held now call for.
    fn count_view_changes(&mut self, turn: &mut Turn<'_>) {
        if let Some(view) = self.view_to_join() {
            self.start_view_change(turn, view);
            return;
        }
        if self.phase != Phase::Changing {
            return;
        }
        let view = self.view;
        if self.view_changes.len() >= self.config.quorum() {
            let timeout = self.pacing.timeout(&self.config);
            self.pacing.watch_new_view(turn, view, timeout);
        }
        if self.config.primary(view) == self.config.id && self.drafted < view {
            self.draft_new_view(turn, view);
        }
    }

    /// The highest view above this replica's own that `f + 1` others ask for or exceed: one of them is honest.
    fn view_to_join(&self) -> Option<View> {
        let mut views: Vec<View> = self
            .view_changes
            .iter()
            .filter(|(signer, _)| **signer != self.config.id)
            .map(|(_, signed)| signed.statement.view)
            .filter(|view| *view > self.view)
            .collect();
        views.sort_unstable_by(|a, b| b.cmp(a));
        views.get(if seeded(Bug::JoinAlone) { 0 } else { self.config.weak() - 1 }).copied()
    }

    /// The primary of the new view, once a quorum asks for this very view.
    fn draft_new_view(&mut self, turn: &mut Turn<'_>, view: View) {
        let mut view_changes: Vec<_> =
            self.view_changes.values().filter(|signed| signed.statement.view == view).cloned().collect();
        // Its own must be among them: it is what this replica itself has prepared.
        let own = self.view_changes.get(&self.config.id).is_some_and(|signed| signed.statement.view == view);
        if !own || view_changes.len() < self.config.quorum() {
            return;
        }
        while view_changes.len() > self.config.quorum() {
            let last_other = view_changes.iter().rposition(|signed| signed.signer != self.config.id);
            let Some(last_other) = last_other else { return };
            view_changes.remove(last_other);
        }
        let order = match new_view_order(view_changes.iter().map(|signed| &signed.statement), self.config.window) {
            Ok(order) => order,
            Err(OrderError::Fork { slot, view }) => {
                self.stop(turn, Alarm::TooManyFaults { slot, view });
                return;
            }
        };
        self.drafted = view;
        let order =
            order.slots.iter().map(|(slot, digest)| PrePrepare { view, slot: *slot, digest: *digest }).collect();
        let draft = Box::new(NewViewDraft { view, view_changes, order });
        turn.push(Effect::Persist(Record::Drafted(draft.clone())));
        turn.push(Effect::Vote(Vote::NewView(draft)));
    }

    /// Upon a NEW-VIEW for this view or a later one. That its `O` follows from its `V` was checked with its signatures.
    pub(crate) fn on_new_view(&mut self, turn: &mut Turn<'_>, signed: Signed<NewView>) -> Result<(), Ignored> {
        let view = signed.statement.view;
        if view == self.entered
            && let Some(first) = &self.new_view
        {
            if first.statement == signed.statement {
                return Err(Ignored::Duplicate);
            }
            let conflict = Conflict { first: first.as_ref().clone(), second: signed };
            self.accuse(turn, Evidence::NewViews(Box::new(conflict)));
            self.fail_view_of(turn, view);
            return Ok(());
        }
        if view < self.view || view <= self.entered {
            return Err(Ignored::Stale);
        }
        let shown = signed.statement.view_changes.iter().find(|signed| signed.signer == self.config.id);
        if shown.is_some_and(|shown| self.is_foreign_promise(&shown.statement)) {
            self.stop(turn, Alarm::ForeignVote { slot: Slot::GENESIS, view });
            return Ok(());
        }
        let shown = signed.statement.view_changes.iter();
        let proved = shown.flat_map(|shown| [self.hidden_certificate(shown), self.other_promise(shown)]);
        for evidence in proved.flatten().collect::<Vec<_>>() {
            self.accuse(turn, evidence);
        }
        if !seeded(Bug::NewViewNotDurable) {
            turn.push(Effect::Persist(Record::NewView(Box::new(signed.clone()))));
        }
        self.enter(turn, signed);
        Ok(())
    }

    /// A VIEW-CHANGE that says otherwise than its signer said here.
    fn other_promise(&self, shown: &Signed<ViewChange>) -> Option<Evidence> {
        let held = self.view_changes.get(&shown.signer)?;
        let differs = held.statement.view == shown.statement.view && held.statement != shown.statement;
        let conflict = || Box::new(Conflict { first: held.clone(), second: shown.clone() });
        differs.then(|| Evidence::ViewChanges(conflict()))
    }

    /// A VIEW-CHANGE under this replica's own key that its disk does not know.
    fn is_foreign_promise(&self, shown: &ViewChange) -> bool {
        match &self.promise {
            Some(own) => own.view < shown.view || (own.view == shown.view && **own != *shown),
            None => true,
        }
    }

    /// Votes in the view from here on, first for what it carries over.
    fn enter(&mut self, turn: &mut Turn<'_>, signed: Signed<NewView>) {
        self.leave_view();
        if let Some(proved) = self.adopt_new_view(signed) {
            self.settle_checkpoint(turn, proved);
        }
        let low = self.stable_slot();
        for entry in self.log.values_mut() {
            entry.pre_prepares.enter(self.view);
            entry.prepares.enter(self.view);
            entry.commits.enter(self.view);
            if seeded(Bug::CertificatesCleared) {
                entry.prepared = None;
            }
            if seeded(Bug::BodiesDiscarded) {
                entry.durable.clear();
                entry.bodies.clear();
            }
        }
        self.drop_unlawful(low);
        self.install_order(turn);
        self.return_commands();
        if !seeded(Bug::TimersNotRearmed) {
            self.pool.restart(self.role());
        }
        self.mark_carried();
        self.pacing.entered(turn.now);
        let slots: Vec<Slot> = self.log.keys().copied().collect();
        for slot in slots {
            self.advance(turn, slot);
        }
    }

    /// What a NEW-VIEW says of views, checkpoints and slots, votes aside.
    ///
    /// Gives the stable checkpoint that it proves, to be settled once everything else is in its place.
    pub(crate) fn adopt_new_view(&mut self, signed: Signed<NewView>) -> Option<StableCheckpoint> {
        let view = signed.statement.view;
        self.view = view;
        self.phase = Phase::Active;
        self.entered = view;
        self.view_changes.retain(|_, held| held.statement.view > view);
        let proved = signed
            .statement
            .view_changes
            .iter()
            .filter_map(|signed| signed.statement.stable.as_ref())
            .max_by_key(|certificate| certificate.statement.slot)
            .cloned();
        let min = proved.as_ref().map_or(Slot::GENESIS, |certificate| certificate.statement.slot);
        let max = signed.statement.pre_prepares.last().map_or(Slot::GENESIS, |signed| signed.statement.slot);
        self.reserved = min.max(max);
        self.next_slot = self.reserved.max(self.issued).max(self.stable_slot()).next();
        if seeded(Bug::NextSlotInsideOrder) && self.reserved > self.issued {
            self.next_slot = self.reserved;
        }
        self.place_freed = true;
        self.backlog = Backlog::default();
        self.new_view = Some(Box::new(signed));
        proved
    }

    /// Pre-prepares of this view that overtook its NEW-VIEW and that it does not allow.
    fn drop_unlawful(&mut self, low: Slot) {
        let primary = self.config.primary(self.view);
        let unlawful: Vec<Slot> = self
            .log
            .range(low.next()..)
            .filter_map(|(slot, entry)| entry.pre_prepares.of(primary).map(|vote| (*slot, vote.statement.digest)))
            .filter(|(slot, digest)| *slot > self.reserved && !self.may_be_pre_prepared(*slot, digest))
            .map(|(slot, _)| slot)
            .collect();
        for slot in unlawful {
            if let Some(entry) = self.log.get_mut(&slot) {
                entry.pre_prepares.forget(primary);
            }
        }
        // Below, the NEW-VIEW's own pre-prepares take their place; where it has none, nothing may be voted for.
        let settled: Vec<Slot> = self.log.range(..=self.reserved).map(|(slot, _)| *slot).collect();
        for slot in settled {
            if self.carried(slot).is_none()
                && let Some(entry) = self.log.get_mut(&slot)
            {
                entry.pre_prepares.forget(primary);
            }
        }
    }

    /// Takes the NEW-VIEW's pre-prepares as the view's first, as far as the window reaches; says which slots are new.
    pub(crate) fn install_order(&mut self, turn: &mut Turn<'_>) -> Vec<Slot> {
        let Some(new_view) = self.new_view.as_ref().filter(|new_view| new_view.statement.view == self.entered) else {
            return Vec::new();
        };
        let (primary, mut installed) = (new_view.signer, Vec::new());
        let inside: Vec<Signed<PrePrepare>> = new_view
            .statement
            .pre_prepares
            .iter()
            .filter(|signed| self.check_window(signed.statement.slot).is_ok())
            .cloned()
            .collect();
        for signed in inside {
            let slot = signed.statement.slot;
            let entry = self.log.entry(slot).or_default();
            let held = entry.pre_prepares.of(primary);
            if held == Some(&signed) || (held.is_some() && seeded(Bug::FirstVoteInsideNewView)) {
                continue;
            }
            let conflict = entry.pre_prepares.seat(signed);
            installed.push(slot);
            if let Some(conflict) = conflict {
                self.accuse(turn, Evidence::PrePrepares(conflict));
            }
        }
        installed
    }

    /// What the NEW-VIEW of the view entered last carries for `slot`.
    pub(crate) fn carried(&self, slot: Slot) -> Option<Digest> {
        let carried = &self.new_view.as_ref()?.statement.pre_prepares;
        let place = carried.binary_search_by_key(&slot, |signed| signed.statement.slot).ok()?;
        carried.get(place).map(|signed| signed.statement.digest)
    }

    /// Commands of batches that the NEW-VIEW does not carry wait for their order again.
    fn return_commands(&mut self) {
        let mut commands = Vec::new();
        for (slot, entry) in self.log.range(self.issued.next()..) {
            let chosen = self.carried(*slot);
            for (digest, batch) in &entry.bodies {
                if chosen != Some(*digest) {
                    commands.extend(batch.commands().iter().cloned());
                }
            }
        }
        for command in commands {
            let identity = command.identity();
            if self.clients.outcome(&identity) == Outcome::None && self.pool.get(&identity).is_none() {
                // If its client's share is used up, the client's own retry brings it back.
                self.pool.insert(command.apart(), Source::Client, self.role(), &self.config).ok();
            }
        }
    }

    /// Commands of batches that it does carry are not proposed again.
    fn mark_carried(&mut self) {
        let mut identities = Vec::new();
        for (slot, entry) in self.log.range(self.issued.next()..) {
            if let Some(batch) = self.carried(*slot).and_then(|digest| entry.bodies.get(&digest)) {
                identities.extend(batch.commands().iter().map(|command| command.identity()));
            }
        }
        for identity in identities {
            self.pool.mark_proposed(&identity);
        }
    }

    /// A VIEW-CHANGE or NEW-VIEW that was signed and cannot be valid. An invalid NEW-VIEW fails its view at once.
    pub(crate) fn on_invalid(&mut self, turn: &mut Turn<'_>, evidence: Evidence) -> Result<(), Ignored> {
        if let Evidence::InvalidNewView(signed) = &evidence {
            let NewView { view, view_changes, .. } = &signed.statement;
            // Anybody can sign nonsense for a view; only its own primary's makes it fail.
            let primary = self.config.primary(*view) == signed.signer;
            let fails = primary && *view == self.view && self.phase == Phase::Changing;
            let view = *view;
            if let Some((slot, view)) = self.fork_in(view_changes.as_ref()) {
                self.accuse(turn, evidence);
                self.stop(turn, Alarm::TooManyFaults { slot, view });
                return Ok(());
            }
            let new = self.accuse(turn, evidence);
            if fails {
                self.start_view_change(turn, view.next());
            }
            return if new || fails { Ok(()) } else { Err(Ignored::Duplicate) };
        }
        if self.accuse(turn, evidence) { Ok(()) } else { Err(Ignored::Duplicate) }
    }

    /// The VIEW-CHANGEs that this replica itself holds verified, of those shown: do they contradict each other?
    fn fork_in(&self, shown: &[Signed<ViewChange>]) -> Option<(Slot, View)> {
        let verified = shown.iter().filter(|signed| self.view_changes.get(&signed.signer) == Some(signed));
        match new_view_order(verified.map(|signed| &signed.statement), self.config.window) {
            Err(OrderError::Fork { slot, view }) => Some((slot, view)),
            Ok(_) => None,
        }
    }

    /// The NEW-VIEW of the view that this replica votes in, for one who is not there yet.
    pub(crate) fn new_view_message(&self) -> Option<Message> {
        self.new_view.clone().map(Message::NewView)
    }
}
