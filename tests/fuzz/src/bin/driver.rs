//! libFuzzer's entry: which target is in `FUZZ_TARGET`. Built by tools/fuzz.
#![no_main]

use std::sync::OnceLock;

static TARGET: OnceLock<fn(&[u8])> = OnceLock::new();

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let run = TARGET.get_or_init(|| {
        let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
        fuzz::find(&name).unwrap_or_else(|| panic!("FUZZ_TARGET={name}: no such target")).run
    });
    run(data);
});
