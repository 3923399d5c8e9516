use super::*;

#[test]
fn paths_are_tidied() {
    let exports = ["/", "/a//b/./c/", "/x"].map(str::to_owned).to_vec();
    let config = Config { exports, ..Config::default() }.check().unwrap();
    assert_eq!(config.exports, ["/", "/a/b/c", "/x"]);
}

#[test]
fn every_mistake_is_named_with_what_would_be_right() {
    let default = Config::default;
    let exports = |path: &str| Config { exports: vec![path.to_owned()], ..default() };
    let memory = |capacity_bytes| Storage::Memory { capacity_bytes };
    for (config, message) in [
        (Config { credits: 0, ..default() }, "target: credits is 0: 1 to 4096 is allowed"),
        (
            Config { inline_send_bytes: 512, ..default() },
            "target: inline_send_bytes is 512: 1024 to 262144 is allowed",
        ),
        (
            Config { inline_receive_bytes: 5000, ..default() },
            "target: inline_receive_bytes is 5000: a multiple of 1024 is needed",
        ),
        (
            Config { payload_bytes_max: 1 << 30, ..default() },
            "target: payload_bytes_max is 1073741824: 4096 to 4194304 is allowed",
        ),
        (
            Config { storage: memory(0), ..default() },
            "target: capacity_bytes is 0: 65536 to 1099511627776 is allowed",
        ),
        (Config { exports: vec![], ..default() }, "target: exports is 0: 1 to 64 is allowed"),
        (exports("data"), "target: exports is \"data\": a path that starts with / is needed"),
        (exports("/a/../b"), "target: exports is \"/a/../b\": \"..\" has no place in it"),
    ] {
        assert_eq!(config.check().unwrap_err().to_string(), message);
    }
}
