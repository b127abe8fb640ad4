#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;

fn load(text: &str, environment: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.toml");
    std::fs::write(&file, text).unwrap();
    let owned = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    };
    Config::load(&file, owned(environment), &owned(flags))
}

fn entry<'a>(config: &'a Config, key: &str) -> &'a Entry {
    config.entries().iter().find(|entry| entry.key == key).unwrap()
}

#[test]
fn flag_goes_before_environment_before_file_before_default() {
    let text = "[log]\nlevel = \"warn\"\n[storage]\nretain_bytes = 7\n";
    let config = load(text, &[], &[]).unwrap();
    assert_eq!(
        (entry(&config, "log.level").value.as_str(), &entry(&config, "log.format").origin),
        ("warn", &Origin::Default)
    );
    assert!(matches!(entry(&config, "log.level").origin, Origin::File(_)));
    let environment = [("VARANGIAN__LOG__LEVEL", "debug"), ("UNRELATED", "x")];
    let config = load(text, &environment, &[]).unwrap();
    assert_eq!(entry(&config, "log.level").origin, Origin::Environment("VARANGIAN__LOG__LEVEL".into()));
    let config = load(text, &environment, &[("log.level", "trace")]).unwrap();
    assert_eq!(
        (entry(&config, "log.level").value.as_str(), &entry(&config, "log.level").origin),
        ("trace", &Origin::Flag)
    );
    assert_eq!(config.settings().unwrap().retain_bytes, 7);
}

#[test]
fn a_missing_file_means_defaults() {
    let config = Config::load(Path::new("/nowhere/config.toml"), Vec::new(), &[]).unwrap();
    let settings = config.settings().unwrap();
    assert_eq!(settings.replica_address.port(), 0);
    assert_eq!(
        (settings.log_format, settings.congestion, settings.verify_threads),
        (LogFormat::Text, Congestion::Cubic, 1)
    );
}

#[test]
fn unknown_keys_are_refused_wherever_they_stand_and_the_nearest_is_named() {
    let refused = |result: Result<Config, ConfigError>, key: &str, nearest: Option<&str>| match result.unwrap_err() {
        ConfigError::UnknownKey { key: found, nearest: named, .. } => {
            assert_eq!((found.as_str(), named.as_deref()), (key, nearest));
        }
        other => panic!("{other}"),
    };
    refused(load("[log]\nlevle = \"x\"\n", &[], &[]), "log.levle", Some("log.level"));
    refused(load("", &[("VARANGIAN__LOG__FORMATS", "x")], &[]), "log.formats", Some("log.format"));
    refused(load("", &[], &[("storage.retain_byte", "x")]), "storage.retain_byte", Some("storage.retain_bytes"));
    refused(load("[nothing.like.it]\nx = 1\n", &[], &[]), "nothing.like", None);
    refused(load("top = 1\n", &[], &[]), "top", None);
}

#[test]
fn values_that_are_none_are_refused_with_their_origin() {
    let cases = [
        ("workers.verify", "0"),
        ("workers.verify", "65"),
        ("workers.verify", "many"),
        ("network.initial_rtt_ms", "0"),
        ("network.replica_address", "localhost"),
        ("network.congestion", "reno"),
        ("log.format", "xml"),
        ("storage.retain_bytes", "-1"),
    ];
    for (key, value) in cases {
        let error = load("", &[], &[(key, value)]).unwrap().settings().unwrap_err();
        assert!(error.to_string().starts_with(&format!("`{key}` (from the command line)")), "{error}");
    }
}

#[test]
fn what_is_no_toml_is_refused_with_its_place() {
    assert!(matches!(load("[log\n", &[], &[]), Err(ConfigError::Syntax { .. })));
}
