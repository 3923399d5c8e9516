//! What makes a codec out of a list of fields: XDR forms of plain Rust values, and two macros that
//! write the [`Encode`] and [`Decode`] of a struct or enumeration.

use crate::xdr::{Decode, DecodeError, Encode, Full, Reader, Writer};

/// Writes both codecs of a struct whose XDR form is its fields in order. `borrowed` is for structs
/// with one lifetime, that of the bytes read. A struct whose form always has the same number of
/// bytes may say so: `codec!(20 bytes: Name { .. })`.
macro_rules! codec {
    ($size:literal bytes: $name:ident { $($field:ident),* $(,)? }) => {
        impl crate::xdr::Encode for $name {
            #[inline]
            fn encode(
                &self,
                w: &mut crate::xdr::Writer<'_>,
            ) -> Result<(), crate::xdr::Full> {
                w.sized::<$size>(|w| {
                    $(crate::xdr::Encode::encode(&self.$field, w)?;)*
                    Ok(())
                })
            }
        }

        impl<'r> crate::xdr::Decode<'r> for $name {
            #[inline]
            fn decode(
                r: &mut crate::xdr::Reader<'r>,
            ) -> Result<Self, crate::xdr::DecodeError> {
                r.sized::<$size, _>(|r| {
                    Ok(Self { $($field: crate::xdr::Decode::decode(r)?),* })
                })
            }
        }
    };
    (borrowed $name:ident { $($field:ident),* $(,)? }) => {
        crate::codec::codec!(@impl [$name<'_>] [$name<'r>] $name { $($field),* });
    };
    ($name:ident { $($field:ident),* $(,)? }) => {
        crate::codec::codec!(@impl [$name] [$name] $name { $($field),* });
    };
    (@impl [$written:ty] [$($read:tt)*] $name:ident { $($field:ident),* }) => {
        impl crate::xdr::Encode for $written {
            #[inline]
            fn encode(
                &self,
                w: &mut crate::xdr::Writer<'_>,
            ) -> Result<(), crate::xdr::Full> {
                $(crate::xdr::Encode::encode(&self.$field, w)?;)*
                Ok(())
            }
        }

        crate::codec::codec!(@decode $name [$($read)*] { $($field),* });
    };
    (@decode $name:ident [$name2:ident] { $($field:ident),* }) => {
        impl<'r> crate::xdr::Decode<'r> for $name2 {
            #[inline]
            fn decode(
                r: &mut crate::xdr::Reader<'r>,
            ) -> Result<Self, crate::xdr::DecodeError> {
                Ok(Self { $($field: crate::xdr::Decode::decode(r)?),* })
            }
        }
    };
    (@decode $name:ident [$name2:ident <$life:lifetime>] { $($field:ident),* }) => {
        impl<$life> crate::xdr::Decode<$life> for $name2<$life> {
            #[inline]
            fn decode(
                r: &mut crate::xdr::Reader<$life>,
            ) -> Result<Self, crate::xdr::DecodeError> {
                Ok(Self { $($field: crate::xdr::Decode::decode(r)?),* })
            }
        }
    };
}
pub(crate) use codec;

/// Writes both codecs of an enumeration (RFC 4506 §4.3): any value but those listed is refused.
macro_rules! enumeration {
    ($name:ident, $what:literal, [$($variant:ident),* $(,)?]) => {
        impl crate::xdr::Encode for $name {
            #[inline]
            fn encode(
                &self,
                w: &mut crate::xdr::Writer<'_>,
            ) -> Result<(), crate::xdr::Full> {
                w.u32(*self as u32)
            }
        }

        impl<'r> crate::xdr::Decode<'r> for $name {
            #[inline]
            fn decode(
                r: &mut crate::xdr::Reader<'r>,
            ) -> Result<Self, crate::xdr::DecodeError> {
                let offset = r.position();
                let found = r.u32()?;
                $(if found == Self::$variant as u32 {
                    return Ok(Self::$variant);
                })*
                Err(crate::xdr::DecodeError::Value { what: $what, offset, found })
            }
        }
    };
}
pub(crate) use enumeration;

/// Declares an enumeration of failure codes with one table: name in code, value on the wire, name
/// in the RFC, Linux errno, words. Values that the table does not have are carried by `Other`.
macro_rules! status_codes {
    (
        $(#[$meta:meta])* $name:ident, other: $other:literal,
        { $($variant:ident = $code:literal, $rfc:literal, $errno:literal, $words:literal;)* }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $(#[doc = concat!("`", $rfc, "`: ", $words, ".")] $variant,)*
            /// A value that the RFC does not list. Never 0, which is success.
            Other(u32),
        }

        impl $name {
            /// The errno that Linux programs expect for this failure.
            #[must_use]
            pub const fn errno(self) -> i32 {
                match self {
                    $(Self::$variant => $errno,)*
                    Self::Other(_) => 5,
                }
            }

            /// The failure that stands for a Linux errno on the wire; an I/O error where there is
            /// none.
            #[must_use]
            pub const fn from_errno(errno: i32) -> Self {
                $(if errno == $errno {
                    return Self::$variant;
                })*
                Self::Io
            }

            /// Every failure that the RFC lists.
            pub const ALL: &[Self] = &[$(Self::$variant),*];
        }

        impl From<u32> for $name {
            fn from(code: u32) -> Self {
                match code {
                    $($code => Self::$variant,)*
                    other => Self::Other(other),
                }
            }
        }

        impl From<$name> for u32 {
            fn from(status: $name) -> Self {
                match status {
                    $($name::$variant => $code,)*
                    $name::Other(other) => other,
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self {
                    $(Self::$variant => f.write_str(concat!($rfc, " (", $words, ")")),)*
                    Self::Other(code) => write!(f, concat!($other, " {} (unknown)"), code),
                }
            }
        }

        impl std::error::Error for $name {}
    };
}
pub(crate) use status_codes;

/// Walks a linked list (RFC 4506 §4.19) of at most `max` values to its end, without recursion.
/// Returns its bytes, the ending word included, and how many values it has.
#[inline]
pub(crate) fn list<'a, T: Decode<'a>>(
    r: &mut Reader<'a>,
    max: u32,
    what: &'static str,
) -> Result<(&'a [u8], u32), DecodeError> {
    let mut ahead = *r;
    if ahead.skip(&[0; 4]) {
        return Ok((r.take(4)?, 0));
    }
    let mut count = 0;
    loop {
        let offset = ahead.position();
        if ahead.option::<T>()?.is_none() {
            break;
        }
        count += 1;
        if count > max {
            return Err(DecodeError::TooLong { what, offset, found: count, max });
        }
    }
    Ok((r.take(ahead.position() - r.position())?, count))
}

impl Encode for () {
    #[inline]
    fn encode(&self, _: &mut Writer<'_>) -> Result<(), Full> {
        Ok(())
    }
}

impl Decode<'_> for () {
    #[inline]
    fn decode(_: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(())
    }
}

impl Encode for u32 {
    #[inline]
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), Full> {
        w.u32(*self)
    }
}

impl Decode<'_> for u32 {
    #[inline]
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.u32()
    }
}

impl Encode for u64 {
    #[inline]
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), Full> {
        w.u64(*self)
    }
}

impl Decode<'_> for u64 {
    #[inline]
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.u64()
    }
}

impl Encode for bool {
    #[inline]
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), Full> {
        w.bool(*self)
    }
}

impl Decode<'_> for bool {
    #[inline]
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.bool()
    }
}

/// The verifiers of NFS are 8 fixed bytes.
impl Encode for [u8; 8] {
    #[inline]
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), Full> {
        w.put(self)
    }
}

impl Decode<'_> for [u8; 8] {
    #[inline]
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.u64().map(u64::to_be_bytes)
    }
}

impl<T: Encode> Encode for Option<T> {
    #[inline]
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), Full> {
        w.option(self.as_ref())
    }
}

impl<'a, T: Decode<'a>> Decode<'a> for Option<T> {
    #[inline]
    fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        r.option()
    }
}

#[cfg(test)]
#[path = "codec_tests.rs"]
pub(crate) mod tests;
