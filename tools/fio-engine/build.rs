//! Compiles the part that fio loads, `shim/shim.c`, against the headers of the fio that is to load
//! it. Only with the feature `fio`; the rest of the crate needs nothing of fio.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "fio")]
    shim::build();
}

#[cfg(feature = "fio")]
mod shim {
    use std::path::PathBuf;

    /// Where `tools/deps fio-engine` puts fio's sources, unless this variable says otherwise.
    const VARIABLE: &str = "FIO_SOURCE";

    pub(super) fn build() {
        println!("cargo::rerun-if-env-changed={VARIABLE}");
        println!("cargo::rerun-if-changed=shim");
        let fio = source();
        let config = fio.join("config-host.h");
        println!("cargo::rerun-if-changed={}", config.display());
        if !config.exists() {
            println!(
                "cargo::error=no configured fio sources in {}: run tools/deps fio-engine, or set \
                 {VARIABLE} to a directory of them, where ./configure has been run",
                fio.display()
            );
            return;
        }
        cc::Build::new()
            .file("shim/shim.c")
            .include(&fio)
            .define("_GNU_SOURCE", None)
            .define("FIO_VERSION", Some(format!("\"{}\"", version(&fio)).as_str()))
            .flag("-include")
            .flag(config.display().to_string())
            .std("gnu11")
            // fio's own headers are not free of warnings; ours is.
            .flag("-Wno-unused-parameter")
            .flag("-Wno-sign-compare")
            .flag("-Wno-missing-field-initializers")
            .compile("initiator_fio_shim");
        // fio closes its engines with dlclose, but threads of ours may still run.
        println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }

    fn source() -> PathBuf {
        let given = std::env::var_os(VARIABLE).map(PathBuf::from);
        given.unwrap_or_else(|| {
            let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
            here.join("../../target/fio/source")
        })
    }

    /// As fio's build writes it: `fio-3.33`.
    fn version(fio: &std::path::Path) -> String {
        let text = std::fs::read_to_string(fio.join("FIO-VERSION-GEN")).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("DEF_VER="));
        line.unwrap_or("fio-unknown").to_owned()
    }
}
