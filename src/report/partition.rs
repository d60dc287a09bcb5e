//! One share of the specs of a run: `hash:1/4`.
//!
//! Contract: a share depends on the path of a spec as it was named, and on nothing else: not on the other specs, the platform or the
//! version. The shares of one count cover every path exactly once. They count from 1.

use crate::tensor::stream;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::path::{Component, Path};
use std::str::FromStr;

/// Share `share` of `of`; `1 <= share <= of`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Partition {
    share: u32,
    of: u32,
}

impl Partition {
    /// How many shares there are.
    #[must_use]
    pub fn of(self) -> u32 {
        self.of
    }

    /// Every share of the same count, this one among them.
    pub fn all(self) -> impl Iterator<Item = Self> {
        (1..=self.of).map(move |share| Self { share, ..self })
    }

    /// Whether a path falls into this share: the first 64 bits of the SHA-256 of its parts, joined by `/`, modulo the number of shares.
    /// `./a.nn` and `a.nn` are one path; `a.nn` and its absolute path are two.
    #[must_use]
    pub fn holds(self, path: &Path) -> bool {
        let parts = path.components().filter(|part| *part != Component::CurDir);
        let parts: Vec<_> = parts.map(|part| part.as_os_str().to_string_lossy()).collect();
        stream(&parts.join("/")) % u64::from(self.of) == u64::from(self.share) - 1
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hash:{}/{}", self.share, self.of)
    }
}

impl FromStr for Partition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let usage = || format!("`{text}` is no share; write `hash:1/4` for the first of four");
        let (share, of) =
            text.strip_prefix("hash:").and_then(|shares| shares.split_once('/')).ok_or_else(usage)?;
        let number = |digits: &str| digits.parse::<u32>().map_err(|_| usage());
        let (share, of) = (number(share)?, number(of)?);
        match (share, of) {
            (_, 0) => Err("there must be at least one share: `hash:1/1` is everything".to_owned()),
            (0, _) => Err(format!("shares count from 1: the first is `hash:1/{of}`")),
            _ if share > of => {
                Err(format!("there is no share {share} of {of}: the last is `hash:{of}/{of}`"))
            }
            _ => Ok(Self { share, of }),
        }
    }
}

impl Serialize for Partition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Partition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}
