#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::damage::Damage;
use varangian_links::Shape;

const SMALL: &str = "name = \"small\"\nabout = \"nothing\"\n";

fn refused(text: &str) -> String {
    Scenario::parse(text).unwrap_err().to_string()
}

#[test]
fn what_is_left_out_has_its_default() {
    let scenario = Scenario::parse(SMALL).unwrap();
    assert_eq!((scenario.replicas, scenario.step.len(), scenario.expect.max_gap), (4, 0, 10));
    assert_eq!(scenario.load, LoadPlan::default());
}

#[test]
fn every_step_is_read_and_written() {
    let steps = [
        ("wait = 1.5", Step::Wait(1.5)),
        ("kill = \"primary\"", Step::Kill(Who::Group(Group::Primary))),
        ("power-loss = \"all\"", Step::PowerLoss(Who::Group(Group::All))),
        ("pause = \"r2\"", Step::Pause(Who::One(Replica(ReplicaId(2))))),
        ("resume = [\"r0\", \"r3\"]", Step::Resume(Who::Several(vec![Replica(ReplicaId(0)), Replica(ReplicaId(3))]))),
        ("restart = \"down\"", Step::Restart(Who::Group(Group::Down))),
        ("strike = \"r1\"", Step::Strike(Who::One(Replica(ReplicaId(1))))),
        ("lead = \"r3\"", Step::Lead(Replica(ReplicaId(3)))),
        ("at = 4", Step::At(4.0)),
        ("fill-disk = \"r2\"", Step::FillDisk(Who::One(Replica(ReplicaId(2))))),
        ("fail-sync = \"r2\"", Step::FailSync(Who::One(Replica(ReplicaId(2))))),
        ("wipe-disk = \"down\"", Step::WipeDisk(Who::Group(Group::Down))),
        ("save-disk = \"r2\"", Step::SaveDisk(Who::One(Replica(ReplicaId(2))))),
        ("restore-disk = \"down\"", Step::RestoreDisk(Who::Group(Group::Down))),
        (
            "corrupt = { who = \"down\", what = \"lost-votes\" }",
            Step::Corrupt(Corruption { who: Who::Group(Group::Down), what: Damage::LostVotes }),
        ),
        ("refused = \"down\"", Step::Refused(Who::Group(Group::Down))),
        (
            "attack = { who = \"r1\", attack = \"silent+omit@p=0.5\" }",
            Step::Attack(Assault { who: Who::One(Replica(ReplicaId(1))), attack: "silent+omit@p=0.5".to_owned() }),
        ),
        (
            "cut = { from = \"r0\", to = \"all\" }",
            Step::Cut(Ways { from: Who::One(Replica(ReplicaId(0))), to: Who::Group(Group::All) }),
        ),
        ("partition = [[\"r0\"]]", Step::Partition(vec![vec![Replica(ReplicaId(0))]])),
        (
            "shape = { from = \"all\", to = \"r2\", like = { latency_ms = 5.0, loss = 0.1 } }",
            Step::Shape(Shaping {
                from: Who::Group(Group::All),
                to: Who::One(Replica(ReplicaId(2))),
                like: Shape { latency_ms: 5.0, loss: 0.1, ..Shape::PERFECT },
            }),
        ),
        ("heal = \"all\"", Step::Heal(Who::Group(Group::All))),
        ("links = \"lossy\"", Step::Links("lossy".to_owned())),
        ("await = \"new-view\"", Step::Await(Event::NewView)),
        ("await = \"progress\"", Step::Await(Event::Progress)),
        ("await = \"caught-up\"", Step::Await(Event::CaughtUp)),
        ("await = { stopped = \"r2\" }", Step::Await(Event::Stopped(Who::One(Replica(ReplicaId(2)))))),
        ("await = { ended = \"r2\" }", Step::Await(Event::Ended(Who::One(Replica(ReplicaId(2)))))),
    ];
    for (text, step) in steps {
        let scenario = Scenario::parse(&format!("{SMALL}attacks.r1 = \"silent\"\n[[step]]\n{text}\n")).unwrap();
        assert_eq!(scenario.step, [step]);
        assert_eq!(Scenario::parse(&toml::to_string(&scenario).unwrap()).unwrap(), scenario);
    }
}

#[test]
fn what_is_not_known_is_refused() {
    for text in
        ["color = 1", "[load]\nclient = 3", "[expect]\ngap = 3", "[[step]]\nsleep = 1", "[[step]]\nkill = \"leader\""]
    {
        let error = refused(&format!("{SMALL}{text}\n"));
        assert!(error.contains("unknown") || error.contains("did not match"), "{text}: {error}");
    }
}

#[test]
fn nonsense_is_refused_by_name() {
    let cases = [
        ("replicas = 3", "from 4 to 31"),
        ("attacks.r4 = \"silent\"", "names r4"),
        ("attacks.r1 = \"silemt\"", "silent"),
        ("attacks.one = \"silent\"", "write r0"),
        ("[[step]]\nkill = \"r7\"", "names r7"),
        ("[[step]]\nlead = \"r9\"", "names r9"),
        ("[[step]]\nstrike = \"r1\"", "has no attack"),
        ("[[step]]\nwait = 601", "from 0 to 600"),
        ("[[step]]\nwait = nan", "from 0 to 600"),
        ("links = \"lan-party\"", "there are: perfect, lan"),
        ("[[step]]\nlinks = \"none\"", "there are: perfect, lan"),
        ("[[step]]\ncut = { from = \"r0\", to = \"r4\" }", "names r4"),
        ("[[step]]\npartition = [[\"r9\"]]", "names r9"),
        ("[[step]]\nshape = { from = \"r0\", to = \"r1\", like = { loss = 1.5 } }", "loss = 1.5"),
        ("[load]\nclients = 0", "from 1 to 256 clients"),
        ("[load]\nadd_percent = 101", "at most 100"),
        ("[load]\nrate = 0", "load.rate = 0"),
        ("expect.recovers_within = 5\n[[step]]\nkill = \"r1\"", "gives anything back"),
        ("[load]\nrate = nan", "load.rate"),
        ("[expect]\nliveness = false\nworst_client_p99_ms = 9", "leave liveness"),
        ("[expect]\naccused = [\"r1\"]", "has no attack"),
        ("[expect]\nthroughput = 1.5", "above 0 and up to 1"),
        ("[expect]\nsafety = \"broken\"\n[attacks]\nr1 = \"collude\"", "more than f"),
        ("[[step]]\nat = -1", "at = -1: seconds from 0"),
        ("[[step]]\nfill-disk = \"r4\"", "names r4"),
        ("[[step]]\nrestore-disk = \"r4\"", "names r4"),
        ("[[step]]\nawait = { stopped = \"r4\" }", "names r4"),
        ("[[step]]\nattack = { who = \"r1\", attack = \"silent\" }", "has no attack"),
        ("[attacks]\nr1 = \"silent\"\n[[step]]\nattack = { who = \"r1\", attack = \"silemt\" }", "attack: "),
        ("attacks.r1 = \"silent+omitt\"", "omit"),
        ("timing = { model = \"synchronous\" }\nlinks = \"lan\"", "leave out links"),
        ("timing = { model = \"synchronous\", bound_ms = 0 }", "bound_ms"),
        ("twins-for = [\"r0\"]", "runs twice"),
        ("menaces.m = \"floood\"", "flood"),
        ("[[step]]\nbegin = \"m\"", "not under [menaces]"),
        ("twins-for = [\"r1\"]\n[attacks]\nr0 = \"silent\"", "runs twice"),
    ];
    for (text, words) in cases {
        let error = refused(&format!("{SMALL}{text}\n"));
        assert!(error.contains(words), "{text}: {error}");
    }
    assert!(refused("name = \"../x\"\nabout = \"\"\n").contains("no name"));
}

#[test]
fn only_menaces_that_a_step_begins_wait() {
    let text = format!(
        "{SMALL}[menaces]\na = \"flood\"\nb = \"gaps,rate=5\"\n[[step]]\nbegin = \"b\"\n[[step]]\nend = \"a\"\n"
    );
    let scenario = Scenario::parse(&text).unwrap();
    assert_eq!(scenario.at_once().collect::<Vec<_>>(), ["a"]);
    assert_eq!(Scenario::parse(&toml::to_string(&scenario).unwrap()).unwrap(), scenario);
}

#[test]
fn only_who_is_struck_with_waits() {
    let text = format!("{SMALL}[attacks]\nr1 = \"silent\"\nr2 = \"silent\"\n[[step]]\nstrike = \"r2\"\n");
    let scenario = Scenario::parse(&text).unwrap();
    assert_eq!(scenario.sleepers(), BTreeSet::from([Replica(ReplicaId(2))]));
}

/// A scenario that changes links has some, whether it says so or not.
#[test]
fn links_are_there_where_they_are_changed() {
    let profile = |text: &str| Scenario::parse(&format!("{SMALL}{text}")).unwrap().profile().unwrap().map(|it| it.name);
    assert_eq!(profile(""), None);
    assert_eq!(profile("links = \"lan\""), Some("lan"));
    for step in ["cut = { from = \"r0\", to = \"r1\" }", "partition = []", "heal = \"all\"", "links = \"lossy\""] {
        assert_eq!(profile(&format!("[[step]]\n{step}")), Some("perfect"));
    }
}

/// A share of throughput is one of the same load over the same links, and of nothing else.
#[test]
fn a_clean_run_has_the_load_and_no_fault() {
    let text = format!(
        "{SMALL}links = \"lan\"\nattacks.r1 = \"silent\"\nload.clients = 3\nexpect.throughput = 0.5\n[[step]]\nkill = \"r2\"\n"
    );
    let clean = Scenario::parse(&text).unwrap().clean();
    assert!(clean.attacks.is_empty() && matches!(clean.step[..], [Step::Wait(_)]) && clean.expect == Expect::default());
    assert_eq!((clean.load.clients, clean.links.as_deref()), (3, Some("lan")));
}

/// What is drawn by chance is drawn by the scenario's seed too, for replicas, clients and steps alike; what is not stays as it is written.
#[test]
fn the_seed_is_in_every_trigger_with_a_probability() {
    let text = format!(
        "{SMALL}attacks.r1 = \"silent@view=3 + omit@p=0.5,seed=9\"\nmenaces.m = \"gaps@p=0.25,rate=5\"\n[[step]]\nattack = {{ who = \"r1\", attack = \"omit@p=0.5,seed=9\" }}\n"
    );
    let drawn = |seed| Scenario { seed, ..Scenario::parse(&text).unwrap() }.drawn().unwrap();
    let texts = |scenario: &Scenario| {
        let [Step::Attack(Assault { attack, .. })] = &scenario.step[..] else { panic!("{scenario:?}") };
        [scenario.attacks.values().next().unwrap().clone(), scenario.menaces["m"].clone(), attack.clone()]
    };
    let (one, two) = (drawn(1), drawn(2));
    assert_eq!(texts(&one), texts(&drawn(1)));
    texts(&one).iter().zip(&texts(&two)).for_each(|(one, two)| assert_ne!(one, two));
    let [attack, menace, step] = texts(&one);
    assert_eq!(attack, format!("silent@view=3..4+{step}"), "a place is a place, whoever names it");
    assert!(
        step.starts_with("omit@p=0.5,seed=") && menace.starts_with("gaps@p=0.25,seed=") && menace.ends_with(",rate=5")
    );
    let certain = Scenario::parse(&format!("{SMALL}attacks.r1 = \"silent\"\n")).unwrap();
    assert_eq!(certain.drawn().unwrap(), certain);
}

#[test]
fn what_is_judged_besides_is_read_and_written() {
    let text = format!(
        "{SMALL}load.rate = 50.0\n[[step]]\nkill = \"r1\"\n[[step]]\nrestart = \"down\"\n[expect]\nrecovers_within = 5\nworst_client_p99_ms = 900\nmemory_mib = 512\n"
    );
    let scenario = Scenario::parse(&text).unwrap();
    let Expect { recovers_within, worst_client_p99_ms, memory_mib, .. } = scenario.expect;
    assert_eq!((recovers_within, worst_client_p99_ms, memory_mib), (Some(5), Some(900), Some(512)));
    assert_eq!((scenario.load.rate, scenario.load().rate), (Some(50.0), Some(50.0)));
    assert_eq!(Scenario::parse(&toml::to_string(&scenario).unwrap()).unwrap(), scenario);
}
