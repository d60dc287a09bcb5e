//! Manual pages and registries.
//!
//! The manual page of an op, initialiser, transform or lint is the `//!` header of its file: one text for rustdoc,
//! for `wellposed explain` and for the editor. [`page!`] cuts the header out at compile time. [`registry!`] builds the
//! enum of a folder's members with `ALL`, reading by name and dispatch; the folder's `mod` lines stay outside of it,
//! because rustfmt skips files whose `mod` line a macro emits. A member's name is its file's name.

use crate::args::Param;

/// Something with a name, a signature and a manual page.
#[derive(Debug)]
pub struct Callable {
    /// The name in both notations.
    pub name: &'static str,
    /// What kind of thing it is, in a word: `loss`, `activation`, `initialiser`.
    pub group: &'static str,
    /// The parameters in positional order.
    pub signature: &'static [Param],
    /// The manual page in Markdown; its first line is a summary.
    pub page: &'static str,
}

impl Callable {
    /// The first line of the manual page.
    #[must_use]
    pub fn summary(&self) -> String {
        self.markdown().lines().next().unwrap_or_default().to_owned()
    }

    /// The manual page as Markdown.
    #[must_use]
    pub fn markdown(&self) -> String {
        crate::diag::undent(self.page)
    }
}

/// The length of the run of `//!` lines that a source text begins with.
#[must_use]
pub const fn header_length(source: &str) -> usize {
    let bytes = source.as_bytes();
    let mut at = 0;
    while at + 2 < bytes.len() && bytes[at] == b'/' && bytes[at + 1] == b'/' && bytes[at + 2] == b'!' {
        while at < bytes.len() && bytes[at] != b'\n' {
            at += 1;
        }
        at += 1;
    }
    at
}

/// The first `N` bytes of a text.
#[must_use]
pub const fn head<const N: usize>(source: &str) -> [u8; N] {
    let bytes = source.as_bytes();
    let mut head = [0; N];
    let mut at = 0;
    while at < N {
        head[at] = bytes[at];
        at += 1;
    }
    head
}

/// The `//!` header of a sibling file, as a constant that holds nothing else of the file.
macro_rules! page {
    ($file:expr) => {{
        const LENGTH: usize = $crate::manual::header_length(include_str!($file));
        const HEAD: [u8; LENGTH] = $crate::manual::head(include_str!($file));
        match std::str::from_utf8(&HEAD) {
            Ok(text) => text,
            Err(_) => panic!("a header ends inside a character"),
        }
    }};
}

/// Builds the enum of a folder's members: `registry! { pub enum Init: Initializer by init; zeros::Zeros, ... }` gives
/// `Init`, `Init::ALL`, `Init::read(name, reader)` and a macro `init!(value, member => expression)` that dispatches. What stands
/// behind `and` has no name of its own: a spec gives it one.
macro_rules! registry {
    ($(#[$meta:meta])* pub enum $Enum:ident: $Trait:ident by $dispatch:ident
        $(and $($own:ident::$Own:ident),+)?; $($module:ident::$Member:ident),+ $(,)?) => {
        registry! { @dispatch ($) $Enum $dispatch $($($Own)+)? $($Member)+ }

        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        pub enum $Enum {
            $($(#[doc = "What a spec declares, by the name that it gives."] $Own($own::$Own),)+)?
            $(#[doc = concat!("`", stringify!($module), "`")] $Member($module::$Member),)+
        }

        impl $Enum {
            /// Every member: name, signature and manual page.
            pub const ALL: &'static [&'static $crate::manual::Callable] = &[$(&$crate::manual::Callable {
                name: stringify!($module),
                group: <$module::$Member as $Trait>::GROUP,
                signature: <$module::$Member as $Trait>::SIGNATURE,
                page: $crate::manual::page!(concat!(stringify!($module), ".rs")),
            }),+];

            /// The member of this name, if there is one.
            #[must_use]
            pub fn find(name: &str) -> Option<&'static $crate::manual::Callable> {
                Self::ALL.iter().copied().find(|member| member.name == name)
            }

            /// Reads the arguments of the member of this name; mistakes are reported through the reader.
            pub fn read(name: &str, args: &mut $crate::args::Reader<'_>) -> Option<Self> {
                $(if name == stringify!($module) {
                    return <$module::$Member as $Trait>::read(args).map(Self::$Member);
                })+
                None
            }

            /// The name of this member in both notations.
            #[must_use]
            pub fn name(&self) -> &str {
                match self {
                    $($(Self::$Own(member) => member.name(),)+)?
                    $(Self::$Member(_) => stringify!($module),)+
                }
            }
        }
    };
    (@dispatch ($d:tt) $Enum:ident $dispatch:ident $($Member:ident)+) => {
        macro_rules! $dispatch {
            ($d value:expr, $d member:ident => $d body:expr) => {
                match $d value {
                    $($Enum::$Member($d member) => $d body,)+
                }
            };
        }
    };
}

pub(crate) use {page, registry};
