//! Values that are written alike on the command line and in a configuration file.

use std::fmt;
use std::str::FromStr;

use reactor::IdlePolicy;
use serde::Deserialize;

/// Most cores in a list, and the largest number of one.
const CORES_MAX: usize = 4096;

/// Reports more often than this would be all that the main thread does.
const INTERVAL_NS_MIN: u64 = 100_000_000;

/// A TOML value as the text that the command line would have.
#[derive(Deserialize)]
#[serde(untagged)]
enum Text {
    Number(i64),
    Words(String),
    Numbers(Vec<i64>),
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Words(words) => f.write_str(words),
            Self::Numbers(numbers) => {
                let numbers: Vec<String> = numbers.iter().map(i64::to_string).collect();
                f.write_str(&numbers.join(","))
            }
        }
    }
}

/// Makes a type of one that is parsed from text, for clap and for serde.
macro_rules! value {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
        #[serde(try_from = "Text")]
        pub(crate) struct $name(pub(crate) $inner);

        impl TryFrom<Text> for $name {
            type Error = String;

            fn try_from(text: Text) -> Result<Self, String> {
                text.to_string().parse()
            }
        }
    };
}

/// Of a foreign type that knows how to parse itself.
macro_rules! foreign_value {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        value!($(#[$doc])* $name($inner));

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                text.parse().map(Self).map_err(|error| format!("{error}"))
            }
        }
    };
}

value!(
    /// A number of bytes with fio's suffixes: `4096`, `4k`, `1m`, `2g`.
    Size(u64)
);
value!(
    /// A time in nanoseconds as fio writes it, seconds unless it says: `10`, `500ms`.
    Interval(u64)
);
value!(
    /// Cores as the kernel lists them: `0,2-3`.
    Cores(Vec<usize>)
);
foreign_value!(
    /// What to do about huge pages.
    HugepagePolicy(hugepages::Policy)
);
foreign_value!(
    /// A size of huge pages.
    PageSize(hugepages::PageSize)
);
foreign_value!(
    /// What an idle reactor does.
    Idle(IdlePolicy)
);
value!(
    /// How buffers are registered; `None` leaves it to what the device can do.
    Registration(Option<rpcrdma::Registration>)
);
value!(
    /// What becomes of calls whose connection is lost.
    Recovery(rpcrdma::Recovery)
);
value!(
    /// Whom the calls come from.
    Security(SecurityFlavor)
);

/// A flavor of credential, by its name in nfs(5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SecurityFlavor {
    Sys,
    None,
}

impl FromStr for Interval {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match workload::parse_time_ns(text)? {
            ns if ns < INTERVAL_NS_MIN => Err(format!("'{text}' is too often: at least 100ms")),
            ns => Ok(Self(ns)),
        }
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        workload::parse_size(text).map(Self)
    }
}

impl Size {
    /// As the 32 bits that most settings have.
    pub(crate) fn bytes_u32(&self, name: &str) -> anyhow::Result<u32> {
        let bytes = u32::try_from(self.0);
        bytes.map_err(|_| anyhow::anyhow!("{name} = {}: at most 4294967295 bytes", self.0))
    }
}

impl FromStr for Cores {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("'{text}' is not a list of cores; write for example 0, 0,1 or 2-5");
        let mut cores = Vec::new();
        for item in text.split(',') {
            let (first, last) = item.split_once('-').unwrap_or((item, item));
            let number = |text: &str| text.trim().parse::<usize>().map_err(|_| bad());
            let (first, last) = (number(first)?, number(last)?);
            if first > last {
                return Err(bad());
            }
            if last >= CORES_MAX {
                return Err(format!("core {last}: numbers up to {} are allowed", CORES_MAX - 1));
            }
            cores.extend(first..=last);
        }
        let mut once = cores.clone();
        once.sort_unstable();
        once.dedup();
        if once.len() != cores.len() {
            return Err(format!("'{text}' names a core twice: one reactor a core"));
        }
        Ok(Self(cores))
    }
}

impl FromStr for Registration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self(None)),
            "window" => Ok(Self(Some(rpcrdma::Registration::Window))),
            "static" => Ok(Self(Some(rpcrdma::Registration::Static))),
            _ => Err(format!("'{text}' is not known; use auto, window or static")),
        }
    }
}

impl FromStr for Recovery {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "hard" => Ok(Self(rpcrdma::Recovery::Hard)),
            "soft" => Ok(Self(rpcrdma::Recovery::Soft)),
            "softerr" => Ok(Self(rpcrdma::Recovery::SoftErr)),
            "never" => Ok(Self(rpcrdma::Recovery::Never)),
            _ => Err(format!("'{text}' is not known; use hard, soft, softerr or never")),
        }
    }
}

impl FromStr for Security {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "sys" => Ok(Self(SecurityFlavor::Sys)),
            "none" => Ok(Self(SecurityFlavor::None)),
            "krb5" | "krb5i" | "krb5p" => {
                Err(format!("'{text}' is not supported; use sys or none"))
            }
            _ => Err(format!("'{text}' is not known; use sys or none")),
        }
    }
}

#[cfg(test)]
#[path = "values_tests.rs"]
mod tests;
