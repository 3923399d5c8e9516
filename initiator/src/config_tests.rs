use super::Settings;

fn error(text: &str) -> String {
    format!("{:#}", Settings::parse(text, "x.toml").expect_err(text))
}

#[test]
fn errors_name_file_line_and_key_in_one_line() {
    let message = error("[transport]\n\nmax_reqests = 3\n");
    assert!(message.starts_with("x.toml:3: max_reqests: unknown field"), "{message}");
    assert!(message.contains("max_requests"), "it says which there are: {message}");
    let message = error("[transport]\ninline = \"4 apples\"\n");
    assert!(message.starts_with("x.toml:2: inline: '4 apples': unknown suffix"), "{message}");
    let message = error("[nonsense]\n");
    assert!(message.starts_with("x.toml:1: "), "{message}");
    let message = error("[memory]\nregistration = \"frwr\"\n");
    assert!(message.contains("use auto, window or static"), "{message}");
    let message = error("[transport\n");
    assert!(message.starts_with("x.toml:1: ") && !message.contains('\n'), "{message}");
}

#[test]
fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
    let file = Settings::parse("[transport]\nmax_requests = 7\nsend_batch = 2\n", "x").expect("ok");
    let flags = Settings::parse("[transport]\nmax_requests = 9\n", "x").expect("ok");
    let both = flags.over(file);
    let remote = "127.0.0.1:20049".parse().expect("an address");
    let config = both.transport_config(remote).expect("good settings");
    assert_eq!((config.max_requests, config.send_batch, config.copy_max), (9, Some(2), 512));
}

#[test]
fn one_inline_threshold_sets_both_and_each_can_be_set() {
    let text = "[transport]\ninline = \"8k\"\ninline_receive = 16384\ntimeo = 5\n";
    let remote = "127.0.0.1:20049".parse().expect("an address");
    let config = Settings::parse(text, "x").and_then(|s| s.transport_config(remote)).expect("ok");
    assert_eq!((config.inline_send, config.inline_receive), (8192, 16384));
    assert_eq!(config.rpc_timeout_ns, 500_000_000);
}

#[test]
fn absurd_settings_are_refused_with_what_is_allowed() {
    for (text, says) in [
        ("max_requests = 0", "max_requests = 0: allowed is 1 to 4096"),
        ("inline = 1000", "inline_send = 1000: allowed is"),
        ("timeo = 0", "timeo = 0: at least 1"),
        ("jukebox_wait = 0", "jukebox_wait = 0: allowed is 1 to 3600"),
        ("inline = \"8g\"", "inline_send = 8589934592"),
    ] {
        let settings = Settings::parse(&format!("[transport]\n{text}\n"), "x").expect("parses");
        let message = format!("{:#}", settings.check().expect_err(text));
        assert!(message.contains(says), "{message}");
    }
}

const SAMPLE: &str = include_str!("../../conf/initiator.toml");

/// The sample with the keys that have no default switched on.
fn sample_with_all_keys() -> String {
    let is_key =
        |line: &str| line.starts_with('#') && !line.starts_with("# ") && line.contains('=');
    let lines = SAMPLE.lines().map(|line| if is_key(line) { &line[1..] } else { line });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_sample_configuration_has_every_key_there_is() {
    use clap::CommandFactory;

    let sample: toml::Table = toml::from_str(&sample_with_all_keys()).expect("TOML");
    Settings::parse(&sample_with_all_keys(), "sample").expect("known keys with good values");
    let command = crate::cli::Cli::command();
    let perf = command.find_subcommand("perf").expect("a command");
    for (section, heading) in
        [("transport", "Transport"), ("memory", "Memory"), ("reactor", "Reactors")]
    {
        let flags = perf.get_arguments().filter(|arg| arg.get_help_heading() == Some(heading));
        // A flag that takes another back is no key.
        let flags = flags.map(|arg| arg.get_id().as_str()).filter(|flag| *flag != "noresvport");
        let flags: Vec<&str> = flags.collect();
        let table = sample[section].as_table().expect("a section");
        let missing: Vec<_> = flags.iter().filter(|flag| !table.contains_key(**flag)).collect();
        assert!(missing.is_empty(), "[{section}] lacks {missing:?}");
        assert_eq!(table.len(), flags.len(), "every key of [{section}] is a flag too");
    }
}

#[test]
fn the_sample_configuration_shows_the_defaults() {
    let remote = "127.0.0.1:20049".parse().expect("an address");
    let sample = Settings::parse(SAMPLE, "sample").expect("good");
    let mut shown = sample.transport_config(remote).expect("good settings");
    // Given as a number there, and computed where it is not given.
    assert_eq!(shown.send_batch.take(), Some(rpcrdma::config::SEND_BATCH_DEFAULT_MAX));
    let default = Settings::default().transport_config(remote).expect("good settings");
    assert_eq!(format!("{shown:?}"), format!("{default:?}"));
    let (shown, default) = (sample.endpoint_config(), Settings::default().endpoint_config());
    assert_eq!(format!("{shown:?}"), format!("{default:?}"));
    assert_eq!(sample.idle(), Some(reactor::IdlePolicy::default()));
}

#[test]
fn the_last_of_resvport_and_noresvport_wins_and_any_flag_over_the_file() {
    use clap::Parser;

    let reserved = |flags: &[&str], file: &str| {
        let arguments = ["initiator", "perf", "nfs://server/"].iter().chain(flags);
        let cli = crate::cli::Cli::try_parse_from(arguments).expect("flags");
        let crate::cli::Command::Perf(perf) = cli.command else { panic!("not perf") };
        let file = Settings::parse(file, "x").expect("ok");
        let settings = Settings { transport: perf.settings.transport, ..Settings::default() };
        settings.over(file).mount_options().resvport
    };
    let (yes, no) = ("[transport]\nresvport = true\n", "");
    assert!(!reserved(&[], no));
    assert!(reserved(&[], yes));
    assert!(reserved(&["--resvport"], no));
    assert!(!reserved(&["--noresvport"], yes));
    assert!(reserved(&["--noresvport", "--resvport"], yes));
    assert!(!reserved(&["--resvport", "--noresvport"], no));
}
